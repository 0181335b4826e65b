//! One kinstall at a time: a locked file, which the kernel lets go of when the process ends, however it ends.

use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use nix::fcntl::{Flock, FlockArg};

/// Where the lock lies; gone after a reboot.
pub const PATH: &str = "/run/kinstall.lock";
/// Between two looks at a lock that somebody else has.
const PAUSE: Duration = Duration::from_millis(500);

/// Held while the host is being changed. The file is removed when it is dropped.
pub struct Lock {
    path: PathBuf,
    _file: Flock<std::fs::File>,
}

/// Why the lock is not ours.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Someone else has it.
    #[error("another kinstall is changing this host (process {process})")]
    Held {
        /// Its process id, as it wrote it.
        process: String,
    },
    /// The file.
    #[error("cannot lock this host against other kinstalls")]
    File {
        /// The cause.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock at `path`, or says who has it.
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
                    // The one before us may have removed the name between our opening and our locking.
                    let here = fs::metadata(path)
                        .is_ok_and(|named| file.metadata().is_ok_and(|held| named.ino() == held.ino()));
                    if here {
                        file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
                        return Ok(Self { path: path.to_owned(), _file: file });
                    }
                }
                Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                    let mut process = String::new();
                    file.read_to_string(&mut process).map_err(failed)?;
                    return Err(LockError::Held { process });
                }
                Err((_, errno)) => return Err(failed(errno.into())),
            }
        }
    }
}

impl Lock {
    /// Takes the lock as soon as it is free, telling `waiting` now and then which process has it.
    ///
    /// # Errors
    /// [`LockError::Held`] when it was not free within `limit`.
    pub fn take_within(path: &Path, limit: Duration, mut waiting: impl FnMut(&str)) -> Result<Self, LockError> {
        let started = Instant::now();
        loop {
            match Self::take(path) {
                Err(LockError::Held { process }) if started.elapsed() < limit => waiting(&process),
                result => return result,
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that stays is no lock: only holding it is.
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
        Lock::take_within(&path, Duration::from_mins(1), |process| {
            told.push(process.to_owned());
            held.take();
        })
        .unwrap();
        assert_eq!(told, [std::process::id().to_string()]);
        let _held = Lock::take(&path).unwrap();
        let late = Lock::take_within(&path, Duration::ZERO, |_| unreachable!("time is up at once"));
        assert!(matches!(late, Err(LockError::Held { .. })));
    }

    #[test]
    fn one_at_a_time_and_nothing_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = Lock::take(&path).unwrap();
        let process = std::process::id().to_string();
        assert!(matches!(Lock::take(&path), Err(LockError::Held { process: holder }) if holder == process));
        drop(held);
        assert!(!path.exists());
        Lock::take(&path).unwrap();
    }
}
