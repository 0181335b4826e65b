//! The one rule for every name that a command writes to.
//!
//! | what has the name | what happens |
//! |---|---|
//! | nothing | it is written |
//! | a regular file | it is replaced only with `--force`; keys are never replaced |
//! | a signed bundle | it is never replaced by an unsigned one, `--force` or not |
//! | a symbolic link | refused: replacing it would leave its target as it was, following it could lead anywhere |
//! | a folder, device, pipe or socket | refused |
//!
//! Links in the folders above the name are followed, as everywhere.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use kbundle_format::atomic_file::parent;
use kbundle_format::volume::VolumeError;
use kbundle_format::{BundleSource, BundleStream, SignatureCheck};
use nix::sys::stat::SFlag;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

/// What happens to a regular file that already has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the command has no flag to replace it.
    Kept,
    /// It stays, because `--force` was not given.
    KeptWithoutForce,
    /// It is replaced.
    Replaced,
}

/// Why a command does not write to the given name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// Something other than a regular file has the name.
    #[error("{} is {kind} and is not replaced", path.display())]
    NotAFile {
        /// The name.
        path: PathBuf,
        /// What it is, in words.
        kind: &'static str,
    },
    /// A symbolic link has the name.
    #[error("{} is a symbolic link, and output neither follows nor replaces links", path.display())]
    Link {
        /// The name.
        path: PathBuf,
    },
    /// Files have these names already.
    #[error("{} already {}", listed(paths), if paths.len() == 1 { "exists" } else { "exist" })]
    Exists {
        /// The names.
        paths: Vec<PathBuf>,
        /// Whether `--force` would replace them.
        force: bool,
    },
    /// Another output of the same command has the name.
    #[error("two outputs of the command have the name {}", path.display())]
    Twice {
        /// The name.
        path: PathBuf,
    },
    /// An unsigned bundle would replace a signed one.
    #[error("{} is a signed bundle, and the new one is not signed", path.display())]
    SignedBefore {
        /// The name.
        path: PathBuf,
    },
    /// The folder does not exist.
    #[error("there is no folder {}", folder.display())]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder cannot be written to.
    #[error("cannot write to the folder {}", folder.display())]
    NotWritable {
        /// The folder.
        folder: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is too little space.
    #[error("{} has {} free, and at least {} are needed", folder.display(), HumanBytes(*free), HumanBytes(*needed))]
    Full {
        /// A folder of the file system.
        folder: PathBuf,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Standard output is a terminal.
    #[error("standard output is a terminal")]
    Terminal,
    /// Standard output can take only one file.
    #[error("{what} cannot be written to standard output")]
    NotForStdout {
        /// What should have been written.
        what: &'static str,
    },
    /// Writing failed.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Volumes cannot be written.
    #[error("cannot write volumes of {}", path.display())]
    Volumes {
        /// The bundle that they are named after.
        path: PathBuf,
        /// The cause.
        source: VolumeError,
    },
}

impl DestinationError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotAFile { .. } => "give another name, or `-` for standard output where the command has `-o`",
            Self::Link { .. } => {
                "give the name of the file itself, or remove the link; `-` stands for standard output where the command has `-o`"
            }
            Self::Exists { force: true, .. } => "give another name, or `--force` to replace what is there",
            Self::Exists { force: false, .. } => "give another name, or move it away if nobody needs it",
            Self::Twice { .. } => "give each output a name of its own",
            Self::SignedBefore { .. } => "sign the new bundle (`--key`), or give another name",
            Self::NoFolder { .. } => "create it first, or give another name",
            Self::NotWritable { .. } => "give a name in a folder that you may write to",
            Self::Full { .. } => "free some space, or choose another place",
            Self::Terminal => "redirect it to a file or a pipe",
            Self::NotForStdout { .. } => "give a name",
            Self::Write { .. } | Self::Volumes { .. } => return None,
        })
    }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Decides about the name `path`: nothing has it, or something with the mode `there` (`st_mode`, links not followed).
pub fn judge(path: &Path, there: Option<u32>, existing: Existing) -> Result<(), DestinationError> {
    let Some(mode) = there else { return Ok(()) };
    let kind = match SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG if existing == Existing::Replaced => return Ok(()),
        SFlag::S_IFREG => {
            let force = existing == Existing::KeptWithoutForce;
            return Err(DestinationError::Exists { paths: vec![path.to_owned()], force });
        }
        SFlag::S_IFLNK => return Err(DestinationError::Link { path: path.to_owned() }),
        SFlag::S_IFDIR => "a folder",
        SFlag::S_IFBLK | SFlag::S_IFCHR => "a device",
        SFlag::S_IFIFO => "a pipe",
        SFlag::S_IFSOCK => "a socket",
        _ => "no regular file",
    };
    Err(DestinationError::NotAFile { path: path.to_owned(), kind })
}

