//! Release archives (tar.gz): extracts the wanted regular files and nothing else.
//!
//! Links, devices and directories in an archive are skipped. A name in the archive never decides more than the file's name in the one
//! directory of the selection.

use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use flate2::read::GzDecoder;

/// Which files of an entry are installed, and where.
#[derive(Clone, Copy, Debug)]
pub enum Selection {
    /// The entry is the binary itself.
    Itself {
        /// Its path on the host.
        to: &'static str,
    },
    /// The executable files in one folder of the archive.
    Below {
        /// The folder; empty for the archive's top.
        folder: &'static str,
        /// The directory on the host.
        to: &'static str,
    },
    /// Files with these names, anywhere in the archive.
    Named {
        /// The names. The first has to exist; later ones exist only in newer releases.
        names: &'static [&'static str],
        /// The directory on the host.
        to: &'static str,
    },
}

/// Upstream's largest archive (etcd, CNI plugins) unpacks to less than 200 MB.
const MAX_TOTAL_BYTES: u64 = 1 << 30;
/// The CNI plugins, the archive with most files, are twenty.
const MAX_FILES: usize = 64;

impl Selection {
    /// The path on the host for a file of the archive; `None` if it is not wanted.
    fn target(&self, path: &Path, mode: u32) -> Option<String> {
        let mut parts = path.strip_prefix(".").unwrap_or(path).components();
        let name = parts.next_back()?.as_os_str().to_str().filter(|name| is_plain(name))?;
        match self {
            Self::Itself { .. } => None,
            Self::Below { folder, to } => {
                let wanted = parts.as_path() == Path::new(folder) && mode & 0o111 != 0;
                wanted.then(|| format!("{to}/{name}"))
            }
            Self::Named { names, to } => names.contains(&name).then(|| format!("{to}/{name}")),
        }
    }
}

/// A name of letters, digits, `.`, `_`, `-` and `+` that does not begin with a dot.
fn is_plain(name: &str) -> bool {
    !name.starts_with('.') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}

