//! The host: the only way to files, units and commands.
//!
//! Every change goes through here. The state before it is written to the [`Ledger`] first, so that `reset` can restore the host, even after
//! a run that was cut off.

pub mod command;
pub mod ledger;
mod look;
pub mod marked;
mod processes;
mod runtime;
pub mod systemd;
mod trees;
mod undo;
pub mod unfinished;
mod users;

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::chown;
use kbundle_format::atomic_file::{AtomicFile, INCOMPLETE_PREFIX, write_atomically};

use crate::procfs::mounts;

pub use command::{Command, CommandError, Commands, Feed, Output, SystemCommands};
pub use ledger::{Change, Ledger, LedgerError, StepState};
pub use look::Space;
pub use processes::{FileIdentity, Process};
pub use systemd::{UnitFiles, UnitState};

/// Why kinstall could not read something on the host, or change it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// An error of a file or directory. The text names it.
    #[error("cannot {act}")]
    File {
        /// What was tried, with the path.
        act: String,
        /// The cause.
        source: io::Error,
    },
    /// The file is a link, whose target belongs to someone else.
    #[error("{path} is a symbolic link; it is not replaced")]
    Link {
        /// Absolute path on the host.
        path: String,
    },
    /// A group of this name that someone else made.
    #[error("the group {name} exists without a user of that name; it is not used")]
    GroupTaken {
        /// The group.
        name: String,
    },
    /// No id is left for a system user.
    #[error("no id below 1000 is free for the system user {name}")]
    NoFreeUserId {
        /// The user.
        name: String,
    },
    /// Files that kinstall has no record of.
    #[error("{path} is not removed: it is not in kinstall's record of changes")]
    NotOurs {
        /// Absolute path on the host.
        path: String,
    },
    /// A path on a disk. Only the runtime's own file systems may be cleaned without a record.
    #[error("{path} is not removed: it does not lie in a file system that the kernel or systemd keeps in memory")]
    NotRuntime {
        /// Absolute path on the host.
        path: String,
    },
    /// An error of a program.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// An error of the record of changes.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A user and a group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub user: u32,
    /// Group id.
    pub group: u32,
}

impl Owner {
    /// The administrator.
    pub const ROOT: Self = Self { user: 0, group: 0 };
}

/// This host, or in tests a directory that stands in for its root.
pub struct Host {
    root: PathBuf,
    commands: Box<dyn Commands>,
    ledger: Ledger,
}

impl Host {
    /// The machine this program runs on.
    pub fn local() -> Result<Self, HostError> {
        Self::under(Path::new("/"), Box::new(SystemCommands))
    }

    /// A host whose files lie under `root` and whose programs are `commands`.
    pub fn under(root: &Path, commands: Box<dyn Commands>) -> Result<Self, HostError> {
        let ledger = Ledger::open(&root.join(ledger::DIRECTORY.trim_start_matches('/')))?;
        Ok(Self { root: root.to_owned(), commands, ledger })
    }

    /// The path of this program for the absolute `path` of the host. Private: the rest of the program reads and changes the host's files by
    /// the methods of [`Host`], so that no change bypasses the ledger.
    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What was changed so far.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The record of changes, to add to it.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Forgets what was changed: the record and the copies. The last act of a reset.
    pub fn forget(self) -> Result<(), HostError> {
        Ok(self.ledger.erase()?)
    }

    /// Runs a program to its end and fails when it does.
    pub fn run(&self, command: &Command) -> Result<Output, HostError> {
        Ok(self.commands.run(command)?.success(command)?)
    }

    /// Runs a program to its end, whatever its exit code.
    pub fn try_run(&self, command: &Command) -> Result<Output, HostError> {
        Ok(self.commands.run(command)?)
    }

