//! The record of every change to the host, kept so that `reset` can undo it: `/var/lib/kinstall/ledger.jsonl`.
//!
//! A change is recorded and synced before it is made. A run that was cut off may therefore have recorded a change that it did not make;
//! undoing it finds nothing to do. Files that were replaced are kept under `backup/` beside the ledger.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use kbundle_cluster::cost::RECORDS_DIRECTORY;
use kbundle_format::Digest;
use kbundle_format::atomic_file::write_atomically;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The ledger's directory on a host.
pub const DIRECTORY: &str = RECORDS_DIRECTORY;
const FILE: &str = "ledger.jsonl";

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// A directory that was not there.
    CreatedDirectory {
        /// Absolute path on the host.
        path: String,
    },
    /// A file that was not there.
    CreatedFile {
        /// Absolute path on the host.
        path: String,
    },
    /// A file that was there; its former content is `backup`, a name under `backup/`.
    ReplacedFile {
        /// Absolute path on the host.
        path: String,
        /// Name of the copy.
        backup: String,
        /// Permission bits.
        mode: u32,
        /// User id.
        owner: u32,
        /// Group id.
        group: u32,
    },
    /// A file of others in which kinstall has marked lines; see [`super::marked`].
    EditedFile {
        /// Absolute path on the host.
        path: String,
    },
    /// A tree that others fill and `reset` removes whole.
    ClaimedTree {
        /// Absolute path on the host.
        path: String,
    },
    /// A system user, with a group of the same name.
    SystemUser {
        /// The name of the user and the group.
        name: String,
    },
    /// A tree of empty directories that others fill from now on; `reset` restores it to these directories.
    ClaimedContents {
        /// Absolute path on the host.
        path: String,
        /// The directories that were there, relative to `path`.
        kept: BTreeSet<PathBuf>,
    },
    /// A kernel setting.
    Sysctl {
        /// Its path below `/proc/sys`.
        key: String,
        /// Its value before.
        was: String,
    },
    /// A kernel setting that a program of the cluster may write.
    SysctlOfOthers {
        /// Its path below `/proc/sys`.
        key: String,
        /// Its value before that program was started.
        was: String,
        /// The value that the program writes.
        theirs: String,
    },
    /// A place where a program of the cluster mounts something, and where nothing was mounted before.
    MountOfOthers {
        /// The path of the mount point.
        path: String,
    },
    /// A swap area that was switched off.
    SwapOff {
        /// The device or file.
        area: String,
    },
    /// A unit that kinstall enabled or started.
    Unit {
        /// Its full name, such as `kubelet.service`.
        name: String,
        /// Whether it was enabled before.
        was_enabled: bool,
        /// Whether it was running before.
        was_active: bool,
    },
    /// A kernel module that kinstall loaded.
    Module {
        /// Its name.
        name: String,
    },
    /// A step that was begun: `reset` calls its `undo`.
    StepStarted {
        /// Its id.
        step: String,
    },
    /// A step that was completed. It is a fact for `status`; there is nothing to undo.
    StepDone {
        /// Its id.
        step: String,
    },
}

/// Why the record cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep the record of changes in {}", path.display())]
pub struct LedgerError {
    path: PathBuf,
    source: io::Error,
}

/// How far a step is on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It was never begun.
    NotBegun,
    /// It was begun, and not completed.
    CutOff,
    /// It was completed once.
    Done,
}

/// The record, to which changes are added.
pub struct Ledger {
    directory: PathBuf,
    changes: Vec<Change>,
    known: HashSet<String>,
}

