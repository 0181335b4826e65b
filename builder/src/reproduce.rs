//! Makes a lock from a bundle's list, so that the bundle can be built again and compared.

use kbundle_format::{BundleList, Digest, Entry, PinSource};

use crate::fetch::{FetchError, Fetcher};
use crate::lock::{Artifact, Lock, SCHEMA};
use crate::resolve::{Selection, images_of};

/// Why a bundle cannot be built again from its list.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReproduceError {
    /// An entry that was not fetched by the builder.
    #[error("entry {path} does not say where it came from or what it is")]
    NoOrigin {
        /// The entry.
        path: String,
    },
}

/// The files in `list`, in the form of a lock.
///
/// # Errors
/// [`ReproduceError`].
pub fn files_of(list: &BundleList) -> Result<Vec<Artifact>, ReproduceError> {
    list.entries.iter().filter(|entry| entry.kind.is_artifact()).map(artifact).collect()
}

/// The lock with `artifacts` and the images of `list`. Fetches the images' manifests for that.
///
/// # Errors
/// [`FetchError`]: the fetched content differs, or a server does not have it any more.
pub async fn lock_of(list: &BundleList, artifacts: Vec<Artifact>, fetcher: &Fetcher) -> Result<Lock, FetchError> {
    let selection = Selection {
        kubernetes: list.kubernetes_version,
        platforms: list.platforms.clone(),
        sources: list.sources.clone(),
        after: list.after.clone(),
        artifacts: Vec::new(),
        images: images_of(list),
        charts: None,
        os_packages: Vec::new(),
    };
    let mut pinned = fetcher.pin_content(selection).await?;
    for image in &mut pinned.images {
        image.pin = pin_of(list, &image.pinned().digest).unwrap_or(image.pin);
    }
    Ok(Lock { schema: SCHEMA, artifacts, ..pinned })
}

fn artifact(entry: &Entry) -> Result<Artifact, ReproduceError> {
    let (Some(origin), Some(component)) = (&entry.origin, &entry.component) else {
        return Err(ReproduceError::NoOrigin { path: entry.path.to_string() });
    };
    Ok(Artifact {
        path: entry.path.clone(),
        url: origin.url.clone(),
        digest: entry.digest,
        size: Some(entry.size),
        kind: entry.kind,
        component: component.clone(),
        platform: entry.platform.clone(),
        roles: entry.roles.clone(),
        licence: entry.licence.clone(),
        pin: origin.pin,
        pinned_by: None,
        host_file: entry.host_file.clone(),
    })
}

fn pin_of(list: &BundleList, pinned: &Digest) -> Option<PinSource> {
    let entry = list.entries.iter().find(|entry| entry.digest == *pinned)?;
    entry.origin.as_ref().map(|origin| origin.pin)
}
