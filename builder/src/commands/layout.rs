//! An OCI image layout from a bundle: which of its images are complete.

use std::io::Write as _;
use std::path::Path;

use anyhow::anyhow;
use fs_err as fs;
use kbundle_cli::failure;
use kbundle_commands::target::Target;
use kbundle_format::list::{OCI_INDEX_PATH, OCI_LAYOUT_PATH};
use kbundle_format::oci::{Document, LayoutEntry, LayoutIndex};
use kbundle_format::{Digest, EntryPath};

/// Reduces the index of the layout in `folder` to the images whose manifests it has, and returns their number.
///
/// # Errors
/// When blobs of such an image are missing, as in a differential bundle, or when there is no image at all.
pub fn keep_whole_images(folder: &Path, target: &Target) -> anyhow::Result<usize> {
    let missing = [OCI_LAYOUT_PATH, OCI_INDEX_PATH].into_iter().filter(|path| !folder.join(path).exists());
    let mut missing: Vec<String> = missing.map(str::to_owned).collect();
    if missing.iter().any(|path| path == OCI_INDEX_PATH) {
        return Err(incomplete(&missing));
    }
    let index: LayoutIndex = serde_json::from_slice(&fs::read(folder.join(OCI_INDEX_PATH))?)?;
    let before = index.entries().count();
    let whole = index.only(|entry| blob(folder, &entry.digest).exists());
    for entry in whole.entries() {
        missing.extend(missing_blobs(folder, &entry)?);
    }
    let count = whole.entries().count();
    if !missing.is_empty() {
        return Err(incomplete(&missing));
    }
    if count == 0 {
        return Err(failure::refused(
            format!("the bundle carries none of the {before} images in its list"),
            "export one that carries them; `kbundle inspect` shows what each holds",
        ));
    }
    if count < before {
        let mut file = target.file(&OCI_INDEX_PATH.parse::<EntryPath>()?, 0o644)?;
        file.write_all(&whole.to_bytes())?;
        file.commit()?;
    }
    Ok(count)
}

fn blob(folder: &Path, digest: &Digest) -> std::path::PathBuf {
    folder.join(EntryPath::blob(digest).as_str())
}

/// The blobs that an image lacks, for people.
fn missing_blobs(folder: &Path, image: &LayoutEntry<'_>) -> anyhow::Result<Vec<String>> {
    let manifest = Document::parse(&fs::read(blob(folder, &image.digest))?);
    let (config, layers) = match manifest.map_err(|reason| anyhow!("{} {reason}", image.digest))? {
        Document::Manifest { config, layers, .. } => (config, layers),
        Document::Index { .. } => return Ok(Vec::new()),
    };
    let name = image.annotation("org.opencontainers.image.ref.name").unwrap_or("an image");
    let lacking = [config].into_iter().chain(layers).filter(|part| !blob(folder, &part.digest).exists());
    Ok(lacking.map(|part| format!("{} of {name}", EntryPath::blob(&part.digest))).collect())
}

fn incomplete(missing: &[String]) -> anyhow::Error {
    failure::refused(
        format!("the bundle does not carry {}", missing.join(", ")),
        "complete it first with the bundles that it was made from: `kbundle join`",
    )
}
