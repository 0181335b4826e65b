//! Differences between versions of Kubernetes, etcd and containerd: one table. Each row has the versions from which and until which it
//! holds, and names upstream's own file as its source. Code that depends on a version asks a row here and compares no numbers itself.
//!
//! Rows about Kubernetes are in [`kubernetes`], about containerd's configuration in [`containerd`], and what may be paired with a version
//! of Kubernetes in [`pairing`]. Paths in a source are those of kubernetes/kubernetes unless another repository is named; each was read in
//! the versions before and after the change.

pub mod containerd;
pub mod etcd;
pub mod kubernetes;
pub mod pairing;

use std::fmt;

use kbundle_format::KubeVersion;

/// The oldest Kubernetes that is installed.
pub const OLDEST_KUBERNETES: KubeVersion = KubeVersion::new(1, 25, 0);

/// A row of the table: a fact about a range of versions of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule<Version> {
    /// The fact, for people.
    pub what: &'static str,
    /// The first version that it holds for. Absent: all older ones too.
    pub since: Option<Version>,
    /// The first version that it no longer holds for. Absent: it still holds.
    pub until: Option<Version>,
    /// The source of the fact.
    pub source: &'static str,
}

impl<Version: Copy + Ord> Rule<Version> {
    /// Whether it holds for `version`.
    pub fn holds(&self, version: Version) -> bool {
        self.since.is_none_or(|since| since <= version) && self.until.is_none_or(|until| version < until)
    }
}

/// The numbers of a release of etcd or containerd, such as 3.5.24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u16,
    minor: u16,
    patch: u16,
}

impl Release {
    /// A release from its numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Its line of releases: 3.5 of 3.5.24.
    #[must_use]
    pub const fn series(self) -> (u16, u16) {
        (self.major, self.minor)
    }

    /// Reads a component's version: three numbers. Text that a distribution or builder appends is ignored (`1.6.20~ds1`, `2.3.4+unknown`).
    /// `None` for other text.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix('v').unwrap_or(text).splitn(3, '.');
        let [major, minor, last] = [parts.next()?, parts.next()?, parts.next()?];
        let end = last.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(last.len());
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()?, patch: last[..end].parse().ok()? })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests;
