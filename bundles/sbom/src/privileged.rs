//! Files that give their users more rights than these have.

use std::fmt;

use kbundle_format::Digest;

use crate::tar_files::TarFile;

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;

/// How a file gives rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// It runs with the rights of its owner.
    Setuid,
    /// It runs with the rights of its group.
    Setgid,
    /// It gets capabilities of the kernel.
    Capabilities,
}

impl Privilege {
    /// The strongest privilege that a file gives; `None` if it gives none.
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
    /// The path inside of the image.
    pub path: String,
    /// The privilege.
    pub privilege: Privilege,
    /// The layer that contains it.
    pub layer: Option<Digest>,
}
