//! Reports about volumes that others replace.

use std::fmt;
use std::path::PathBuf;

/// A data volume that is lost or damaged, and its replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MendedVolume {
    /// Its number, from 1.
    pub number: u32,
    /// How many data volumes the bundle has.
    pub count: u32,
    /// The damaged file, or the name of a missing one.
    pub path: PathBuf,
    /// What is wrong with it.
    pub defect: Defect,
    /// Another copy that is read instead; `None` if the volume is rebuilt from parity.
    pub copy: Option<PathBuf>,
}

/// What is wrong with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// It is in none of the given places.
    Missing,
    /// It cannot be read, is cut off, or its bytes do not match its header.
    Damaged,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Damaged => "damaged",
        })
    }
}

/// As in "volume /media/stick2/k8s.tar.zst.002 (2 of 3) is damaged; it is rebuilt from parity in memory".
impl fmt::Display for MendedVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, count, path, defect, copy } = self;
        write!(f, "volume {} ({number} of {count}) is {defect}", path.display())?;
        match copy {
            Some(copy) => write!(f, "; {} is read in its place", copy.display()),
            None => f.write_str("; it is rebuilt from parity in memory"),
        }
    }
}