impl Ledger {
    /// Reads the existing record. Creates nothing until something is recorded.
    pub fn open(directory: &Path) -> Result<Self, LedgerError> {
        let mut ledger = Self { directory: directory.to_owned(), changes: Vec::new(), known: HashSet::new() };
        let path = directory.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ledger),
            Err(source) => return Err(LedgerError { path, source }),
        };
        for line in text.lines() {
            match serde_json::from_str(line) {
                Ok(change) => ledger.remember(change),
                // The last line may be cut off: its change was not made, because the record comes first.
                Err(_) if !text.ends_with('\n') && text.ends_with(line) => {}
                Err(error) => return Err(LedgerError { path, source: io::Error::other(error) }),
            }
        }
        Ok(ledger)
    }

    /// Everything recorded, oldest first.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether any step ever began here.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::StepStarted { .. }))
    }

    /// Whether the step called `step` was completed once.
    #[must_use]
    pub fn is_done(&self, step: &str) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::StepDone { step: done } if done == step))
    }

    /// The state of the step called `step`.
    #[must_use]
    pub fn state_of(&self, step: &str) -> StepState {
        let begun = |change: &Change| matches!(change, Change::StepStarted { step: begun } if begun == step);
        if self.is_done(step) {
            StepState::Done
        } else if self.changes.iter().any(begun) {
            StepState::CutOff
        } else {
            StepState::NotBegun
        }
    }

    /// Whether the state of `path` before kinstall's first change to it is on record.
    #[must_use]
    pub fn knows(&self, path: &str) -> bool {
        self.known.contains(path)
    }

    /// Whether `path` is a claimed tree or is in one: `reset` removes it with the tree.
    #[must_use]
    pub fn claims(&self, path: &str) -> bool {
        let holds = |tree: &str| path.strip_prefix(tree).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.changes.iter().any(|change| match change {
            Change::ClaimedTree { path: tree } | Change::ClaimedContents { path: tree, .. } => holds(tree),
            _ => false,
        })
    }

    /// Whether kinstall made anything at or below `path`.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        let inside = |made: &str| made.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.changes.iter().any(|change| match change {
            Change::CreatedDirectory { path: made }
            | Change::CreatedFile { path: made }
            | Change::ClaimedTree { path: made }
            | Change::ClaimedContents { path: made, .. } => inside(made),
            _ => false,
        })
    }

    /// Adds a change and syncs the record. A change that is recorded already is not added again.
    pub fn record(&mut self, change: Change) -> Result<(), LedgerError> {
        if self.changes.contains(&change) {
            return Ok(());
        }
        let path = self.directory.join(FILE);
        self.append(&path, &change).map_err(|source| LedgerError { path, source })?;
        self.remember(change);
        Ok(())
    }

    /// Removes the changes from the record that `is_over` picks. They were undone.
    pub fn withdraw(&mut self, is_over: impl Fn(&Change) -> bool) -> Result<(), LedgerError> {
        let path = self.directory.join(FILE);
        let failed = |source: io::Error| LedgerError { path: path.clone(), source };
        let mut lines = Vec::new();
        let kept: Vec<_> = self.changes.iter().filter(|change| !is_over(change)).cloned().collect();
        for change in &kept {
            serde_json::to_writer(&mut lines, change).map_err(|error| failed(error.into()))?;
            lines.push(b'\n');
        }
        write_atomically(&path, &lines, 0o644).map_err(failed)?;
        self.changes.clear();
        self.known.clear();
        for change in kept {
            self.remember(change);
        }
        Ok(())
    }

    fn append(&self, path: &Path, change: &Change) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let mut line = serde_json::to_vec(change)?;
        line.push(b'\n');
        // If an earlier run was cut off in the middle of a line, that line is ended first.
        let broken = fs::read(path).is_ok_and(|text| text.last().is_some_and(|&last| last != b'\n'));
        if broken {
            let text = fs::read_to_string(path)?;
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            fs::OpenOptions::new().write(true).open(path)?.set_len(whole as u64)?;
        }
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(&line)?;
        file.sync_data()
    }

    fn remember(&mut self, change: Change) {
        if let Change::CreatedFile { path } | Change::ReplacedFile { path, .. } = &change {
            self.known.insert(path.clone());
        }
        self.changes.push(change);
    }

    /// Copies the file `from`, known on the host as `path`, to `backup/` and returns the copy's name.
    pub fn keep(&self, from: &Path, path: &str) -> Result<String, LedgerError> {
        let name = Digest::of(path.as_bytes()).hex();
        let to = self.directory.join("backup").join(&name);
        let kept = || -> io::Result<()> {
            fs::create_dir_all(self.directory.join("backup"))?;
            fs::copy(from, &to)?;
            let copy = fs::OpenOptions::new().write(true).open(&to)?;
            // The file's modification time is part of what a reset restores.
            copy.file().set_modified(fs::metadata(from)?.modified()?)?;
            copy.sync_all()
        };
        kept().map_err(|source| LedgerError { path: to.clone(), source })?;
        Ok(name)
    }

    /// The path of a copy that [`Ledger::keep`] made.
    #[must_use]
    pub fn backup_path(&self, name: &str) -> PathBuf {
        self.directory.join("backup").join(name)
    }

    /// Forgets everything: the record and the copies. The last act of a reset.
    ///
    /// The record is removed first: without it there is nothing to undo, but a record without its copies could not be undone.
    pub fn erase(self) -> Result<(), LedgerError> {
        let path = self.directory.join(FILE);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(LedgerError { path, source }),
            _ => {}
        }
        match fs::remove_dir_all(&self.directory) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(LedgerError { path: self.directory, source })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(path: &str) -> Change {
        Change::CreatedFile { path: path.to_owned() }
    }

    #[test]
    fn the_record_outlives_the_program_and_ignores_repeats() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(directory.path()).unwrap();
        ledger.record(created("/etc/a")).unwrap();
        ledger.record(created("/etc/a")).unwrap();
        let again = Ledger::open(directory.path()).unwrap();
        assert_eq!(again.changes(), [created("/etc/a")]);
        assert!(again.knows("/etc/a") && !again.knows("/etc/b"));
    }

    #[test]
    fn a_step_is_cut_off_until_it_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(directory.path()).unwrap();
        assert_eq!(ledger.state_of("etcd"), StepState::NotBegun);
        ledger.record(Change::StepStarted { step: "etcd".to_owned() }).unwrap();
        assert_eq!(ledger.state_of("etcd"), StepState::CutOff);
        ledger.record(Change::StepDone { step: "etcd".to_owned() }).unwrap();
        assert_eq!((ledger.state_of("etcd"), ledger.state_of("join")), (StepState::Done, StepState::NotBegun));
    }

    #[test]
    fn half_a_last_line_is_dropped_and_the_next_record_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(directory.path()).unwrap();
        ledger.record(created("/etc/a")).unwrap();
        let path = directory.path().join(FILE);
        let mut text = fs::read(&path).unwrap();
        text.extend(br#"{"change":"created-fi"#);
        fs::write(&path, text).unwrap();
        let mut ledger = Ledger::open(directory.path()).unwrap();
        ledger.record(created("/etc/b")).unwrap();
        assert_eq!(Ledger::open(directory.path()).unwrap().changes(), [created("/etc/a"), created("/etc/b")]);
    }

    #[test]
    fn a_directory_is_covered_by_what_lies_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(directory.path()).unwrap();
        ledger.record(created("/etc/kubernetes/admin.conf")).unwrap();
        for (path, covered) in [("/etc/kubernetes", true), ("/etc/kubernetes/admin.conf", true), ("/etc/kube", false)] {
            assert_eq!(ledger.covers(path), covered, "{path}");
        }
    }

    #[test]
    fn damage_elsewhere_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), "nonsense\n").unwrap();
        assert!(Ledger::open(directory.path()).is_err());
    }
}
