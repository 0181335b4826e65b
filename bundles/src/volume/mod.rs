//! Volumes: the bytes of a bundle divided into files that fit on a FAT32 stick, and parity volumes that replace lost ones.
//!
//! Each volume begins with a [`Header`] that names the bundle, the volume's number, how many there are, and the digest of its payload.
//! Joining the payloads of the data volumes in order gives the bundle, bit for bit. A header is not a signature: it detects damage and
//! mix-ups. The bundle's own signatures protect its content.

mod choice;
mod code;
mod found;
mod header;
mod mended;
mod parity;
mod repair;
mod set;
mod split;
mod volume_file;

use std::io;
use std::path::PathBuf;

pub use found::bundle_path;
pub use header::{HEADER_BYTES, Header, Kind, is_volume};
pub use mended::{Defect, MendedVolume};
pub use repair::{Repair, repair};
pub use set::VolumeSet;
pub use split::{Split, VolumeWriter, volume_path, volumes_beside};

/// Why volumes cannot be written or do not make a bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// An error of a file or folder. The cause names it.
    #[error("cannot read or write volumes")]
    File {
        /// The cause.
        source: io::Error,
    },
    /// There is no volume where one is expected.
    #[error("there are no volumes in {}", places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", "))]
    None {
        /// The places that were searched.
        places: Vec<PathBuf>,
    },
    /// A header that is impossible, or whose own digest is wrong.
    #[error("volume {} has a damaged header", path.display())]
    Header {
        /// The volume.
        path: PathBuf,
    },
    /// A file that is shorter or longer than its header says.
    #[error("volume {} holds {found} bytes instead of {expected}", path.display())]
    Length {
        /// The volume.
        path: PathBuf,
        /// Payload bytes by its header.
        expected: u64,
        /// Payload bytes in the file.
        found: u64,
    },
    /// Volumes of two different bundles.
    #[error("volumes {} and {} are of different bundles", one.display(), other.display())]
    Mixed {
        /// A volume of one bundle.
        one: PathBuf,
        /// A volume of another.
        other: PathBuf,
    },
    /// Volumes of one bundle that was split twice.
    #[error("volumes {} and {} are of the same bundle, but of different cuts", one.display(), other.display())]
    Recut {
        /// A volume of one split.
        one: PathBuf,
        /// A volume of the other split.
        other: PathBuf,
    },
    /// Volumes are missing.
    #[error("of {count} volumes these are missing: {}", missing.iter().map(|(number, path)| format!("{number} ({})", path.display())).collect::<Vec<_>>().join(", "))]
    Missing {
        /// Their numbers and file names.
        missing: Vec<(u32, PathBuf)>,
        /// The number of volumes that there should be.
        count: u32,
    },
    /// More volumes are lost than parity can replace.
    #[error("parity makes up for {parity} lost or damaged volume(s), and there are {lost}: volume {}", list.join("; volume "))]
    BeyondRepair {
        /// Data volumes lost or damaged.
        lost: usize,
        /// Good parity volumes.
        parity: usize,
        /// What is wrong with each, for people.
        list: Vec<String>,
    },
    /// Sizes or counts that are not possible.
    #[error("cannot split: {reason}")]
    Unusable {
        /// What is wrong.
        reason: String,
    },
    /// Rebuilt bytes that do not match the headers.
    #[error("the rebuilt volumes would not give the bundle that was split; none was written")]
    Rebuilt,
}

impl From<io::Error> for VolumeError {
    fn from(source: io::Error) -> Self {
        Self::File { source }
    }
}
