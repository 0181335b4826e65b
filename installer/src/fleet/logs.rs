//! One log file for each host, with everything that it reported except secrets.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use time::OffsetDateTime;

use crate::config::DnsName;
use crate::join_file::Moment;

/// The directory of one run.
pub struct Logs {
    directory: PathBuf,
}

impl Logs {
    /// Creates the directory, below `$XDG_STATE_HOME/kinstall/logs`, or `~/.local/state` where that is not set.
    pub fn begin(cluster: &str, now: OffsetDateTime) -> anyhow::Result<Self> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        let state = state.unwrap_or_else(|| PathBuf::from("/var/lib"));
        Self::below(&state.join("kinstall/logs").join(cluster), now)
    }

    fn below(directory: &Path, now: OffsetDateTime) -> anyhow::Result<Self> {
        // Two runs that begin in the same second share the directory.
        let directory = directory.join(Moment::of(now).in_file_names());
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .with_context(|| format!("cannot create {} for logs", directory.display()))?;
        Ok(Self { directory })
    }

    /// The log of a host.
    #[must_use]
    pub fn host(&self, name: &DnsName) -> HostLog {
        HostLog { path: self.directory.join(format!("{name}.log")) }
    }

    /// The directory of this run.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// The log of one host.
#[derive(Clone, Debug)]
pub struct HostLog {
    path: PathBuf,
}

impl HostLog {
    /// Appends text that ends in a newline. Opens the file each time: there may be more hosts than open files allowed.
    pub fn note(&self, text: &str) {
        if text.is_empty() {
            return;
        }
        let file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
        if let Err(error) = file.and_then(|mut file| file.write_all(text.as_bytes())) {
            tracing::warn!(path = %self.path.display(), %error, "cannot write a log");
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_user_can_read_logs() {
        let place = tempfile::tempdir().unwrap();
        let logs = Logs::below(&place.path().join("plant"), OffsetDateTime::UNIX_EPOCH).unwrap();
        assert!(logs.directory().ends_with("plant/1970-01-01T000000Z"));
        let log = logs.host(&"w1".parse().unwrap());
        log.note("a\n");
        log.note("b\n");
        assert_eq!(fs_err::read_to_string(log.path()).unwrap(), "a\nb\n");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(logs.directory()), mode(log.path())), (0o700, 0o600));
    }
}
