//! Fetches content into a cache by digest, and looks up the pins that a catalog lacks.
//!
//! | module | what it knows |
//! |---|---|
//! | `cache` | content by digest on disk |
//! | `http`, `retry` | one download: resuming, hashing, bounds, retries, other mirrors |
//! | `image` | from the name of an image to its manifest, config and layers |
//! | `chart` | charts: their archives, and the images that they name |
//! | `os_packages` | packages of distributions, from their signed indexes |
//! | `local_file`, `image_file` | local files and images of the site |
//! | `sizes` | how large content is, without fetching it |
//! | `breakdown`, `reach` | why a server does not answer, and which servers do not |
//! | `progress` | the progress that is shown |

mod breakdown;
mod cache;
mod chart;
mod error;
mod http;
mod image;
mod image_file;
mod local_file;
mod os_packages;
pub mod progress;
mod reach;
mod retry;
mod sizes;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex};

use kbundle_commands::destination::check_space;
use kbundle_format::limits::MAX_ENTRY_BYTES;
use kbundle_format::{Digest, EntryKind, PinSource};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::http::{Access, Download, Downloader, Location};
use self::image::ImagePlaces;
use self::progress::Progress;
use crate::lock::{Artifact, Lock, SCHEMA};
use crate::mirror::Mirrors;
use crate::registry::{HttpSettings, Keyring, Session};
use crate::resolve::{Pin, SelectedArtifact, Selection};

pub use breakdown::Breakdown;
pub use cache::{Cache, CacheLock};
pub use error::FetchError;
pub use image_file::{KeepImageError, keep_image_files};
pub use local_file::{LocalFileError, keep_local_files};
pub use retry::RetryPolicy;
pub(crate) use retry::{Insistence, retry_after};
pub use sizes::{Answers, Questions};

/// Most bytes of a checksum file.
const MAX_CHECKSUM_BYTES: u64 = 64 << 10;

/// Settings for fetching.
#[derive(Clone, Debug)]
pub struct FetchSettings {
    /// Settings for connections to servers.
    pub http: HttpSettings,
    /// How often to retry, and how long to wait.
    pub retry: RetryPolicy,
    /// Simultaneous downloads.
    pub jobs: usize,
}

/// Fetches what selections and locks name.
#[derive(Clone, Debug)]
pub struct Fetcher {
    downloader: Arc<Downloader>,
    mirrors: Arc<Mirrors>,
    progress: Arc<Progress>,
    permits: Arc<Semaphore>,
}

impl Fetcher {
    /// Prepares to fetch into `cache`, whose lock the caller holds.
    ///
    /// # Errors
    /// [`FetchError::Client`].
    pub fn new(
        settings: &FetchSettings,
        mirrors: Mirrors,
        keyring: Keyring,
        cache: Cache,
        progress: Arc<Progress>,
    ) -> Result<Self, FetchError> {
        let downloader = Downloader {
            session: Session::new(settings.http.clone(), keyring)?,
            cache,
            retry: settings.retry,
            in_flight: http::InFlight::default(),
            unreachable: Mutex::default(),
        };
        Ok(Self {
            downloader: Arc::new(downloader),
            mirrors: Arc::new(mirrors),
            progress,
            permits: Arc::new(Semaphore::new(settings.jobs.max(1))),
        })
    }

