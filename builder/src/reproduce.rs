//! From a bundle's list back to a lock, so that the whole way can be gone again and the result compared.

use kbundle_format::{BundleList, Digest, Entry, PinSource};

use crate::fetch::{FetchError, Fetcher};
use crate::lock::{Artifact, Lock, SCHEMA};
use crate::resolve::{Selection, images_of};

/// Why a list cannot be built again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReproduceError {
    /// An entry that the builder could not have fetched.
    #[error("entry {path} does not say where it came from or what it is")]
    NoOrigin {
        /// The entry.
        path: String,
    },
}

/// The files that `list` names, as a lock has them.
///
/// # Errors
/// [`ReproduceError`].
pub fn files_of(list: &BundleList) -> Result<Vec<Artifact>, ReproduceError> {
    list.entries.iter().filter(|entry| entry.kind.is_artifact()).map(artifact).collect()
}

/// The lock with `artifacts` and the images of `list`, whose manifests are fetched for that.
///
/// # Errors
/// [`FetchError`]: what was fetched is something else, or a server does not have it any more.
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
