//! An OCI image layout that a bundle was unpacked to: which of its images are whole.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use fs_err as fs;
use kbundle_cli::failure;
use kbundle_commands::target::Target;
use kbundle_format::list::{OCI_INDEX_PATH, OCI_LAYOUT_PATH, canonical_json};
use kbundle_format::{Digest, EntryPath};
use serde::Deserialize;
use serde_json::Value;

/// What is looked at of a descriptor. Source: OCI image-spec 1.1, "descriptor.md".
#[derive(Deserialize)]
struct Descriptor {
    digest: Digest,
}

/// What an image manifest refers to. Source: OCI image-spec 1.1, "manifest.md".
#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// Cuts the index of the layout in `folder` down to the images whose manifests are there, and returns how many those are.
///
/// # Errors
/// Where blobs of such an image are missing, as in a differential bundle, or there is no image at all.
pub fn keep_whole_images(folder: &Path, target: &Target) -> anyhow::Result<usize> {
    let missing = [OCI_LAYOUT_PATH, OCI_INDEX_PATH].into_iter().filter(|path| !folder.join(path).exists());
    let mut missing: Vec<String> = missing.map(str::to_owned).collect();
    if missing.iter().any(|path| path == OCI_INDEX_PATH) {
        return Err(incomplete(&missing));
    }
    let mut index: Value = serde_json::from_slice(&fs::read(folder.join(OCI_INDEX_PATH))?)?;
    let manifests = index["manifests"].as_array_mut().context("index.json lists no manifests")?;
    let before = manifests.len();
    let mut whole = Vec::new();
    for descriptor in manifests.drain(..) {
        let Descriptor { digest } = Descriptor::deserialize(&descriptor)?;
        if blob(folder, &digest).exists() {
            missing.extend(missing_blobs(folder, &digest, &descriptor)?);
            whole.push(descriptor);
        }
    }
    let count = whole.len();
    *manifests = whole;
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
        file.write_all(&canonical_json(&index))?;
        file.commit()?;
    }
    Ok(count)
}

fn blob(folder: &Path, digest: &Digest) -> std::path::PathBuf {
    folder.join(EntryPath::blob(digest).as_str())
}

/// The blobs that the image under `manifest` lacks, for people.
fn missing_blobs(folder: &Path, manifest: &Digest, descriptor: &Value) -> anyhow::Result<Vec<String>> {
    let Manifest { config, layers } =
        serde_json::from_slice(&fs::read(blob(folder, manifest))?).with_context(|| format!("manifest {manifest}"))?;
    let name = descriptor["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap_or("an image");
    let lacking = [config].into_iter().chain(layers).filter(|part| !blob(folder, &part.digest).exists());
    Ok(lacking.map(|part| format!("{} of {name}", EntryPath::blob(&part.digest))).collect())
}

fn incomplete(missing: &[String]) -> anyhow::Error {
    failure::refused(
        format!("the bundle does not carry {}", missing.join(", ")),
        "complete it first with the bundles that it was made from: `kbundle join`",
    )
}
