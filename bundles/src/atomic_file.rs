//! Files that are whole or not there: written aside in the same directory, synced, renamed.

use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use tempfile::NamedTempFile;

/// How the names of files begin that are not whole yet. A program that was killed leaves them.
pub const INCOMPLETE_PREFIX: &str = ".incomplete-";

/// A file that takes its name only when [`AtomicFile::commit`] is called; dropped before, it leaves nothing.
pub struct AtomicFile {
    path: PathBuf,
    writer: BufWriter<NamedTempFile>,
}

impl AtomicFile {
    /// Starts a file that will become `path` with the permission bits `mode`.
    pub fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let file = tempfile::Builder::new()
            .prefix(INCOMPLETE_PREFIX)
            .permissions(std::fs::Permissions::from_mode(mode))
            .tempfile_in(parent(path))
            .map_err(|error| {
                io::Error::new(error.kind(), format!("cannot write beside {}: {error}", path.display()))
            })?;
        // The mode given at creation is cut by the umask; say it again.
        file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
        Ok(Self { path: path.to_owned(), writer: BufWriter::with_capacity(1 << 18, file) })
    }

    /// Puts the file in place, replacing what was there, and makes that last through a power cut.
    pub fn commit(self) -> io::Result<()> {
        let file = self.writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        let directory = parent(&self.path).to_owned();
        file.persist(&self.path).map_err(|error| {
            io::Error::new(error.error.kind(), format!("cannot create {}: {}", self.path.display(), error.error))
        })?;
        fs::File::open(directory)?.sync_all()
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.writer.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Writes a whole small file at once; see [`AtomicFile`].
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = AtomicFile::create(path, mode)?;
    file.write_all(content)?;
    file.commit()
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_nothing_when_dropped_and_all_when_committed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        let mut file = AtomicFile::create(&path, 0o600).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);

        write_atomically(&path, b"whole", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
