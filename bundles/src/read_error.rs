//! Why a bundle was refused, or could not be read.

use std::io;

use crate::file_kind::FileKind;
use crate::frame::FrameError;
use crate::list::ListError;
use crate::seek_table::SeekTableError;
use crate::signature::TrustError;
use crate::source::SourceError;
use crate::tar_layer::TarError;
use crate::{Digest, EntryPath};

/// Why a bundle was refused, or could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Another kind of file.
    #[error("it is {found}, not a bundle")]
    NotABundle {
        /// What it is.
        found: FileKind,
    },
    /// The file itself, or its volumes.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The zstd layer.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The seek table.
    #[error(transparent)]
    SeekTable(#[from] SeekTableError),
    /// The tar layer.
    #[error("{source} (frame at offset {offset})")]
    Tar {
        /// Offset in the file of the frame that holds it.
        offset: u64,
        /// What is wrong.
        source: TarError,
    },
    /// The frames do not lie as a bundle's do.
    #[error("the archive is not a bundle's at offset {offset}: {reason}")]
    Layout {
        /// Offset in the file.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The file ends before the archive does.
    #[error("the bundle is cut off: it ends {missing}")]
    CutOff {
        /// What is missing.
        missing: String,
    },
    /// The list.
    #[error(transparent)]
    List(#[from] ListError),
    /// The signatures.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Something in the archive that the list does not have, or not there.
    #[error("the archive holds {path}, which is not the next entry of the signed list")]
    NotListed {
        /// The entry.
        path: EntryPath,
        /// Where in the file it begins.
        offset: u64,
    },
    /// Something in the list that the archive does not have.
    #[error("entry {path} is in the signed list but not in the file")]
    Missing {
        /// The entry.
        path: EntryPath,
    },
    /// Content that is not what was signed.
    #[error("entry {path} has digest {actual} instead of {expected}")]
    Digest {
        /// The entry.
        path: EntryPath,
        /// Digest in the list.
        expected: Digest,
        /// Digest of what is there.
        actual: Digest,
        /// Where in the file the entry begins.
        offset: u64,
    },
    /// Where the content was to go.
    #[error("cannot write the content of {path}")]
    Sink {
        /// The entry.
        path: EntryPath,
        /// The cause.
        source: io::Error,
    },
    /// Something that was met while an entry was read, or next to it.
    #[error("in or next to entry {path}")]
    Near {
        /// The entry.
        path: EntryPath,
        /// What was met.
        source: Box<ReadError>,
    },
}

impl ReadError {
    /// The error itself, without the entry that it was met next to.
    #[must_use]
    pub fn plain(&self) -> &Self {
        match self {
            Self::Near { source, .. } => source.plain(),
            error => error,
        }
    }

    /// The same for an error that is passed on.
    #[must_use]
    pub fn into_plain(self) -> Self {
        match self {
            Self::Near { source, .. } => source.into_plain(),
            error => error,
        }
    }

    /// Where in the file it was met, where that is known.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        match self.plain() {
            Self::Tar { offset, .. }
            | Self::Layout { offset, .. }
            | Self::NotListed { offset, .. }
            | Self::Digest { offset, .. } => Some(*offset),
            Self::Frame(error) => Some(error.offset()),
            _ => None,
        }
    }

    /// Whether damaged bytes may be why: neither a path, nor a signature, nor the place where content was to go.
    #[must_use]
    pub fn may_be_damage(&self) -> bool {
        !matches!(
            self.plain(),
            Self::Source(_) | Self::Trust(_) | Self::List(_) | Self::Sink { .. } | Self::Missing { .. }
        )
    }

    /// Adds the entry that it was met in or next to, unless it names one.
    pub(crate) fn near(self, entry: Option<&EntryPath>) -> Self {
        match (self, entry) {
            (error @ (Self::Frame(_) | Self::Tar { .. } | Self::Layout { .. } | Self::CutOff { .. }), Some(path)) => {
                Self::Near { path: path.clone(), source: Box::new(error) }
            }
            (error, _) => error,
        }
    }
}