    /// Runs a program to its end, whatever its exit code; `None` if it is not installed.
    pub fn run_if_installed(&self, command: &Command) -> Result<Option<Output>, HostError> {
        match self.commands.run(command) {
            Ok(output) => Ok(Some(output)),
            Err(CommandError::Start { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs a program to its end while `feed` writes its input, and fails if the program fails.
    pub fn feed(&self, command: &Command, feed: Feed<'_>) -> Result<Output, HostError> {
        Ok(self.commands.run_fed(command, feed)?.success(command)?)
    }

    /// Makes a directory and its parents, recording each that is new.
    pub fn make_directory(&mut self, path: &str, mode: u32) -> Result<(), HostError> {
        let wanted = Path::new(path);
        for part in wanted.ancestors().collect::<Vec<_>>().into_iter().rev() {
            let text = part.to_string_lossy();
            if self.exists(&text) {
                continue;
            }
            // A tree that is removed as a whole needs no records of its parts.
            if !self.ledger.claims(&text) {
                self.ledger.record(Change::CreatedDirectory { path: text.to_string() })?;
            }
            let mode = if part == wanted { mode } else { 0o755 };
            let target = self.path(&text);
            let made =
                fs::create_dir(&target).and_then(|()| fs::set_permissions(&target, PermissionsExt::from_mode(mode)));
            made.map_err(|source| HostError::File { act: format!("create directory {text}"), source })?;
        }
        Ok(())
    }

    /// Puts a file in place, whole or not at all, and keeps what was there for `reset`.
    pub fn write_file(&mut self, path: &str, content: &[u8], mode: u32) -> Result<(), HostError> {
        self.prepare(path)?;
        write_atomically(&self.path(path), content, mode)
            .map_err(|source| HostError::File { act: format!("write {path}"), source })
    }

    /// Like [`Host::write_file`], for content that is streamed: `fill` writes, and the file appears only when it succeeded.
    pub fn write_file_with<E: From<HostError>>(
        &mut self,
        path: &str,
        mode: u32,
        fill: impl FnOnce(&mut AtomicFile) -> Result<(), E>,
    ) -> Result<(), E> {
        self.prepare(path)?;
        let failed = |source| HostError::File { act: format!("write {path}"), source };
        let mut file = AtomicFile::create(&self.path(path), mode).map_err(failed)?;
        fill(&mut file)?;
        file.commit().map_err(failed)?;
        Ok(())
    }

    /// Puts kinstall's marked lines into a file of others, or removes them; owner and mode stay.
    ///
    /// `content` is the whole new text, made by the functions of [`marked`].
    pub fn edit_file(&mut self, path: &str, content: &str) -> Result<(), HostError> {
        if !self.exists(path) {
            return self.write_file(path, content.as_bytes(), 0o644);
        }
        self.ledger.record(Change::EditedFile { path: path.to_owned() })?;
        self.rewrite(path, content)
    }

    /// Gives a file new content, and keeps its owner and mode; does nothing if it is gone.
    fn rewrite(&self, path: &str, content: &str) -> Result<(), HostError> {
        let target = self.path(path);
        let found = absent(fs::symlink_metadata(&target), || format!("look at {path}"))?;
        let Some(found) = found else { return Ok(()) };
        if found.is_symlink() {
            return Err(HostError::Link { path: path.to_owned() });
        }
        let mode = found.permissions().mode() & 0o7777;
        let written = write_atomically(&target, content.as_bytes(), mode)
            .and_then(|()| chown(&target, Some(found.uid()), Some(found.gid())));
        written.map_err(|source| HostError::File { act: format!("write {path}"), source })
    }

    /// Starts a file that appears under its name only when the caller commits it; see [`Host::write_file`].
    pub fn stage_file(&mut self, path: &str, mode: u32) -> Result<AtomicFile, HostError> {
        self.prepare(path)?;
        AtomicFile::create(&self.path(path), mode)
            .map_err(|source| HostError::File { act: format!("write {path}"), source })
    }

    /// Removes a file; `true` if there was one. A file that others made outside of a claimed tree is first kept for `reset`.
    pub fn remove_file(&mut self, path: &str) -> Result<bool, HostError> {
        if self.exists(path) && !self.ledger.claims(path) {
            self.prepare(path)?;
        }
        self.delete_file(path)
    }

    /// Changes the owner of a file or directory that kinstall made.
    pub fn own(&self, path: &str, owner: Owner) -> Result<(), HostError> {
        chown(self.path(path), Some(owner.user), Some(owner.group))
            .map_err(|source| HostError::File { act: format!("give {path} to user {}", owner.user), source })
    }

    /// Removes a directory of kinstall's own, below a claimed one, with everything in it.
    ///
    /// # Errors
    /// Also when the ledger has no claim to it: nothing is removed that others may have made.
    pub fn remove_claimed(&mut self, path: &str) -> Result<bool, HostError> {
        if !self.ledger.claims(path) && !self.ledger.covers(path) {
            return Err(HostError::NotOurs { path: path.to_owned() });
        }
        self.remove_tree(path)
    }

    /// Renames a file or directory within a claimed tree, so that the new name survives a power cut.
    pub fn rename_claimed(&self, from: &str, to: &str) -> Result<(), HostError> {
        if let Some(path) = [from, to].into_iter().find(|path| !self.ledger.claims(path)) {
            return Err(HostError::NotOurs { path: path.to_owned() });
        }
        let renamed = fs::rename(self.path(from), self.path(to));
        let renamed =
            renamed.and_then(|()| self.path(to).parent().map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all()));
        renamed.map_err(|source| HostError::File { act: format!("rename {from} to {to}"), source })
    }

    /// Writes a file of kinstall's own records, such as `bundle/keys/x.pem`, unless it has this content already. A reset removes the
    /// directory of these records, so the ledger need not know them.
    pub fn keep_record(&self, name: &str, content: &[u8]) -> Result<(), HostError> {
        let path = format!("{}/{name}", ledger::DIRECTORY);
        if self.read(&path)?.as_deref() == Some(content) {
            return Ok(());
        }
        let target = self.path(&path);
        let made = target.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| write_atomically(&target, content, 0o644))
            .map_err(|source| HostError::File { act: format!("write {path}"), source })
    }

    /// Removes a file of kinstall's own records; one that is gone is not an error.
    pub fn remove_record(&self, name: &str) -> Result<(), HostError> {
        self.delete_file(&format!("{}/{name}", ledger::DIRECTORY)).map(drop)
    }

    /// Removes incomplete files that a run left when it was cut off. There is only one run at a time.
    pub fn sweep_incomplete(&self) -> Result<(), HostError> {
        let file = |change: &Change| match change {
            Change::CreatedFile { path } | Change::ReplacedFile { path, .. } => {
                Path::new(path).parent().map(Path::to_owned)
            }
            _ => None,
        };
        let directories: BTreeSet<_> = self.ledger.changes().iter().filter_map(file).collect();
        for directory in directories {
            let act = || format!("sweep {}", directory.display());
            let path = self.path(&directory.to_string_lossy());
            for entry in absent(fs::read_dir(path), act)?.into_iter().flatten() {
                let entry = entry.map_err(|source| HostError::File { act: act(), source })?;
                if entry.file_name().to_string_lossy().starts_with(INCOMPLETE_PREFIX) {
                    absent(fs::remove_file(entry.path()), act)?;
                }
            }
        }
        Ok(())
    }

    /// Makes a symbolic link at `path`. Nothing may exist there yet.
    pub fn make_link(&mut self, path: &str, target: &str) -> Result<(), HostError> {
        self.prepare(path)?;
        let made = fs::os::unix::fs::symlink(target, self.path(path));
        made.map_err(|source| HostError::File { act: format!("link {path} to {target}"), source })
    }

    /// Changes a kernel setting by its dotted name, keeping its first value for `reset`.
    pub fn set_sysctl(&mut self, name: &str, value: &str) -> Result<(), HostError> {
        // systemd-sysctl reads names in the same way: after a slash, a dot is part of a name, such as an interface's.
        let key = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
        let path = format!("/proc/sys/{key}");
        let was = self.read_text(&path)?.unwrap_or_default().trim().to_owned();
        let recorded = |change: &Change| matches!(change, Change::Sysctl { key: known, .. } if *known == key);
        if !self.ledger.changes().iter().any(recorded) {
            self.ledger.record(Change::Sysctl { key, was })?;
        }
        // Not through a temporary file: the kernel takes the value itself.
        let written = fs::write(self.path(&path), value);
        written.map_err(|source| HostError::File { act: format!("set {name} to {value}"), source })
    }

    /// Records the value of a kernel setting, by its dotted name, before a program starts that may write the value `theirs` to it, so that
    /// `reset` can restore it. Does nothing if the kernel does not have the setting, or lets nobody write it.
    pub fn note_sysctl(&mut self, name: &str, theirs: &str) -> Result<(), HostError> {
        let key = name.replace('.', "/");
        let path = format!("/proc/sys/{key}");
        let Some(was) = self.read_text(&path)?.filter(|_| self.is_writable(&path)) else { return Ok(()) };
        let noted = |change: &Change| match change {
            Change::Sysctl { key: known, .. } | Change::SysctlOfOthers { key: known, .. } => *known == key,
            _ => false,
        };
        if !self.ledger.changes().iter().any(noted) {
            let (was, theirs) = (was.trim().to_owned(), theirs.to_owned());
            self.ledger.record(Change::SysctlOfOthers { key, was, theirs })?;
        }
        Ok(())
    }

    /// Records that nothing is mounted at `path` before a program starts that mounts something there.
    pub fn note_mount(&mut self, path: &str) -> Result<(), HostError> {
        let text = self.read_text("/proc/self/mounts")?.unwrap_or_default();
        let change = Change::MountOfOthers { path: path.to_owned() };
        if self.ledger.changes().contains(&change) || mounts(&text).iter().any(|mount| mount.path == path) {
            return Ok(());
        }
        Ok(self.ledger.record(change)?)
    }

    /// Claims `path` for a tree that others fill (a data directory): `reset` removes everything that it contains by then.
    ///
    /// A tree that contains files already belongs to others and stays; preflight has then refused, or the user has allowed it.
    pub fn claim_tree(&mut self, path: &str) -> Result<(), HostError> {
        if self.ledger.claims(path) {
            return Ok(());
        }
        if !self.exists(path) {
            // The parent is recorded first, so that it is undone last, when it is empty.
            if let Some(parent) = Path::new(path).parent() {
                self.make_directory(&parent.to_string_lossy(), 0o755)?;
            }
            return Ok(self.ledger.record(Change::ClaimedTree { path: path.to_owned() })?);
        }
        let found = empty_directories(&self.path(path), Path::new(""));
        if let Some(kept) = found.map_err(|source| HostError::File { act: format!("look into {path}"), source })? {
            self.ledger.record(Change::ClaimedContents { path: path.to_owned(), kept })?;
        }
        Ok(())
    }

    /// Records what is at `path` before it is replaced for the first time, and makes its directory.
    fn prepare(&mut self, path: &str) -> Result<(), HostError> {
        if let Some(parent) = Path::new(path).parent() {
            self.make_directory(&parent.to_string_lossy(), 0o755)?;
        }
        if self.ledger.knows(path) {
            return Ok(());
        }
        match absent(fs::symlink_metadata(self.path(path)), || format!("look at {path}"))? {
            None => self.ledger.record(Change::CreatedFile { path: path.to_owned() })?,
            // It was made after kinstall claimed the tree, and is removed with it.
            Some(_) if self.ledger.claims(path) => {}
            Some(metadata) if metadata.is_symlink() => return Err(HostError::Link { path: path.to_owned() }),
            Some(metadata) => {
                let backup = self.ledger.keep(&self.path(path), path)?;
                let (mode, owner, group) = (metadata.permissions().mode() & 0o7777, metadata.uid(), metadata.gid());
                self.ledger.record(Change::ReplacedFile { path: path.to_owned(), backup, mode, owner, group })?;
            }
        }
        Ok(())
    }
}

fn absent<T>(result: io::Result<T>, act: impl FnOnce() -> String) -> Result<Option<T>, HostError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(HostError::File { act: act(), source }),
    }
}

/// The directories below `root`, relative to it; `None` if there is anything but directories. `inside` is the place below `root`.
fn empty_directories(root: &Path, inside: &Path) -> io::Result<Option<BTreeSet<PathBuf>>> {
    let here = root.join(inside);
    if !here.symlink_metadata()?.is_dir() {
        return Ok(None);
    }
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(here)? {
        let relative = inside.join(entry?.file_name());
        let Some(below) = empty_directories(root, &relative)? else { return Ok(None) };
        found.extend(below);
        found.insert(relative);
    }
    Ok(Some(found))
}
