//! Looks at files of the host. Changes nothing.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use fs_err as fs;
use kbundle_format::{Digest, Hasher};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access, syncfs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Host, HostError, Owner, absent};

/// The room of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Space {
    /// Its size.
    pub total_bytes: u64,
    /// What is free for unprivileged users.
    pub free_bytes: u64,
}

impl Host {
    /// The content of a file, or `None` if there is none.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, HostError> {
        absent(fs::read(self.path(path)), || format!("read {path}"))
    }

    /// The content of a text file, or `None` if there is none. Bytes that are not UTF-8 are replaced.
    pub fn read_text(&self, path: &str) -> Result<Option<String>, HostError> {
        Ok(self.read(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Whether anything is at `path`, a dangling link included.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// The target of the symbolic link at `path`, as an absolute path; `path` itself if it is not a link.
    #[must_use]
    pub fn followed(&self, path: &str) -> String {
        let Ok(target) = fs::read_link(self.path(path)) else { return path.to_owned() };
        let mut found = PathBuf::from("/");
        for part in Path::new(path).parent().unwrap_or(Path::new("/")).join(target).components() {
            match part {
                Component::ParentDir => drop(found.pop()),
                Component::Normal(name) => found.push(name),
                _ => {}
            }
        }
        found.to_string_lossy().into_owned()
    }

    /// Whether a file is at `path`; a link to one counts.
    #[must_use]
    pub fn is_file(&self, path: &str) -> bool {
        self.path(path).is_file()
    }

    /// The size in bytes of the file at `path`, or of the file that it links to; `None` if there is none.
    pub fn size_of(&self, path: &str) -> Result<Option<u64>, HostError> {
        Ok(absent(fs::metadata(self.path(path)), || format!("look at {path}"))?.map(|found| found.len()))
    }

    /// Whether root may write to the file. The permission bits of some kernel settings forbid it even to root.
    #[must_use]
    pub fn is_writable(&self, path: &str) -> bool {
        access(&self.path(path), AccessFlags::W_OK).is_ok()
    }

    /// The names in a directory, in no order; empty if it does not exist.
    pub fn names_in(&self, path: &str) -> Result<Vec<String>, HostError> {
        let act = || format!("look into {path}");
        let entries = absent(fs::read_dir(self.path(path)), act)?;
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        let names: io::Result<_> = entries.into_iter().flatten().map(name).collect();
        names.map_err(|source| HostError::File { act: act(), source })
    }

    /// Whether the file at `path` has exactly this content and these permission bits.
    pub fn has_file(&self, path: &str, content: &[u8], mode: u32) -> Result<bool, HostError> {
        let metadata = absent(fs::symlink_metadata(self.path(path)), || format!("look at {path}"))?;
        Ok(metadata.is_some_and(|found| found.is_file() && found.permissions().mode() & 0o7777 == mode)
            && self.read(path)?.as_deref() == Some(content))
    }

    /// The owner of a file or directory; `None` if there is none.
    pub fn owner(&self, path: &str) -> Result<Option<Owner>, HostError> {
        let metadata = absent(fs::symlink_metadata(self.path(path)), || format!("look at {path}"))?;
        Ok(metadata.map(|found| Owner { user: found.uid(), group: found.gid() }))
    }

    /// The permission bits of the regular file at `path`; `None` if there is none. A link does not count.
    pub fn permissions(&self, path: &str) -> Result<Option<u32>, HostError> {
        let metadata = absent(fs::symlink_metadata(self.path(path)), || format!("look at {path}"))?;
        Ok(metadata.filter(std::fs::Metadata::is_file).map(|found| found.permissions().mode() & 0o7777))
    }

    /// Whether this program may run the file.
    #[must_use]
    pub fn is_executable(&self, path: &str) -> bool {
        access(&self.path(path), AccessFlags::X_OK).is_ok()
    }

    /// Whether a directory is at `path`; a link to one does not count.
    #[must_use]
    pub fn is_directory(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok_and(|found| found.is_dir())
    }

    /// Whether a file is at `path`, or a directory that holds anything but empty directories.
    pub fn holds_files(&self, path: &str) -> Result<bool, HostError> {
        if !self.is_directory(path) {
            return Ok(self.exists(path));
        }
        for name in self.names_in(path)? {
            if self.holds_files(&format!("{path}/{name}"))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Opens a file to read it.
    pub fn open(&self, path: &str) -> Result<fs::File, HostError> {
        fs::File::open(self.path(path)).map_err(|source| HostError::File { act: format!("read {path}"), source })
    }

    /// The digest of the file at `path` and its permission bits; `None` where no regular file is there.
    pub fn digest(&self, path: &str) -> Result<Option<(Digest, u32)>, HostError> {
        let act = || format!("read {path}");
        let found = absent(fs::symlink_metadata(self.path(path)), act)?;
        let Some(found) = found.filter(std::fs::Metadata::is_file) else { return Ok(None) };
        let mut hasher = Hasher::new(io::sink());
        io::copy(&mut self.open(path)?, &mut hasher).map_err(|source| HostError::File { act: act(), source })?;
        Ok(Some((hasher.finish().0, found.permissions().mode() & 0o7777)))
    }

    /// The room of the file system that is mounted at `path`; `None` if it has none, such as `/proc`.
    pub fn space(&self, path: &str) -> Result<Option<Space>, HostError> {
        let space = statvfs(&self.path(path))
            .map_err(|errno| HostError::File { act: format!("see how much room {path} has"), source: errno.into() })?;
        let bytes = |blocks: u64| blocks * space.fragment_size();
        let found = Space { total_bytes: bytes(space.blocks()), free_bytes: bytes(space.blocks_available()) };
        Ok((space.blocks() > 0).then_some(found))
    }

    /// Makes the kernel write the file system that contains `path` to its disk.
    pub fn sync_file_system(&self, path: &str) -> Result<(), HostError> {
        syncfs(&self.open(path)?)
            .map_err(|errno| HostError::File { act: format!("write {path} to the disk"), source: errno.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;

    #[test]
    fn only_what_holds_files_counts() {
        let bench = Bench::new();
        fs::create_dir_all(bench.path("empty/inner")).unwrap();
        bench.file("full/inner/file", "");
        let host = bench.host();
        let found = ["/empty", "/full", "/full/inner/file", "/nowhere"].map(|path| host.holds_files(path).unwrap());
        assert_eq!(found, [false, true, true, false]);
    }

    #[test]
    fn room_is_told_or_it_is_unknown() {
        let host = Bench::new().host();
        let error = host.space("/nowhere").unwrap_err();
        assert_eq!(error.to_string(), "cannot see how much room /nowhere has");
        let bench = Bench::new();
        let space = bench.host().space("/").unwrap().unwrap();
        assert!(space.total_bytes >= space.free_bytes && space.total_bytes > 0);
    }

    #[test]
    fn a_link_is_followed_to_the_file_that_can_be_changed() {
        let bench = Bench::new();
        bench.file("etc/sysctl.conf", "");
        fs::create_dir_all(bench.path("etc/sysctl.d")).unwrap();
        fs::os::unix::fs::symlink("../sysctl.conf", bench.path("etc/sysctl.d/99-sysctl.conf")).unwrap();
        let host = bench.host();
        assert_eq!(host.followed("/etc/sysctl.d/99-sysctl.conf"), "/etc/sysctl.conf");
        assert_eq!(host.followed("/etc/sysctl.conf"), "/etc/sysctl.conf");
    }

    #[test]
    fn a_link_has_no_digest() {
        let bench = Bench::new();
        bench.file("file", "content");
        fs::os::unix::fs::symlink("file", bench.path("link")).unwrap();
        let host = bench.host();
        assert_eq!(host.digest("/file").unwrap().map(|(digest, _)| digest), Some(Digest::of(b"content")));
        assert_eq!((host.digest("/link").unwrap(), host.digest("/nowhere").unwrap()), (None, None));
    }
}
