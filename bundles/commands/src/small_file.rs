//! A file that is made in memory and written at once: the name is looked at before the work begins, the content written after it.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use kbundle_cli::Explained as _;

use crate::destination::{Destination, Existing, refuse_stdout};
use crate::interrupt::{Interrupt, interrupted, nothing_written};

/// A file that is written once the work is over.
pub struct SmallFile {
    name: String,
    destination: Destination,
}

impl SmallFile {
    /// Looks at the name. `-` is standard output.
    ///
    /// # Errors
    /// A name that cannot be written to.
    pub fn prepare(path: &Path, existing: Existing) -> anyhow::Result<Self> {
        let destination = Destination::find(path, None, existing).explained()?;
        Ok(Self { name: path.display().to_string(), destination })
    }

    /// The same for `what` that a command writes beside what it prints: it does not go to standard output.
    ///
    /// # Errors
    /// A name that cannot be written to.
    pub fn beside_output(path: &Path, what: &'static str, existing: Existing) -> anyhow::Result<Self> {
        refuse_stdout(path, what).explained()?;
        Self::prepare(path, existing)
    }

    /// Makes sure that `other`, which the same command writes, is another file.
    ///
    /// # Errors
    /// Both have the same name.
    pub fn check_apart_from(&self, other: &Self) -> anyhow::Result<()> {
        self.destination.check_apart_from(&other.destination).explained()
    }

    /// Where it lies, as the user said it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes all of it, or nothing; says how many bytes.
    ///
    /// # Errors
    /// It cannot be written, or a signal came.
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
