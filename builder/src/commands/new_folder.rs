//! A folder that a command fills under a temporary name, and renames once it is complete.

use std::path::Path;

use anyhow::Context as _;
use fs_err as fs;
use kbundle_cli::failure;
use kbundle_format::atomic_file::{IncompleteFolder, parent};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

/// Gives the folder its name, which must still be free.
///
/// # Errors
/// When the name is taken, or the file system refuses. Nothing is left then.
pub fn give_name(aside: IncompleteFolder, to: &Path) -> anyhow::Result<()> {
    rename(aside.path(), to)?;
    aside.keep();
    Ok(fs::File::open(parent(to))?.sync_all()?)
}

fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        Err(Errno::EEXIST) => Err(exists(to)),
        // FAT and some network file systems cannot rename only if the name is free.
        Err(Errno::EINVAL) if to.symlink_metadata().is_err() => Ok(fs::rename(from, to)?),
        renamed => renamed.with_context(|| format!("while creating {}", to.display())),
    }
}

fn exists(path: &Path) -> anyhow::Error {
    failure::refused(
        format!("{} already exists", path.display()),
        "give another name, or move it away if nobody needs it",
    )
}
