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
    /// It is another kind of file.
    #[error("it is {found}, not a bundle")]
    NotABundle {
        /// The kind of the file.
        found: FileKind,
    },
    /// An error of the file itself, or of its volumes.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An error in the zstd layer.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// An error in the seek table.
    #[error(transparent)]
    SeekTable(#[from] SeekTableError),
    /// An error in the tar layer.
    #[error("{source} (frame at offset {offset})")]
    Tar {
        /// Offset in the file of the frame that contains it.
        offset: u64,
        /// What is wrong.
        source: TarError,
    },
    /// The frames are not laid out as in a bundle.
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
        /// The missing part.
        missing: String,
    },
    /// An error in the list.
    #[error(transparent)]
    List(#[from] ListError),
    /// An error of the signatures.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The archive contains something that is not in the list, or not in this place.
    #[error("the archive holds {path}, which is not the next entry of the signed list")]
    NotListed {
        /// The entry.
        path: EntryPath,
        /// The offset in the file at which it begins.
        offset: u64,
    },
    /// The list contains an entry that is not in the archive.
    #[error("entry {path} is in the signed list but not in the file")]
    Missing {
        /// The entry.
        path: EntryPath,
    },
    /// Content that does not match the signed list.
    #[error("entry {path} has digest {actual} instead of {expected}")]
    Digest {
        /// The entry.
        path: EntryPath,
        /// Digest in the list.
        expected: Digest,
        /// Digest of the content.
        actual: Digest,
        /// The offset in the file at which the entry begins.
        offset: u64,
    },
    /// The destination of the content cannot be written.
    #[error("cannot write the content of {path}")]
    Sink {
        /// The entry.
        path: EntryPath,
        /// The cause.
        source: io::Error,
    },
    /// An error that occurred in an entry, or next to it.
    #[error("in or next to entry {path}")]
    Near {
        /// The entry.
        path: EntryPath,
        /// The error.
        source: Box<ReadError>,
    },
}

impl ReadError {
    /// The error itself, without the entry near which it occurred.
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

    /// The offset of the error in the file, if it is known.
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

    /// Whether damaged bytes may be the cause: not a path, a signature, or the destination of content.
    #[must_use]
    pub fn may_be_damage(&self) -> bool {
        !matches!(
            self.plain(),
            Self::Source(_) | Self::Trust(_) | Self::List(_) | Self::Sink { .. } | Self::Missing { .. }
        )
    }

    /// Adds the entry in which, or next to which, it occurred, unless the error names one.
    pub(crate) fn near(self, entry: Option<&EntryPath>) -> Self {
        match (self, entry) {
            (error @ (Self::Frame(_) | Self::Tar { .. } | Self::Layout { .. } | Self::CutOff { .. }), Some(path)) => {
                Self::Near { path: path.clone(), source: Box::new(error) }
            }
            (error, _) => error,
        }
    }
}
