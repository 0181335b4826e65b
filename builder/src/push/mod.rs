//! Copies the images of a bundle into a registry, by digest.
//!
//! | module | what it knows |
//! |---|---|
//! | `target` | which registry, and the names of images there |
//! | `copies` | from a bundle's list to what is copied |
//! | `remote`, `upload` | requests to a registry, and uploads |
//! | `outcome` | what was changed |
//!
//! Blobs go first, then manifests, then indexes and tags: a registry never has a name for incomplete content. Content that the registry has
//! is not sent again, so a run that was cut off resumes where it stopped. Source: OCI distribution-spec 1.1, "Push".

mod copies;
mod error;
mod outcome;
mod remote;
mod target;
mod upload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kbundle_format::{Digest, IndexedBundle};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::copies::ImageCopy;
use self::remote::Remote;
use self::upload::{BlobUpload, Transfer};
use crate::fetch::progress::Progress;
use crate::fetch::{FetchError, FetchSettings};
use crate::mirror::Repository;
use crate::registry::{Keyring, Session};

pub use error::PushError;
pub use outcome::{ImageOutcome, IndexKept, Outcome, State};
pub use target::{Naming, PushTarget};

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Content and names are written.
    Allowed,
    /// The registry is only asked.
    DryRun,
}

/// Copies images into one registry.
#[derive(Debug)]
pub struct Pusher {
    remote: Arc<Remote>,
    progress: Arc<Progress>,
    jobs: usize,
    writing: Writing,
}

/// The work for one blob.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    uploaded_bytes: u64,
    uploaded_blobs: usize,
    mounted_blobs: usize,
}

impl Pusher {
    /// Prepares to copy.
    ///
    /// # Errors
    /// [`FetchError::Client`].
    pub fn new(
        settings: &FetchSettings,
        keyring: Keyring,
        progress: Arc<Progress>,
        writing: Writing,
    ) -> Result<Self, FetchError> {
        let session = Session::new(settings.http.clone(), keyring)?;
        let remote = Arc::new(Remote { session, retry: settings.retry });
        Ok(Self { remote, progress, jobs: settings.jobs.max(1), writing })
    }

    /// Copies every image that `bundle` carries to `target`.
    ///
    /// # Errors
    /// Any [`PushError`]. [`PushError::Collision`] comes before the registry is asked.
    pub async fn push(&self, bundle: Arc<IndexedBundle>, target: &PushTarget) -> Result<Outcome, PushError> {
        let copies = copies::of_bundle(&bundle, target)?;
        let mut previous = Vec::new();
        for copy in &copies {
            previous.push(self.previous(copy).await?);
        }
        let changed = || copies.iter().zip(&previous).filter(|(copy, previous)| !copy.is_there(previous));
        let moved = self.blobs(&bundle, changed().map(|(copy, _)| copy)).await?;
        let mut outcome = Outcome { schema: 1, registry: target.to_string(), ..Outcome::default() };
        outcome.add(moved.uploaded_bytes, moved.uploaded_blobs, moved.mounted_blobs);
        for (copy, previous) in copies.iter().zip(previous) {
            let image = if copy.is_there(&previous) {
                copy.unchanged(&previous)
            } else {
                self.name(copy, previous.into_iter().next()).await?
            };
            outcome.images.push(image);
        }
        Ok(outcome)
    }

    /// What the registry has under the image's name; for an image by digest, which of its manifests it has.
    async fn previous(&self, copy: &ImageCopy) -> Result<BTreeSet<Digest>, PushError> {
        let mut there = BTreeSet::new();
        for name in copy.names() {
            there.extend(self.remote.manifest(&copy.repository, &name).await?);
        }
        Ok(there)
    }

