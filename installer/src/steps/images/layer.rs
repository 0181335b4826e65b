//! Compares a layer's archive with the directory that it was unpacked to.
//!
//! Archive: OCI image-spec 1.1, `layer.md`. Directory: in the form of containerd's overlayfs snapshotter, in which a whiteout is a
//! character device (`archive/tar_opts_linux.go` of containerd). Content is streamed; only faults are kept in memory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use fs_err as fs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tar::{Archive, EntryType};

/// The prefix with which a layer marks a file of a lower layer as deleted.
const WHITEOUT: &str = ".wh.";
/// Such names are about their directory, not about a file, for example `.wh..wh..opq`.
const WHITEOUT_META: &str = ".wh..wh.";
/// The kernel follows at most as many links in one path (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, JsonSchema)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", tag = "kind")]
pub enum Fault {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// It has another size, in bytes.
    #[error("has {found} bytes instead of {expected}")]
    Size {
        /// As in the archive.
        expected: u64,
        /// As on the disk.
        found: u64,
    },
    /// It is a directory instead of a file, or the like.
    #[error("is of another kind")]
    Kind,
}

/// What should be at a path by the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Directory,
    File(u64),
    /// Another name of an earlier file.
    HardLink,
    Symlink,
    Device,
    Whiteout,
}

/// What was found at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FoundFile {
    Directory,
    File(u64),
    Symlink,
    Device,
}

impl From<&Metadata> for FoundFile {
    fn from(metadata: &Metadata) -> Self {
        let kind = metadata.file_type();
        if kind.is_dir() {
            Self::Directory
        } else if kind.is_file() {
            Self::File(metadata.len())
        } else if kind.is_symlink() {
            Self::Symlink
        } else {
            Self::Device
        }
    }
}

impl Expected {
    fn judge(self, found: Option<FoundFile>) -> Option<Fault> {
        match (self, found) {
            (Self::File(expected), Some(FoundFile::File(found))) if expected != found => {
                Some(Fault::Size { expected, found })
            }
            (Self::Directory, Some(FoundFile::Directory))
            | (Self::File(_) | Self::HardLink, Some(FoundFile::File(_)))
            | (Self::HardLink | Self::Symlink, Some(FoundFile::Symlink))
            | (Self::HardLink | Self::Device, Some(FoundFile::Device))
            // Three things are right for a whiteout: a device; nothing, in the lowest layer; and whatever the same layer puts there again.
            | (Self::Whiteout, _) => None,
            (_, None) => Some(Fault::Missing),
            (_, Some(_)) => Some(Fault::Kind),
        }
    }
}

/// Finds what `directory` lacks of the layer in `archive`, a plain tar. Paths are relative to the root.
///
/// # Errors
/// When the archive or the directory cannot be read.
pub fn compare(archive: impl Read, directory: &Path) -> io::Result<BTreeMap<PathBuf, Fault>> {
    let mut faults = BTreeMap::new();
    for entry in Archive::new(archive).entries()? {
        let entry = entry?;
        let path = relative(&entry.path()?);
        let Some((path, expected)) = expectation(&path, entry.header().entry_type(), entry.size()) else { continue };
        // An archive may contain a path twice; the last one counts.
        match expected.judge(look(directory, &path)?) {
            Some(fault) => drop(faults.insert(path, fault)),
            None => drop(faults.remove(&path)),
        }
    }
    Ok(faults)
}

/// The path and the expected content of an entry; `None` for the root, for marks of directories, and for kinds that containerd leaves out.
fn expectation(path: &Path, kind: EntryType, size: u64) -> Option<(PathBuf, Expected)> {
    let name = path.file_name()?.as_encoded_bytes();
    if name.starts_with(WHITEOUT_META.as_bytes()) {
        return None;
    }
    if name.starts_with(WHITEOUT.as_bytes()) {
        let hidden = path.file_name()?.to_str()?.strip_prefix(WHITEOUT)?;
        return Some((path.with_file_name(hidden), Expected::Whiteout));
    }
    let expected = match kind {
        EntryType::Directory => Expected::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Expected::File(size),
        EntryType::Link => Expected::HardLink,
        EntryType::Symlink => Expected::Symlink,
        EntryType::Char | EntryType::Block | EntryType::Fifo => Expected::Device,
        _ => return None,
    };
    Some((path.to_owned(), expected))
}

/// The path without a leading `/` or `./`, and with `..` resolved as by Go's `filepath.Clean`.
fn relative(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    clean
}

