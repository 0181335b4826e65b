//! A file that is made in memory and written at once: its name is checked before the work begins, and its content is written after it.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use kbundle_cli::Explained as _;

use crate::destination::{Destination, Existing, refuse_stdout};
use crate::interrupt::{Interrupt, interrupted, nothing_written};

/// A file that is written after the work.
pub struct SmallFile {
    name: String,
    destination: Destination,
}

impl SmallFile {
    /// Checks the name. `-` is standard output.
    ///
    /// # Errors
    /// When the name cannot be written to.
    pub fn prepare(path: &Path, existing: Existing) -> anyhow::Result<Self> {
        let destination = Destination::find(path, None, existing).explained()?;
        Ok(Self { name: path.display().to_string(), destination })
    }

    /// The same for `what`, which a command writes in addition to its output: it cannot go to standard output.
    ///
    /// # Errors
    /// When the name cannot be written to.
    pub fn beside_output(path: &Path, what: &'static str, existing: Existing) -> anyhow::Result<Self> {
        refuse_stdout(path, what).explained()?;
        Self::prepare(path, existing)
    }

    /// Checks that `other`, which the same command writes, is another file.
    ///
    /// # Errors
    /// Both have the same name.
    pub fn check_apart_from(&self, other: &Self) -> anyhow::Result<()> {
        self.destination.check_apart_from(&other.destination).explained()
    }

    /// Its path, as the user gave it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes the whole file, or nothing; returns the number of bytes.
    ///
    /// # Errors
    /// When it cannot be written, or a signal came.
    pub fn write(self, content: &[u8]) -> anyhow::Result<u64> {
        let Self { name, destination } = self;
        let interrupt = Interrupt::watch()?;
        let write = || {
            let mut writing = destination.start(&interrupt).explained()?;
            writing.write_all(content).with_context(|| format!("cannot write {name}"))?;
            writing.commit().explained()
        };
        Ok(interrupted(&interrupt, write(), nothing_written)?.size_bytes)
    }
}
