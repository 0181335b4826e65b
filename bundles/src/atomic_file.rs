//! Files that are complete or do not exist: written under a temporary name in the same directory, synced, renamed.

use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fs_err as fs;
use tempfile::{NamedTempFile, PersistError, TempDir};

/// The prefix of the names of incomplete files. A program that was killed leaves them; the next one that writes the same file removes them.
pub const INCOMPLETE_PREFIX: &str = ".incomplete-";
/// The most bytes of a file's own name in the temporary name, which stays below 255 bytes with its additions.
const NAME_BYTES: usize = 200;

/// A file that gets its name only when [`AtomicFile::commit`] is called; if it is dropped before, nothing is left.
pub struct AtomicFile {
    path: PathBuf,
    writer: BufWriter<NamedTempFile>,
}

impl AtomicFile {
    /// Starts a file that will become `path` with the permission bits `mode`.
    pub fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let file = incomplete(path, mode)?;
        Ok(Self { path: path.to_owned(), writer: BufWriter::with_capacity(1 << 18, file) })
    }

    /// Puts the file in place, replaces an existing one, and syncs, so that it survives a power cut.
    pub fn commit(self) -> io::Result<()> {
        self.persist(NamedTempFile::persist)
    }

    /// The same, but replaces nothing: if a file of that name exists, it stays, and that is an error.
    pub fn commit_new(self) -> io::Result<()> {
        self.persist(|file, path| match file.persist_noclobber(&path) {
            // Some network file systems can neither rename with that condition nor link.
            Err(PersistError { error, file }) if !is_conclusive(&error) && path.symlink_metadata().is_err() => {
                file.persist(path)
            }
            named => named,
        })
    }

    fn persist(
        self,
        name: impl FnOnce(NamedTempFile, PathBuf) -> Result<std::fs::File, PersistError>,
    ) -> io::Result<()> {
        let file = self.writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        name(file, self.path.clone()).map_err(|error| {
            io::Error::new(error.error.kind(), format!("cannot create {}: {}", self.path.display(), error.error))
        })?;
        fs::File::open(parent(&self.path))?.sync_all()
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

/// Whether the error says why the name is not possible, and not that the file system lacks the operation.
fn is_conclusive(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied)
}

/// Writes a whole small file at once; see [`AtomicFile`].
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = AtomicFile::create(path, mode)?;
    file.write_all(content)?;
    file.commit()
}

/// A file beside `path` that has no final name yet. Files that killed programs left of the same file are removed first.
///
/// A file that is being written is locked; one that can be locked is abandoned.
pub(crate) fn incomplete(path: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let beside =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot write beside {}: {error}", path.display()));
    let prefix = incomplete_prefix(path);
    remove_stale(parent(path), &prefix).map_err(beside)?;
    loop {
        let file = tempfile::Builder::new()
            .prefix(&prefix)
            .permissions(std::fs::Permissions::from_mode(mode))
            .tempfile_in(parent(path))
            .map_err(beside)?;
        match file.as_file().lock() {
            // Some network file systems have no locks; abandoned files stay there.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(beside(error)),
            _ => {}
        }
        // Between creation and lock, another program may have taken the file for an abandoned one.
        if file.as_file().metadata()?.nlink() > 0 {
            // The umask restricts the mode at creation, so it is set again.
            file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
            return Ok(file);
        }
    }
}

/// A folder beside its future place `path`; if it is dropped before it is renamed, nothing is left.
///
/// Folders that killed programs left of the same folder are removed first. The lock ends with this value.
pub struct IncompleteFolder {
    folder: TempDir,
    _lock: fs::File,
}

impl IncompleteFolder {
    /// Creates an empty folder that all users can read.
    pub fn create(path: &Path) -> io::Result<Self> {
        let prefix = incomplete_prefix(path);
        remove_stale(parent(path), &prefix)?;
        loop {
            let permissions = std::fs::Permissions::from_mode(0o755);
            let folder = tempfile::Builder::new().prefix(&prefix).permissions(permissions).tempdir_in(parent(path))?;
            let lock = fs::File::open(folder.path())?;
            match lock.file().lock() {
                Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
                _ => {}
            }
            // Between creation and lock, another program may have taken the folder for an abandoned one.
            if folder.path().exists() {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    /// Its temporary path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder to the caller, who has renamed it.
    pub fn keep(self) {
        let _ = self.folder.keep();
    }
}

fn incomplete_prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let end = (0..=NAME_BYTES.min(name.len())).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    format!("{INCOMPLETE_PREFIX}{}-", &name[..end])
}

fn remove_stale(folder: &Path, prefix: &str) -> io::Result<()> {
    for item in fs::read_dir(folder)? {
        let item = item?;
        let left_by_kbundle = item.file_name().to_str().is_some_and(|name| is_random(name, prefix));
        let kind = item.file_type()?;
        if !left_by_kbundle || !(kind.is_file() || kind.is_dir()) {
            continue;
        }
        // It is gone by now, or belongs to another user: it stays.
        let Ok(file) = fs::File::open(item.path()) else { continue };
        if file.file().try_lock().is_ok() {
            let path = item.path();
            if kind.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
    }
    Ok(())
}

/// Whether `name` is `prefix` and the letters that `tempfile` draws, and not a longer name with the same beginning.
fn is_random(name: &str, prefix: &str) -> bool {
    const DRAWN: usize = 6;
    let drawn = name.strip_prefix(prefix);
    drawn.is_some_and(|rest| rest.len() == DRAWN && rest.bytes().all(|letter| letter.is_ascii_alphanumeric()))
}

/// The folder that contains `path`.
#[must_use]
pub fn parent(path: &Path) -> &Path {
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

    #[test]
    fn a_new_file_replaces_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("join.yaml");
        let new = |content: &[u8]| {
            let mut file = AtomicFile::create(&path, 0o600).unwrap();
            file.write_all(content).unwrap();
            file.commit_new()
        };
        new(b"first").unwrap();
        assert_eq!(new(b"second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_program_left_goes_and_what_a_living_one_writes_stays() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at(".incomplete-a.tar.zst-Abc123"), b"left behind").unwrap();
        fs::write(at(".incomplete-a.tar.zst.001-Abc123"), b"of another file").unwrap();
        let living = AtomicFile::create(&at("a.tar.zst"), 0o644).unwrap();
        assert!(!at(".incomplete-a.tar.zst-Abc123").exists());
        assert!(at(".incomplete-a.tar.zst.001-Abc123").exists());
        write_atomically(&at("a.tar.zst"), b"second", 0o644).unwrap();
        living.commit().unwrap();
        assert_eq!(fs::read(at("a.tar.zst")).unwrap(), b"");
    }

    #[test]
    fn a_name_of_the_greatest_length_still_works() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("\u{e9}".repeat(127));
        write_atomically(&path, b"whole", 0o644).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }
}