/// Reads the archive `content` and writes each wanted file to what `start` returns for its path on the host.
pub(super) fn extract<W: Write>(
    content: &mut dyn Read,
    selection: &Selection,
    mut start: impl FnMut(String) -> anyhow::Result<W>,
) -> anyhow::Result<Vec<W>> {
    let unpacked = GzDecoder::new(content).take(MAX_TOTAL_BYTES);
    let mut archive = tar::Archive::new(unpacked);
    let mut files = Vec::new();
    let mut targets = Vec::new();
    for entry in archive.entries().context("not a tar archive")? {
        let mut entry = entry.context("the archive is damaged")?;
        let path = entry.path().context("the archive has a file without a proper name")?.into_owned();
        let mode = entry.header().mode().context("the archive has a file without a mode")?;
        let Some(target) = selection.target(&path, mode).filter(|_| entry.header().entry_type().is_file()) else {
            continue;
        };
        ensure!(!targets.contains(&target), "the archive has {} twice", path.display());
        ensure!(files.len() < MAX_FILES, "the archive has more than {MAX_FILES} programs");
        let size = entry.size();
        let mut file = start(target.clone())?;
        let copied = io::copy(&mut entry, &mut file).with_context(|| format!("while unpacking {}", path.display()))?;
        ensure!(
            copied == size,
            "the archive ends within {}, or unpacks to more than {MAX_TOTAL_BYTES} bytes",
            path.display()
        );
        targets.push(target);
        files.push(file);
    }
    let first_is_there = match selection {
        Selection::Named { names, .. } => targets.iter().any(|target| target.ends_with(&format!("/{}", names[0]))),
        Selection::Below { .. } | Selection::Itself { .. } => !targets.is_empty(),
    };
    if !first_is_there {
        bail!("the archive does not hold the wanted programs");
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{EntryType, Header};

    const PLUGINS: Selection = Selection::Below { folder: "", to: "/opt/cni/bin" };
    const CONTAINERD: Selection = Selection::Below { folder: "bin", to: "/usr/local/bin" };
    const ETCD: Selection = Selection::Named { names: &["etcd", "etcdctl", "etcdutl"], to: "/usr/local/bin" };

    /// A file of a test archive: raw name bytes, kind, mode, content.
    type File<'a> = (&'a str, EntryType, u32, &'a [u8]);

    fn program<'a>(name: &'a str, content: &'a [u8]) -> File<'a> {
        (name, EntryType::Regular, 0o755, content)
    }

    fn archive(files: &[File<'_>]) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, kind, mode, content) in files {
            let mut header = Header::new_gnu();
            // Written raw: the library itself refuses hostile names.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            header.set_size(content.len() as u64);
            if *kind == EntryType::Symlink {
                header.set_link_name("/etc/shadow").unwrap();
            }
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn unpack(bytes: &[u8], selection: &Selection) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let mut targets = Vec::new();
        let files = extract(&mut &bytes[..], selection, |path| {
            targets.push(path);
            Ok(Vec::new())
        })?;
        Ok(targets.into_iter().zip(files).collect())
    }

    fn names(bytes: &[u8], selection: &Selection) -> Vec<String> {
        unpack(bytes, selection).unwrap().into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn takes_what_upstream_archives_hold() {
        let plugins = archive(&[
            ("./", EntryType::Directory, 0o755, b""),
            program("./bridge", b"bridge"),
            ("./README.md", EntryType::Regular, 0o644, b"text"),
            program("./host-local", b"ipam"),
        ]);
        assert_eq!(names(&plugins, &PLUGINS), ["/opt/cni/bin/bridge", "/opt/cni/bin/host-local"]);
        let containerd = archive(&[("bin/", EntryType::Directory, 0o755, b""), program("bin/ctr", b"ctr")]);
        assert_eq!(names(&containerd, &CONTAINERD), ["/usr/local/bin/ctr"]);
        let etcd = archive(&[
            program("etcd-v3.5.6-linux-amd64/etcd", b"etcd"),
            program("etcd-v3.5.6-linux-amd64/etcdctl", b"ctl"),
            ("etcd-v3.5.6-linux-amd64/Documentation/etcd.md", EntryType::Regular, 0o644, b"text"),
        ]);
        assert_eq!(names(&etcd, &ETCD), ["/usr/local/bin/etcd", "/usr/local/bin/etcdctl"]);
    }

    #[test]
    fn hostile_names_and_kinds_are_passed_over() {
        let hostile = archive(&[
            program("../../etc/cron.d/evil", b"x"),
            program("/etc/passwd", b"x"),
            program("bin/../../evil", b"x"),
            program("bin/sub/evil", b"x"),
            program("bin/.hidden", b"x"),
            program("bin/with space", b"x"),
            ("bin/link", EntryType::Symlink, 0o777, b""),
            ("bin/hard", EntryType::Link, 0o755, b""),
            ("bin/device", EntryType::Char, 0o755, b""),
            ("bin/fifo", EntryType::Fifo, 0o755, b""),
            program("bin/ctr", b"good"),
        ]);
        assert_eq!(unpack(&hostile, &CONTAINERD).unwrap(), [("/usr/local/bin/ctr".to_owned(), b"good".to_vec())]);
    }

    #[test]
    fn refuses_twice_the_same_program() {
        let bytes = archive(&[program("bin/ctr", b"a"), program("./bin/ctr", b"b")]);
        assert_eq!(unpack(&bytes, &CONTAINERD).unwrap_err().to_string(), "the archive has ./bin/ctr twice");
    }

    #[test]
    fn refuses_archives_without_the_wanted_program() {
        for (bytes, selection) in [
            (archive(&[program("etcd-v3.5.6/etcdctl", b"ctl")]), ETCD),
            (archive(&[program("README", b"text")]), CONTAINERD),
        ] {
            let error = unpack(&bytes, &selection).unwrap_err().to_string();
            assert_eq!(error, "the archive does not hold the wanted programs");
        }
    }

    #[test]
    fn refuses_more_programs_than_any_release_has() {
        let names: Vec<_> = (0..=MAX_FILES).map(|number| format!("plugin-{number}")).collect();
        let files: Vec<_> = names.iter().map(|name| program(name, b"x")).collect();
        assert_eq!(
            unpack(&archive(&files), &PLUGINS).unwrap_err().to_string(),
            "the archive has more than 64 programs"
        );
    }

    #[test]
    fn refuses_damage_and_archives_that_are_cut_off() {
        let whole = archive(&[program("bin/ctr", &[7; 10_000])]);
        for bytes in [&whole[..whole.len() / 2], b"nonsense", b""] {
            assert!(unpack(bytes, &CONTAINERD).is_err());
        }
    }
}
