//! What is said about a volume that others stand in for.

use std::fmt;
use std::path::PathBuf;

/// A data volume that is lost or damaged, and what is read in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MendedVolume {
    /// Which, from 1.
    pub number: u32,
    /// How many data volumes the bundle has.
    pub count: u32,
    /// The damaged file; `None` where there is none of that number.
    pub path: Option<PathBuf>,
    /// Another copy that is read in its place; `None` where it is rebuilt from parity.
    pub copy: Option<PathBuf>,
}

/// As in "volume /media/stick2/k8s.tar.zst.002 (2 of 3) is damaged; it is rebuilt from parity in memory".
impl fmt::Display for MendedVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, count, path, copy } = self;
        match path {
            Some(path) => write!(f, "volume {} ({number} of {count}) is damaged", path.display())?,
            None => write!(f, "volume {number} of {count} is missing")?,
        }
        match copy {
            Some(copy) => write!(f, "; {} is read in its place", copy.display()),
            None => f.write_str("; it is rebuilt from parity in memory"),
        }
    }
}
