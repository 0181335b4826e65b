//! Files that give whoever runs them more rights than they have.

use std::fmt;

use kbundle_format::Digest;

use crate::tar_files::TarFile;

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;

/// How a file gives rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// It runs as its owner.
    Setuid,
    /// It runs as its group.
    Setgid,
    /// It gets capabilities of the kernel.
    Capabilities,
}

impl Privilege {
    /// The strongest that a file gives.
    pub(crate) fn of(file: &TarFile<'_>) -> Option<Self> {
        let has = |bit: u32| file.mode.is_some_and(|mode| mode & bit != 0);
        if has(SETUID) {
            Some(Self::Setuid)
        } else if file.has_capabilities {
            Some(Self::Capabilities)
        } else {
            has(SETGID).then_some(Self::Setgid)
        }
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Setuid => "setuid",
            Self::Setgid => "setgid",
            Self::Capabilities => "file capabilities",
        })
    }
}

/// A file of an image that gives rights.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PrivilegedFile {
    /// The path within the image.
    pub path: String,
    /// How.
    pub privilege: Privilege,
    /// The layer that has it.
    pub layer: Option<Digest>,
}