/// Applies the rule to `path`, and checks that its folder exists and can be written to.
///
/// # Errors
/// [`DestinationError`].
pub fn check_name(path: &Path, existing: Existing) -> Result<(), DestinationError> {
    let folder = parent(path);
    if !folder.is_dir() {
        return Err(DestinationError::NoFolder { folder: folder.to_owned() });
    }
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(DestinationError::NotAFile { path: path.to_owned(), kind: "the name of a folder" });
    }
    judge(path, mode(path)?, existing)?;
    access(folder, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|error| DestinationError::NotWritable { folder: folder.to_owned(), source: error.into() })
}

fn mode(path: &Path) -> Result<Option<u32>, DestinationError> {
    match path.symlink_metadata() {
        Ok(there) => Ok(Some(there.mode())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DestinationError::Write { path: path.to_owned(), source }),
    }
}

/// Checks that a new folder can be created at `path`: nothing may have that name.
///
/// # Errors
/// [`DestinationError`].
pub fn check_new_folder(path: &Path) -> Result<(), DestinationError> {
    refuse_stdout(path, "a folder")?;
    if mode(path)?.is_some() {
        return Err(DestinationError::Exists { paths: vec![path.to_owned()], force: false });
    }
    // A trailing slash is fine here.
    check_name(&path.components().collect::<PathBuf>(), Existing::Kept)
}

/// Refuses `-` for `what`, which does not fit into one file. A file of that name is called `./-`.
///
/// # Errors
/// [`DestinationError::NotForStdout`].
pub fn refuse_stdout(path: &Path, what: &'static str) -> Result<(), DestinationError> {
    if path == Path::new("-") { Err(DestinationError::NotForStdout { what }) } else { Ok(()) }
}

/// Checks that `folder` has room for `needed` bytes.
///
/// # Errors
/// [`DestinationError::Full`], or the error of the query.
pub fn check_space(folder: &Path, needed: u64) -> Result<(), DestinationError> {
    let free =
        free_bytes(folder).map_err(|source| DestinationError::NotWritable { folder: folder.to_owned(), source })?;
    if free < needed { Err(DestinationError::Full { folder: folder.to_owned(), needed, free }) } else { Ok(()) }
}

/// Bytes that an ordinary user may still write to the file system of `folder`.
///
/// # Errors
/// When the folder does not exist or cannot be queried.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let system = statvfs(folder)?;
    Ok(system.blocks_available() * system.fragment_size())
}

/// Whether `path` is a bundle, or a volume of one, with signatures. A file that cannot be read has none.
pub(crate) fn is_signed(path: &Path) -> bool {
    let source = BundleSource::open_all(&[path.to_owned()]).ok();
    let stream = source.and_then(|source| BundleStream::open(source.reader(), SignatureCheck::Skipped).ok());
    stream.is_some_and(|stream| !stream.head().signatures.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err as fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_regular_files_are_replaced_and_only_when_told() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), b"").unwrap();
        fs::create_dir(at("folder")).unwrap();
        symlink(at("file"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let judged = |name: &str, existing| check_name(&at(name), existing);
        for existing in [Existing::Kept, Existing::KeptWithoutForce, Existing::Replaced] {
            assert!(judged("new", existing).is_ok());
            for name in ["folder", "pipe", "new/"] {
                assert!(matches!(judged(name, existing), Err(DestinationError::NotAFile { .. })), "{name}");
            }
            for name in ["link", "dangling"] {
                assert!(matches!(judged(name, existing), Err(DestinationError::Link { .. })), "{name}");
            }
            assert!(matches!(judged("none/new", existing), Err(DestinationError::NoFolder { .. })));
        }
        assert!(matches!(judged("file", Existing::Kept), Err(DestinationError::Exists { force: false, .. })));
        assert!(matches!(
            judged("file", Existing::KeptWithoutForce),
            Err(DestinationError::Exists { force: true, .. })
        ));
        assert!(judged("file", Existing::Replaced).is_ok());
    }

    #[test]
    fn space_is_compared_with_what_is_free() {
        let directory = tempfile::tempdir().unwrap();
        assert!(check_space(directory.path(), 1).is_ok());
        assert!(matches!(check_space(directory.path(), u64::MAX), Err(DestinationError::Full { .. })));
    }
}
