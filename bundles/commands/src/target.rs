//! A folder that content is unpacked to. Nothing is written outside of it: every folder is opened from the one above, and no symbolic link
//! is followed.
//!
//! Files are written under temporary names, and renamed when they are complete. The rule for all output ([`crate::destination`]) applies to
//! existing names.

use std::collections::BTreeSet;
use std::fs::TryLockError;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fs_err as fs;
use kbundle_format::EntryPath;
use kbundle_format::atomic_file::INCOMPLETE_PREFIX;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fchmod, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::destination::{DestinationError, Existing, judge};
use crate::interrupt::Interrupt;

const FOLDER_MODE: Mode = Mode::from_bits_truncate(0o755);

/// An open folder.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    root: OwnedFd,
    existing: Existing,
    interrupt: Interrupt,
    /// Subfolders from which files of killed programs were removed already.
    swept: Mutex<BTreeSet<String>>,
}

impl Target {
    /// Opens `path`, and creates it if it does not exist. Writing fails after `interrupt` has received a signal.
    ///
    /// # Errors
    /// When it is a symbolic link or not a folder.
    pub fn open(path: &Path, existing: Existing, interrupt: &Interrupt) -> io::Result<Self> {
        if !path.is_symlink() && !path.exists() {
            fs::create_dir_all(path)?;
        }
        let root = openat(nix::fcntl::AT_FDCWD, path, folder_flags(), Mode::empty())
            .map_err(|error| describe(error, &path.display().to_string()))?;
        let (path, interrupt) = (path.to_owned(), interrupt.clone());
        Ok(Self { path, root, existing, interrupt, swept: Mutex::default() })
    }

    /// Applies the rule for output to the name `path`, before anything is written.
    ///
    /// # Errors
    /// [`DestinationError`] when the name is taken by something that may not be replaced.
    pub fn check(&self, path: &EntryPath) -> Result<(), DestinationError> {
        let (folders, name) = split(path);
        let mut folder = None;
        for step in folders.split('/').filter(|step| !step.is_empty()) {
            let above = folder.as_ref().unwrap_or(&self.root);
            match openat(above, step, folder_flags(), Mode::empty()) {
                // Other errors appear when the file is started.
                Err(_) => return Ok(()),
                Ok(below) => folder = Some(below),
            }
        }
        self.judge(folder.as_ref().unwrap_or(&self.root), name, path)
    }

    fn judge(&self, folder: &OwnedFd, name: &str, path: &EntryPath) -> Result<(), DestinationError> {
        let whole = self.path.join(path.as_str());
        match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(DestinationError::Write { path: whole, source: error.into() }),
            Ok(there) => judge(&whole, Some(there.st_mode), self.existing),
        }
    }

    /// Starts the file at `path`, folders above it included, with the permission bits `mode`.
    ///
    /// # Errors
    /// When a symbolic link or a file is in the place of a folder, the name is taken, or the disk refuses.
    pub fn file(&self, path: &EntryPath, mode: u32) -> io::Result<TargetFile> {
        let failed = |error| describe(error, path.as_str());
        let (folders, name) = split(path);
        let mut folder = self.root.try_clone()?;
        for step in folders.split('/').filter(|step| !step.is_empty()) {
            match mkdirat(&folder, step, FOLDER_MODE) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(failed(error)),
            }
            folder = openat(&folder, step, folder_flags(), Mode::empty()).map_err(failed)?;
        }
        let mut swept = self.swept.lock().expect("no thread panics while it holds the lock");
        if swept.insert(folders.to_owned()) {
            sweep(&folder)?;
        }
        drop(swept);
        self.judge(&folder, name, path).map_err(io::Error::other)?;
        let file = TargetFile::create(folder, name, mode);
        let mut file = file.map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
        file.interrupt = self.interrupt.clone();
        Ok(file)
    }

    /// The folder itself.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// The folders above a file, and its name.
fn split(path: &EntryPath) -> (&str, &str) {
    path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()))
}

fn folder_flags() -> OFlag {
    OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY
}

/// Removes files that killed programs left in `folder`. A file that is being written is locked.
fn sweep(folder: &OwnedFd) -> io::Result<()> {
    let mut listing = Dir::openat(folder, ".", folder_flags(), Mode::empty())?;
    for item in listing.iter() {
        let item = item?;
        if !item.file_name().to_bytes().starts_with(INCOMPLETE_PREFIX.as_bytes()) {
            continue;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        // It is gone by now, a link, or somebody else's: then kbundle must not remove it.
        let Ok(opened) = openat(folder, item.file_name(), flags, Mode::empty()) else { continue };
        let file = std::fs::File::from(opened);
        if file.metadata()?.is_file() && file.try_lock().is_ok() {
            unlinkat(folder, item.file_name(), UnlinkatFlags::NoRemoveDir)?;
        }
    }
    Ok(())
}

/// Removes a file that no program is writing, as far as locks show.
fn remove_abandoned(folder: &OwnedFd, name: &str) -> io::Result<()> {
    let file = std::fs::File::from(openat(folder, name, OFlag::O_RDONLY | OFlag::O_NOFOLLOW, Mode::empty())?);
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another program is writing this file"));
    }
    Ok(unlinkat(folder, name, UnlinkatFlags::NoRemoveDir)?)
}

