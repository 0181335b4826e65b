//! `kbundle export`

use std::path::Path;

use anyhow::Context as _;
use fs_err as fs;
use kbundle::target::Target;
use kbundle_format::atomic_file::INCOMPLETE_PREFIX;
use kbundle_format::{Entry, EntryKind};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::input::{Asked, Input};
use super::unpack::unpack;
use crate::cli::ExportArgs;
use crate::failure::CommandError;
use crate::output;

pub fn run(arguments: &ExportArgs) -> anyhow::Result<()> {
    let asked = Asked::of(&arguments.trust)?;
    let directory = &arguments.oci;
    if directory.symlink_metadata().is_ok() {
        return Err(exists(directory));
    }
    let input = Input::find(&arguments.bundle)?;
    let bundle = input.open(asked.check())?;
    let images = bundle.head().list.images.len();
    if images == 0 {
        return Err(CommandError::Usage {
            what: format!("{} holds no images", input.name),
            hint: "`kbundle inspect` shows what it holds".to_owned(),
        }
        .into());
    }
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Taken away again unless it gets its name below.
    let aside = tempfile::Builder::new().prefix(INCOMPLETE_PREFIX).permissions(readable()).tempdir_in(parent)?;
    let target = Target::open(aside.path())?;
    let blobs = unpack(bundle, &target, belongs_to_images).with_context(|| input.refused())?;
    rename(aside.path(), directory)?;
    // It has another name now, so there is nothing to take away.
    let _ = aside.keep();
    fs::File::open(parent)?.sync_all()?;
    output::note(&format!("{}: OCI image layout with {images} images in {blobs} files", directory.display()))?;
    Ok(())
}

fn readable() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

fn belongs_to_images(entry: &Entry) -> bool {
    match entry.kind {
        EntryKind::OciLayout
        | EntryKind::ImageIndex
        | EntryKind::ImageManifest
        | EntryKind::ImageConfig
        | EntryKind::ImageLayer => true,
        EntryKind::Binary | EntryKind::Archive | EntryKind::Manifest | EntryKind::Chart => false,
    }
}

/// Gives the folder its name, which must still be free.
fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        Err(Errno::EEXIST) => Err(exists(to)),
        // FAT and some network file systems cannot rename with that condition.
        Err(Errno::EINVAL) if to.symlink_metadata().is_err() => Ok(fs::rename(from, to)?),
        renamed => renamed.with_context(|| format!("while creating {}", to.display())),
    }
}

fn exists(path: &Path) -> anyhow::Error {
    CommandError::Refused {
        what: format!("{} exists already and is not replaced", path.display()),
        hint: "choose another folder with `--oci`, or move it away if nobody needs it".to_owned(),
    }
    .into()
}
