//! One kinstall at a time: a locked file. The kernel releases the lock when the process ends, however it ends.

use std::fmt;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use nix::fcntl::{Flock, FlockArg};

/// The lock's file; gone after a reboot.
pub const PATH: &str = "/run/kinstall.lock";
/// The pause between two attempts to get a lock that somebody else has.
const PAUSE: Duration = Duration::from_millis(500);

/// Held while the host is being changed. The file is removed when it is dropped.
pub struct Lock {
    path: PathBuf,
    _file: Flock<std::fs::File>,
}

/// Why this process does not hold the lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another kinstall has it.
    #[error("another kinstall is changing this host: {holder}")]
    Held {
        /// The process that has it.
        holder: Holder,
    },
    /// The file.
    #[error("cannot lock this host against other kinstalls")]
    File {
        /// The cause.
        source: io::Error,
    },
}

/// The holder of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, as written in the lock's file.
    pub process: String,
    /// Its command line, if it can be read.
    pub command: Option<String>,
    /// For how long it has had the lock.
    pub held_for: Duration,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.process)?;
        if let Some(command) = &self.command {
            write!(f, " (`{command}`)")?;
        }
        write!(f, ", for {} s so far", self.held_for.as_secs())
    }
}

impl Holder {
    /// Reads the holder from the lock's file.
    fn read(file: &mut std::fs::File) -> io::Result<Self> {
        let mut process = String::new();
        file.read_to_string(&mut process)?;
        let line = fs::read(format!("/proc/{process}/cmdline")).ok().filter(|line| !line.is_empty());
        let words = |line: Vec<u8>| String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
        // A clock that was set back in the meantime is not a reason to fail.
        let held_for = file.metadata()?.modified()?.elapsed().unwrap_or_default();
        Ok(Self { process, command: line.map(words), held_for })
    }
}

impl Lock {
    /// Takes the lock at `path`.
    ///
    /// # Errors
    /// [`LockError::Held`] names the holder.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::File { source };
        loop {
            let file = fs::OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(path)
                .map_err(failed)?;
            let (file, _) = file.into_parts();
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(mut file) => {
                    // The previous holder may have removed the file between its opening and its locking here.
                    let here = fs::metadata(path)
                        .is_ok_and(|named| file.metadata().is_ok_and(|held| named.ino() == held.ino()));
                    if here {
                        file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
                        return Ok(Self { path: path.to_owned(), _file: file });
                    }
                }
                Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                    return Err(LockError::Held { holder: Holder::read(&mut file).map_err(failed)? });
                }
                Err((_, errno)) => return Err(failed(errno.into())),
            }
        }
    }
}

impl Lock {
    /// Takes the lock as soon as it is free. Until then it calls `waiting` now and then with the holder; the result says whether to wait
    /// longer.
    ///
    /// # Errors
    /// [`LockError::Held`] when it was not free within `limit`, or when `waiting` stopped the wait.
    pub fn take_within(
        path: &Path,
        limit: Duration,
        mut waiting: impl FnMut(&Holder) -> ControlFlow<()>,
    ) -> Result<Self, LockError> {
        let started = Instant::now();
        loop {
            match Self::take(path) {
                Err(LockError::Held { holder }) if started.elapsed() < limit => {
                    if waiting(&holder).is_break() {
                        return Err(LockError::Held { holder });
                    }
                }
                result => return result,
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that remains is not a lock: only the kernel's lock on it counts.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_told_for_whom_and_gets_it_in_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let mut held = Some(Lock::take(&path).unwrap());
        let mut told = Vec::new();
        Lock::take_within(&path, Duration::from_mins(1), |holder| {
            told.push(holder.clone());
            held.take();
            ControlFlow::Continue(())
        })
        .unwrap();
        let [holder] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(holder.process, std::process::id().to_string());
        assert!(holder.command.as_ref().is_some_and(|command| command.contains("kinstall")), "{holder}");
        assert!(holder.held_for < Duration::from_mins(1), "{holder}");
        let _held = Lock::take(&path).unwrap();
        let late = Lock::take_within(&path, Duration::ZERO, |_| unreachable!("time is up at once"));
        assert!(matches!(late, Err(LockError::Held { .. })));
        let given_up = Lock::take_within(&path, Duration::from_mins(1), |_| ControlFlow::Break(()));
        assert!(matches!(given_up, Err(LockError::Held { .. })));
    }

    #[test]
    fn who_has_it_is_said_in_a_line() {
        let mut holder = Holder {
            process: "4711".into(),
            command: Some("kinstall agent".into()),
            held_for: Duration::from_secs(95),
        };
        assert_eq!(holder.to_string(), "process 4711 (`kinstall agent`), for 95 s so far");
        holder.command = None;
        assert_eq!(holder.to_string(), "process 4711, for 95 s so far");
    }

    #[test]
    fn one_at_a_time_and_nothing_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = Lock::take(&path).unwrap();
        let process = std::process::id().to_string();
        assert!(matches!(Lock::take(&path), Err(LockError::Held { holder }) if holder.process == process));
        drop(held);
        assert!(!path.exists());
        Lock::take(&path).unwrap();
    }
}