    /// The cache of downloads.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.downloader.cache
    }

    /// Pins a selection and fetches everything that it names. Files come first: a binary with a wrong digest stops the build before any
    /// image is requested.
    ///
    /// # Errors
    /// The first [`FetchError`], as of [`Self::pin`] and [`Self::fetch`].
    pub async fn pin_and_fetch(&self, selection: Selection) -> Result<Lock, FetchError> {
        let selection = self.with_os_packages(self.with_charts(selection).await?).await?;
        let images = Selection { artifacts: Vec::new(), ..selection.clone() };
        let files = Selection { images: Vec::new(), ..selection };
        let files = self.fetch_content(self.pin_content(files).await?).await?;
        let images = self.pin_content(images).await?;
        let lock = Lock { images: images.images.clone(), ..files };
        image::check_layers(&lock)?;
        self.fetch_content(images).await?;
        Ok(lock)
    }

    /// Turns a selection into a lock: looks up checksums that the catalog lacks, and follows images from their pin to config and layers.
    /// Fetches indexes, manifests and configs for that.
    ///
    /// # Errors
    /// The first [`FetchError`]; other downloads are stopped then.
    pub async fn pin(&self, selection: Selection) -> Result<Lock, FetchError> {
        let selection = self.with_os_packages(self.with_charts(selection).await?).await?;
        let lock = self.pin_content(selection).await?;
        image::check_layers(&lock)?;
        Ok(lock)
    }

    /// Like [`Self::pin`], for a part of a bundle: conditions for a complete bundle are not checked.
    pub(crate) async fn pin_content(&self, selection: Selection) -> Result<Lock, FetchError> {
        let Selection { kubernetes, platforms, sources, after, artifacts, images, .. } = selection;
        let pairs: Vec<_> = images
            .into_iter()
            .flat_map(|image| platforms.iter().map(move |platform| (image.clone(), platform.clone())))
            .collect();
        let artifacts = self.all(artifacts, |this, artifact| async move { this.pin_artifact(artifact).await }).await?;
        let pin = |this: Self, (image, platform)| async move { image::PinnedImage::find(&this, image, platform).await };
        let images = self.all(pairs, pin).await?;
        Ok(Lock { schema: SCHEMA, kubernetes, platforms, sources, after, artifacts, images })
    }

    /// Fetches everything that the lock names, and enters the sizes of files in it.
    ///
    /// # Errors
    /// The first [`FetchError`]; other downloads are stopped then, and what they have is kept for the next run.
    pub async fn fetch(&self, lock: Lock) -> Result<Lock, FetchError> {
        image::check_layers(&lock)?;
        self.fetch_content(lock).await
    }

    async fn fetch_content(&self, mut lock: Lock) -> Result<Lock, FetchError> {
        let files = lock.artifacts.iter().map(|artifact| (artifact.path.to_string(), self.file(artifact)));
        // Images share layers, and all platforms share one index.
        let mut seen = BTreeSet::new();
        let blobs = lock.images.iter().flat_map(|image| image.blobs().map(move |(kind, blob)| (image, kind, blob)));
        let blobs = blobs.filter(|(_, _, blob)| seen.insert(blob.digest)).map(|(image, kind, blob)| {
            let places = ImagePlaces::of(&self.mirrors, &image.reference, image.file.as_ref());
            let name = format!("{} {}", image.reference.short_name(), &blob.digest.hex()[..12]);
            let wanted = match kind {
                EntryKind::ImageIndex | EntryKind::ImageManifest => image::document(&places, blob),
                _ => image::content(&places, blob),
            };
            (name, wanted)
        });
        let wanted: Vec<_> = files.chain(blobs).collect();
        self.demand_room(wanted.iter().map(|(_, wanted)| wanted))?;
        let sizes = self
            .all(wanted, |this, (name, wanted)| async move {
                this.downloader.fetch(&wanted, &this.progress.item(&name, wanted.size)).await
            })
            .await?;
        let sizes: BTreeMap<Digest, u64> = sizes.into_iter().collect();
        for artifact in &mut lock.artifacts {
            artifact.size = sizes.get(&artifact.digest).copied();
        }
        Ok(lock)
    }

    /// Runs `task` for every item, as many at a time as there are permits; results in the order of the items.
    async fn all<T, R, F>(&self, items: Vec<T>, task: impl Fn(Self, T) -> F) -> Result<Vec<R>, FetchError>
    where
        R: Send + 'static,
        F: Future<Output = Result<R, FetchError>> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        for (index, item) in items.into_iter().enumerate() {
            let (permits, future) = (Arc::clone(&self.permits), task(self.clone(), item));
            tasks.spawn(async move {
                let _permit = permits.acquire().await.expect("the semaphore is never closed");
                future.await.map(|result| (index, result))
            });
        }
        let results = in_order(&mut tasks).await;
        // After an error, other tasks still run. They have to end before the runtime does, or they would panic when it shuts down.
        tasks.shutdown().await;
        results
    }

    /// Checks that there is room in the cache for the missing content, as far as sizes are known.
    fn demand_room<'a>(&self, wanted: impl Iterator<Item = &'a Download>) -> Result<(), FetchError> {
        let missing = |wanted: &Download| {
            let digest = wanted.digest.filter(|digest| self.cache().size(digest).is_none())?;
            let begun = std::fs::metadata(self.cache().partial(&digest.hex())).map_or(0, |begun| begun.len());
            Some(wanted.size?.saturating_sub(begun))
        };
        let needed = wanted.filter_map(missing).sum();
        check_space(self.cache().directory(), needed).map_err(|source| FetchError::NoRoom { source })
    }

    async fn pin_artifact(&self, artifact: SelectedArtifact) -> Result<Artifact, FetchError> {
        let (digest, pin) = match &artifact.pin {
            Pin::Catalog(digest) => (*digest, PinSource::Catalog),
            Pin::LocalFile(digest) => (*digest, PinSource::LocalFile),
            Pin::Fetched(digest, source) => (*digest, *source),
            Pin::UpstreamChecksum(url) => (self.checksum(url).await?, PinSource::UpstreamChecksum),
            Pin::FirstUse => {
                let wanted = self.web(&artifact.url, None, MAX_ENTRY_BYTES);
                let item = self.progress.item(artifact.path.as_str(), None);
                (self.downloader.fetch(&wanted, &item).await?.0, PinSource::TrustOnFirstUse)
            }
        };
        let SelectedArtifact { path, url, kind, component, platform, roles, licence, pinned_by, host_file, .. } =
            artifact;
        Ok(Artifact {
            path,
            url,
            digest,
            size: None,
            kind,
            component,
            platform,
            roles,
            licence,
            pin,
            pinned_by,
            host_file,
        })
    }

    /// The digest at the beginning of a checksum file, in the form of `sha256sum`.
    async fn checksum(&self, url: &str) -> Result<Digest, FetchError> {
        let wanted = self.web(url, None, MAX_CHECKSUM_BYTES);
        let (digest, _) = self.downloader.fetch(&wanted, &self.progress.step(url, None)).await?;
        let content = self.downloader.cache.read(&digest, MAX_CHECKSUM_BYTES)?;
        let first = content.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        std::str::from_utf8(first)
            .ok()
            .and_then(|hex| Digest::from_hex(hex).ok())
            .ok_or_else(|| FetchError::NoChecksum { url: url.to_owned() })
    }

    fn web(&self, url: &str, digest: Option<Digest>, most: u64) -> Download {
        let places = self.mirrors.places(url).into_iter().map(|url| Location { url, access: Access::Web });
        Download { places: places.collect(), digest, size: None, most }
    }

    fn file(&self, artifact: &Artifact) -> Download {
        if let Some(blob) = self.blob(&artifact.url, artifact.size) {
            return blob;
        }
        Download { size: artifact.size, ..self.web(&artifact.url, Some(artifact.digest), MAX_ENTRY_BYTES) }
    }
}

/// Waits for all tasks, or for the first error. Results are in the order of their indexes.
async fn in_order<R: 'static>(tasks: &mut JoinSet<Result<(usize, R), FetchError>>) -> Result<Vec<R>, FetchError> {
    let mut results = BTreeMap::new();
    while let Some(finished) = tasks.join_next().await {
        let (index, result) = finished.map_err(|source| FetchError::Task { source })??;
        results.insert(index, result);
    }
    Ok(results.into_values().collect())
}
