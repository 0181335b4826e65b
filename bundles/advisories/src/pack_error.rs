//! Why advisories cannot be packed.

use std::io;
use std::path::PathBuf;

use crate::vex::VexError;

/// Why advisories cannot be packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file, or a file of a zip.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// A file that is not a zip.
    #[error("{} cannot be read as a zip: {reason}", path.display())]
    Zip {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file that is not an OSV record.
    #[error("{name} is not an OSV record: {reason}")]
    Record {
        /// The file.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A file that is not a VEX document.
    #[error("{name} cannot be used as VEX")]
    Vex {
        /// The file.
        name: String,
        /// What is wrong.
        source: VexError,
    },
    /// More than a file of advisories may contain.
    #[error("there are more {what} than a file of advisories holds")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
    },
    /// Nothing to pack.
    #[error("no record is about an ecosystem that can be compared")]
    Nothing,
    /// The temporary file or the output cannot be written.
    #[error("cannot write the advisories")]
    Write {
        /// The cause.
        source: io::Error,
    },
}

impl PackError {
    /// Whether this machine failed, and not the input.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        let of_user =
            |kind| matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidData);
        match self {
            Self::Write { .. } => true,
            Self::Read { source, .. } => !of_user(source.kind()),
            _ => false,
        }
    }
}