fn look(root: &Path, path: &Path) -> io::Result<Option<FoundFile>> {
    let Some(place) = inside(root, path)? else { return Ok(None) };
    match fs::symlink_metadata(place) {
        Ok(metadata) => Ok(Some(FoundFile::from(&metadata))),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where `path` is if `root` is the root directory: links in its parents stay below `root`. `None` if a parent does not exist.
fn inside(root: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    let backwards = |path: &Path| path.components().rev().map(|part| part.as_os_str().to_owned()).collect::<Vec<_>>();
    let (mut rest, mut at, mut links): (Vec<OsString>, _, _) = (backwards(path), PathBuf::new(), 0);
    while let Some(name) = rest.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        if rest.is_empty() {
            return Ok(Some(root.join(at).join(name)));
        }
        let place = root.join(&at).join(&name);
        match fs::symlink_metadata(&place) {
            Ok(metadata) if metadata.is_symlink() => {
                links += 1;
                if links > MAX_LINKS {
                    return Ok(None);
                }
                let target = fs::read_link(&place)?;
                if target.is_absolute() {
                    at = PathBuf::new();
                }
                rest.extend(backwards(&target).into_iter().filter(|part| part != "/"));
            }
            Ok(_) => at.push(name),
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(root.join(at)))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// An archive of a folder, two files, a symbolic and a hard link, and a whiteout.
    fn archive() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |path: &str, kind, content: &str, target: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o755);
            header.set_size(content.len() as u64);
            match target {
                "" => builder.append_data(&mut header, path, content.as_bytes()).unwrap(),
                target => builder.append_link(&mut header, path, target).unwrap(),
            }
        };
        add("./bin/", EntryType::Directory, "", "");
        add("./bin/busybox", EntryType::Regular, "program", "");
        add("./bin/nslookup", EntryType::Symlink, "", "busybox");
        add("./bin/wget", EntryType::Link, "", "bin/busybox");
        add("./etc/.wh.motd", EntryType::Regular, "", "");
        add("./var/.wh..wh..opq", EntryType::Regular, "", "");
        // The last one counts.
        add("./etc/passwd", EntryType::Regular, "before", "");
        add("./etc/passwd", EntryType::Regular, "root", "");
        builder.into_inner().unwrap()
    }

    fn unpacked() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("bin")).unwrap();
        fs::create_dir_all(path("etc")).unwrap();
        fs::write(path("bin/busybox"), "program").unwrap();
        fs::hard_link(path("bin/busybox"), path("bin/wget")).unwrap();
        symlink("busybox", path("bin/nslookup")).unwrap();
        fs::write(path("etc/passwd"), "root").unwrap();
        root
    }

    fn faults(root: &Path) -> Vec<String> {
        let faults = compare(&archive()[..], root).unwrap();
        faults.into_iter().map(|(path, fault)| format!("{} {fault}", path.display())).collect()
    }

    #[test]
    fn a_whole_layer_lacks_nothing() {
        assert_eq!(faults(unpacked().path()), [""; 0]);
    }

    #[test]
    fn files_that_are_gone_cut_or_replaced_are_named() {
        let root = unpacked();
        fs::remove_file(root.path().join("bin/nslookup")).unwrap();
        fs::write(root.path().join("etc/passwd"), "").unwrap();
        fs::remove_file(root.path().join("bin/wget")).unwrap();
        fs::create_dir(root.path().join("bin/wget")).unwrap();
        assert_eq!(
            faults(root.path()),
            ["bin/nslookup is missing", "bin/wget is of another kind", "etc/passwd has 0 bytes instead of 4"]
        );
    }

    #[test]
    fn a_layer_of_which_nothing_is_there_lacks_all() {
        let root = tempfile::tempdir().unwrap();
        let all = ["bin", "bin/busybox", "bin/nslookup", "bin/wget", "etc/passwd"];
        assert_eq!(faults(root.path()), all.map(|path| format!("{path} is missing")));
    }

    /// `/bin -> usr/bin` in the same layer, and a link that leads out of the layer.
    #[test]
    fn links_on_the_way_stay_inside() {
        let root = unpacked();
        fs::create_dir(root.path().join("usr")).unwrap();
        fs::rename(root.path().join("bin"), root.path().join("usr/bin")).unwrap();
        symlink("/usr/bin", root.path().join("bin")).unwrap();
        let place = |path: &str| inside(root.path(), Path::new(path)).unwrap();
        assert_eq!(place("bin/busybox"), Some(root.path().join("usr/bin/busybox")));
        symlink("../../../etc", root.path().join("out")).unwrap();
        assert_eq!(place("out/passwd"), Some(root.path().join("etc/passwd")));
        symlink("round", root.path().join("round")).unwrap();
        assert_eq!(place("round/x"), None);
    }
}
