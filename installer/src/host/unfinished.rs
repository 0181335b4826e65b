//! Work in several steps that is recorded on the host from before its first change until its end, so that the next run completes it.

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Host, ledger};

/// What is left to do of such work. The default is nothing.
pub trait UnfinishedWork: Default + PartialEq + Serialize + DeserializeOwned {
    /// The file's name in kinstall's folder.
    const FILE: &'static str;
    /// What the work is, for errors: "a renewal".
    const WORK: &'static str;

    /// What an interrupted run left.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn read(host: &Host) -> anyhow::Result<Self> {
        let path = path::<Self>();
        let Some(text) = host.read(&path)? else { return Ok(Self::default()) };
        serde_json::from_slice(&text)
            .with_context(|| format!("while reading {path}, which says what {} has to do", Self::WORK))
    }

    /// Whether anything is left to do; does not read what it is.
    #[must_use]
    fn is_kept(host: &Host) -> bool {
        host.exists(&path::<Self>())
    }

    /// Whether nothing is left to do.
    #[must_use]
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Keeps it; removes the file when nothing is left to do.
    ///
    /// # Errors
    /// A file that cannot be written or removed.
    fn keep(&self, host: &Host) -> anyhow::Result<()> {
        if self.is_empty() {
            return Ok(host.remove_record(Self::FILE)?);
        }
        Ok(host.keep_record(Self::FILE, &serde_json::to_vec(self)?)?)
    }
}

fn path<W: UnfinishedWork>() -> String {
    format!("{}/{}", ledger::DIRECTORY, W::FILE)
}