/// The kernel returns `ELOOP` or `ENOTDIR` for a symbolic link in the place of a folder.
fn describe(error: Errno, what: &str) -> io::Error {
    let reason = match error {
        Errno::ELOOP | Errno::ENOTDIR => {
            "a symbolic link or a file lies where a folder belongs; links are not followed"
        }
        error => error.desc(),
    };
    io::Error::new(io::Error::from(error).kind(), format!("{what}: {reason}"))
}

/// An unfinished file; if it is dropped before [`TargetFile::commit`], nothing is left.
#[derive(Debug)]
pub struct TargetFile {
    folder: OwnedFd,
    aside: String,
    name: String,
    writer: Option<BufWriter<std::fs::File>>,
    interrupt: Interrupt,
}

impl TargetFile {
    fn create(folder: OwnedFd, name: &str, mode: u32) -> io::Result<Self> {
        let aside = format!("{INCOMPLETE_PREFIX}{name}");
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let permissions = Mode::from_bits_truncate(mode);
        let opened = match openat(&folder, aside.as_str(), flags, permissions) {
            Err(Errno::EEXIST) => {
                remove_abandoned(&folder, &aside)?;
                return Self::create(folder, name, mode);
            }
            opened => std::fs::File::from(opened?),
        };
        match opened.try_lock() {
            // Some network file systems have no locks; abandoned files stay there.
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
            _ => {}
        }
        // Between creation and lock, another program may have taken the file for an abandoned one.
        if opened.metadata()?.nlink() == 0 {
            return Self::create(folder, name, mode);
        }
        // The umask restricts the mode at creation, so it is set again.
        fchmod(&opened, permissions)?;
        let writer = Some(BufWriter::with_capacity(1 << 18, opened));
        Ok(Self { folder, aside, name: name.to_owned(), writer, interrupt: Interrupt::default() })
    }

    /// Renames the file to its final name, and syncs that.
    ///
    /// # Errors
    /// When the disk is full or fails; nothing has the name then.
    pub fn commit(mut self) -> io::Result<()> {
        let writer = self.writer.take().expect("only commit takes it");
        let written = writer.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        if let Err(error) = written {
            self.remove();
            return Err(error);
        }
        if let Err(error) = renameat(&self.folder, self.aside.as_str(), &self.folder, self.name.as_str()) {
            self.remove();
            return Err(describe(error, &self.name));
        }
        std::fs::File::from(self.folder.try_clone()?).sync_all()
    }

    fn remove(&self) {
        // No program looks for its temporary name, and the next run removes it.
        let _ = unlinkat(&self.folder, self.aside.as_str(), UnlinkatFlags::NoRemoveDir);
    }
}

impl Drop for TargetFile {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            self.remove();
        }
    }
}

impl Write for TargetFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.interrupt.check()?;
        self.writer.as_mut().expect("only commit takes it").write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().expect("only commit takes it").flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn path(text: &str) -> EntryPath {
        text.parse().unwrap()
    }

    fn open(path: &Path, existing: Existing) -> Target {
        Target::open(path, existing, &Interrupt::default()).unwrap()
    }

    #[test]
    fn files_have_their_name_only_when_they_are_whole() {
        let directory = tempfile::tempdir().unwrap();
        let target = open(&directory.path().join("new"), Existing::KeptWithoutForce);
        let mut file = target.file(&path("a/b/program"), 0o755).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(directory.path().join("new/a/b")).unwrap().count(), 0);
        let mut file = target.file(&path("a/b/program"), 0o755).unwrap();
        file.write_all(b"whole").unwrap();
        file.commit().unwrap();
        let written = directory.path().join("new/a/b/program");
        assert_eq!(fs::read(&written).unwrap(), b"whole");
        assert_eq!(fs::metadata(&written).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn links_are_neither_followed_nor_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (outside, inside) = (directory.path().join("outside"), directory.path().join("inside"));
        fs::create_dir(&outside).unwrap();
        fs::create_dir(&inside).unwrap();
        symlink(&outside, inside.join("blobs")).unwrap();
        symlink(outside.join("file"), inside.join("file")).unwrap();
        let target = open(&inside, Existing::Replaced);
        let error = target.file(&path("blobs/x"), 0o644).unwrap_err();
        assert!(error.to_string().contains("links are not followed"), "{error}");
        assert!(matches!(target.check(&path("file")), Err(DestinationError::Link { .. })));
        let error = target.file(&path("file"), 0o644).unwrap_err();
        assert!(error.to_string().contains("is a symbolic link"), "{error}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        symlink(&inside, directory.path().join("link")).unwrap();
        let opened = Target::open(&directory.path().join("link"), Existing::Replaced, &Interrupt::default());
        assert!(opened.is_err());
    }

    #[test]
    fn files_are_replaced_only_when_told() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        fs::write(directory.path().join("a/file"), b"before").unwrap();
        let kept = open(directory.path(), Existing::KeptWithoutForce);
        assert!(matches!(kept.check(&path("a/file")), Err(DestinationError::Exists { .. })));
        assert!(kept.file(&path("a/file"), 0o644).is_err());
        assert!(kept.check(&path("b/file")).is_ok() && kept.check(&path("file")).is_ok());
        let replaced = open(directory.path(), Existing::Replaced);
        replaced.check(&path("a/file")).unwrap();
        replaced.file(&path("a/file"), 0o644).unwrap().commit().unwrap();
        assert_eq!(fs::read(directory.path().join("a/file")).unwrap(), b"");
    }
}