    /// Puts the blobs of `copies` into the registry, each into every repository that needs it.
    async fn blobs<'a>(
        &self,
        bundle: &Arc<IndexedBundle>,
        copies: impl Iterator<Item = &'a ImageCopy>,
    ) -> Result<Moved, PushError> {
        let mut wanted: BTreeMap<Digest, (u64, Vec<Repository>)> = BTreeMap::new();
        for copy in copies {
            for blob in &copy.blobs {
                let (_, repositories) = wanted.entry(blob.digest).or_insert_with(|| (blob.size, Vec::new()));
                if !repositories.contains(&copy.repository) {
                    repositories.push(copy.repository.clone());
                }
            }
        }
        let permits = Arc::new(Semaphore::new(self.jobs));
        let mut tasks = JoinSet::new();
        for (digest, (size, repositories)) in wanted {
            let (permits, remote, bundle) = (Arc::clone(&permits), Arc::clone(&self.remote), Arc::clone(bundle));
            let (progress, writing) = (Arc::clone(&self.progress), self.writing);
            tasks.spawn(async move {
                let _permit = permits.acquire().await.expect("the semaphore is never closed");
                one_blob(&remote, &bundle, &progress, writing, (digest, size), &repositories).await
            });
        }
        let mut sum = Ok(Moved::default());
        while let Some(done) = tasks.join_next().await {
            let moved = done.map_err(|source| PushError::Registry(FetchError::Task { source })).and_then(|moved| moved);
            match (&mut sum, moved) {
                (Ok(sum), Ok(moved)) => sum.add(moved),
                (sum @ Ok(_), Err(error)) => {
                    *sum = Err(error);
                    break;
                }
                (Err(_), _) => {}
            }
        }
        // After an error, other tasks still run; they have to end before the runtime does.
        tasks.shutdown().await;
        sum
    }

    /// Writes manifests, indexes and the tag of an image whose blobs are there.
    async fn name(&self, copy: &ImageCopy, previous: Option<Digest>) -> Result<ImageOutcome, PushError> {
        let state = if previous.is_some() { State::Updated } else { State::Created };
        if self.writing == Writing::DryRun {
            return Ok(copy.outcome(state, previous, copy.pinned.digest, IndexKept::Unknown));
        }
        for manifest in &copy.manifests {
            self.remote.put_manifest(&copy.repository, &manifest.digest.to_string(), manifest).await??;
        }
        let Some(reduced) = &copy.reduced else {
            // The pin names the manifest itself.
            self.remote.put_manifest(&copy.repository, &copy.name_of(&copy.pinned), &copy.pinned).await??;
            return Ok(copy.outcome(state, previous, copy.pinned.digest, IndexKept::None));
        };
        match self.whole_index(copy).await? {
            Ok(()) => Ok(copy.outcome(state, previous, copy.pinned.digest, IndexKept::Whole)),
            Err(refusal) if refusal.is_for_missing_content() => {
                tracing::info!(image = %copy.reference, %refusal, "the registry demands every manifest of the index");
                self.remote.put_manifest(&copy.repository, &copy.name_of(reduced), reduced).await??;
                Ok(copy.outcome(state, previous, reduced.digest, IndexKept::Reduced))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Writes the index as it was published, with the indexes inside of it. Many registries accept it only with the manifests of all its
    /// platforms.
    async fn whole_index(&self, copy: &ImageCopy) -> Result<Result<(), PushError>, PushError> {
        for inner in &copy.inner_indexes {
            if let Err(refusal) = self.remote.put_manifest(&copy.repository, &inner.digest.to_string(), inner).await? {
                return Ok(Err(refusal));
            }
        }
        self.remote.put_manifest(&copy.repository, &copy.name_of(&copy.pinned), &copy.pinned).await
    }
}

impl Moved {
    fn add(&mut self, other: Self) {
        self.uploaded_bytes += other.uploaded_bytes;
        self.uploaded_blobs += other.uploaded_blobs;
        self.mounted_blobs += other.mounted_blobs;
    }
}

/// Puts the blob into every repository: it may be there already, be mounted from another repository, or be uploaded.
async fn one_blob(
    remote: &Remote,
    bundle: &Arc<IndexedBundle>,
    progress: &Progress,
    writing: Writing,
    (digest, size): (Digest, u64),
    repositories: &[Repository],
) -> Result<Moved, PushError> {
    let mut moved = Moved::default();
    let mut missing = Vec::new();
    let mut source = None;
    for repository in repositories {
        if remote.has_blob(repository, &digest).await? {
            source = Some(repository.clone());
        } else {
            missing.push(repository);
        }
    }
    for repository in missing {
        if writing == Writing::DryRun {
            let is_first = source.is_none();
            moved.add(Moved {
                uploaded_bytes: if is_first { size } else { 0 },
                uploaded_blobs: usize::from(is_first),
                mounted_blobs: usize::from(!is_first),
            });
        } else {
            let item = progress.item(&digest.hex()[..12], Some(size));
            let upload = BlobUpload { remote, bundle, repository, digest };
            match upload.run(source.as_ref(), &item).await? {
                Transfer::Uploaded => {
                    moved.add(Moved { uploaded_bytes: size, uploaded_blobs: 1, mounted_blobs: 0 });
                    item.fetched(size);
                }
                Transfer::Mounted => {
                    moved.add(Moved { mounted_blobs: 1, ..Moved::default() });
                    item.cached(size);
                }
            }
        }
        source.get_or_insert_with(|| repository.clone());
    }
    Ok(moved)
}
