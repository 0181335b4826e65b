//! Volumes: the bytes of a bundle cut into files that fit a FAT32 stick, and parity volumes that stand in for lost ones.
//!
//! Each volume begins with a [`Header`] that names the bundle, the volume's number, how many there are, and the digest of
//! its payload. Joining the payloads of the data volumes in order gives the bundle, bit for bit. A header is no
//! signature: it finds damage and mix-ups. What the bundle holds is judged by its own signatures.

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
    /// A file or folder. The cause names it.
    #[error("cannot read or write volumes")]
    File {
        /// The cause.
        source: io::Error,
    },
    /// No volume where some should be.
    #[error("there are no volumes in {}", places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", "))]
    None {
        /// Where was looked.
        places: Vec<PathBuf>,
    },
    /// A header that says something impossible, or whose own digest is wrong.
    #[error("volume {} has a damaged header", path.display())]
    Header {
        /// The volume.
        path: PathBuf,
    },
    /// A file shorter or longer than its header says.
    #[error("volume {} holds {found} bytes instead of {expected}", path.display())]
    Length {
        /// The volume.
        path: PathBuf,
        /// Payload bytes that its header implies.
        expected: u64,
        /// Payload bytes that are there.
        found: u64,
    },
    /// Volumes of two bundles together.
    #[error("volumes {} and {} are of different bundles", one.display(), other.display())]
    Mixed {
        /// A volume of one bundle.
        one: PathBuf,
        /// A volume of another.
        other: PathBuf,
    },
    /// Volumes of one bundle that was cut twice.
    #[error("volumes {} and {} are of the same bundle, but of different cuts", one.display(), other.display())]
    Recut {
        /// A volume of one cut.
        one: PathBuf,
        /// A volume of another.
        other: PathBuf,
    },
    /// Volumes that are not there.
    #[error("of {count} volumes these are missing: {}", missing.iter().map(|(number, path)| format!("{number} ({})", path.display())).collect::<Vec<_>>().join(", "))]
    Missing {
        /// Their numbers, and what they would be called.
        missing: Vec<(u32, PathBuf)>,
        /// How many there should be.
        count: u32,
    },
    /// More is lost than parity can make good.
    #[error("parity makes up for {parity} lost or damaged volume(s), and there are {lost}: volume {}", list.join("; volume "))]
    BeyondRepair {
        /// Data volumes lost or damaged.
        lost: usize,
        /// Good parity volumes.
        parity: usize,
        /// What is wrong with each, for people.
        list: Vec<String>,
    },
    /// Sizes or counts that make no sense.
    #[error("cannot split: {reason}")]
    Unusable {
        /// What is wrong.
        reason: String,
    },
    /// Rebuilt bytes that are not what the headers promise.
    #[error("the rebuilt volumes would not give the bundle that was split; none was written")]
    Rebuilt,
}

impl From<io::Error> for VolumeError {
    fn from(source: io::Error) -> Self {
        Self::File { source }
    }
}
