//! The only part that talks to the network: pins what is to be pinned, and fetches content into a cache by digest.
//!
//! | module | what it knows |
//! |---|---|
//! | `cache` | content by digest on disk |
//! | `client`, `http`, `retry` | one download: TLS, resuming, hashing, bounds, trying again |
//! | `registry`, `image` | where a registry keeps things, and what images are made of |
//! | `breakdown`, `reach` | why there is no answer, and from which servers |
//! | `progress` | what a person sees |

mod breakdown;
mod cache;
mod client;
mod error;
mod http;
pub mod image;
pub mod progress;
mod reach;
mod registry;
mod retry;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use kbundle_commands::destination::check_space;
use kbundle_format::limits::MAX_ENTRY_BYTES;
use kbundle_format::{Digest, EntryKind, PinSource, Platform};
use reqwest::redirect::Policy;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::http::{Access, Download, Downloader};
use self::image::{Document, Fit};
use self::progress::Progress;
use crate::lock::{Artifact, Descriptor, Lock, LockedImage, SCHEMA};
use crate::mirror::{Mirrors, Repository};
use crate::resolve::{Pin, SelectedArtifact, SelectedImage, Selection};

pub use breakdown::Breakdown;
pub use cache::{Cache, CacheLock};
pub use client::HttpSettings;
pub use error::FetchError;
pub use registry::{Credentials, manifest_url, registry_host};
pub use retry::RetryPolicy;

/// Most bytes of an image index or manifest: what the distribution-spec asks registries to take.
const MAX_DOCUMENT_BYTES: u64 = 4 << 20;
/// Most bytes of a checksum file.
const MAX_CHECKSUM_BYTES: u64 = 64 << 10;

/// How to fetch.
#[derive(Clone, Debug)]
pub struct FetchSettings {
    /// How servers are reached.
    pub http: HttpSettings,
    /// How often and how patiently to try again.
    pub retry: RetryPolicy,
    /// Downloads at a time.
    pub jobs: usize,
}

/// Fetches what selections and locks name.
#[derive(Clone, Debug)]
pub struct Fetcher {
    downloader: Arc<Downloader>,
    mirrors: Arc<Mirrors>,
    progress: Arc<Progress>,
    permits: Arc<Semaphore>,
    http: HttpSettings,
}

impl Fetcher {
    /// Prepares to fetch into `cache`, whose lock the caller holds.
    ///
    /// # Errors
    /// [`FetchError::Client`].
    pub fn new(
        settings: &FetchSettings,
        mirrors: Mirrors,
        credentials: Credentials,
        cache: Cache,
        progress: Arc<Progress>,
    ) -> Result<Self, FetchError> {
        let registry = client::registry_client(&settings.http, &mirrors)?;
        let downloader = Downloader {
            client: client::http_client(&settings.http, Policy::limited(client::MOST_REDIRECTS))?,
            registry: registry::Authorizer::new(registry, credentials),
            cache,
            retry: settings.retry,
            in_flight: http::InFlight::default(),
        };
        Ok(Self {
            downloader: Arc::new(downloader),
            mirrors: Arc::new(mirrors),
            progress,
            permits: Arc::new(Semaphore::new(settings.jobs.max(1))),
            http: settings.http.clone(),
        })
    }

    /// Where downloads are kept.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.downloader.cache
    }

    /// Pins a selection and fetches all that it names. Files come first: a program that is not what its pin says stops the build
    /// before any image is asked for.
    ///
    /// # Errors
    /// The first [`FetchError`], as of [`Self::pin`] and [`Self::fetch`].
    pub async fn pin_and_fetch(&self, selection: Selection) -> Result<Lock, FetchError> {
        let images = Selection { artifacts: Vec::new(), ..selection.clone() };
        let files = Selection { images: Vec::new(), ..selection };
        let files = self.fetch(self.pin(files).await?).await?;
        let images = self.fetch(self.pin(images).await?).await?;
        Ok(Lock { images: images.images, ..files })
    }

    /// Turns a selection into a lock: checksums are looked up where the catalog has none, and images are followed from their
    /// pin to config and layers. Indexes, manifests and configs are fetched for that.
    ///
    /// # Errors
    /// The first [`FetchError`]; other downloads are stopped then.
    pub async fn pin(&self, selection: Selection) -> Result<Lock, FetchError> {
        let Selection { kubernetes, platforms, sources, artifacts, images } = selection;
        let pairs: Vec<_> = images
            .into_iter()
            .flat_map(|image| platforms.iter().map(move |platform| (image.clone(), platform.clone())))
            .collect();
        let artifacts = self.all(artifacts, |this, artifact| async move { this.pin_artifact(artifact).await }).await?;
        let images =
            self.all(pairs, |this, (image, platform)| async move { this.pin_image(image, platform).await }).await?;
        Ok(Lock { schema: SCHEMA, kubernetes, platforms, sources, artifacts, images })
    }

    /// Fetches everything that the lock names, and notes the sizes of files in it.
    ///
    /// # Errors
    /// The first [`FetchError`]; other downloads are stopped then, and what they have is kept for the next run.
    pub async fn fetch(&self, mut lock: Lock) -> Result<Lock, FetchError> {
        let files = lock.artifacts.iter().map(|artifact| (artifact.path.to_string(), self.file(artifact)));
        // Layers are shared between images, and one index serves all platforms.
        let mut seen = BTreeSet::new();
        let blobs = lock.images.iter().flat_map(|image| image.blobs().map(move |(kind, blob)| (image, kind, blob)));
        let blobs = blobs.filter(|(_, _, blob)| seen.insert(blob.digest)).map(|(image, kind, blob)| {
            let repository = self.mirrors.repository(&image.reference);
            let name = format!("{} {}", image.reference.short_name(), &blob.digest.hex()[..12]);
            let wanted = match kind {
                EntryKind::ImageIndex | EntryKind::ImageManifest => document(repository, blob),
                _ => content(repository, blob),
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
        // After an error others still run; they end before the runtime does, or they would panic on its way out.
        tasks.shutdown().await;
        results
    }

    /// Makes sure that the cache has room for what is not in it, as far as sizes are known.
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
            Pin::UpstreamChecksum(url) => (self.checksum(url).await?, PinSource::UpstreamChecksum),
            Pin::FirstUse => {
                let wanted = self.web(&artifact.url, None, MAX_ENTRY_BYTES);
                let item = self.progress.item(artifact.path.as_str(), None);
                (self.downloader.fetch(&wanted, &item).await?.0, PinSource::TrustOnFirstUse)
            }
        };
        let SelectedArtifact { path, url, kind, component, platform, roles, licence, pinned_by, .. } = artifact;
        Ok(Artifact { path, url, digest, size: None, kind, component, platform, roles, licence, pin, pinned_by })
    }

    /// The digest that a checksum file begins with, as `sha256sum` writes it.
    async fn checksum(&self, url: &str) -> Result<Digest, FetchError> {
        let wanted = self.web(url, None, MAX_CHECKSUM_BYTES);
        let (digest, _) = self.downloader.fetch(&wanted, &self.progress.step(url, None)).await?;
        let content = self.downloader.cache.read(&digest, MAX_CHECKSUM_BYTES)?;
        let first = content.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        std::str::from_utf8(first)
            .ok()
            .and_then(|hex| Digest::from_hex(hex).ok())
            .ok_or_else(|| FetchError::NoChecksum { url: wanted.url })
    }

    fn web(&self, url: &str, digest: Option<Digest>, most: u64) -> Download {
        Download { url: self.mirrors.rewrite(url), digest, size: None, most, access: Access::Web }
    }

    fn file(&self, artifact: &Artifact) -> Download {
        Download { size: artifact.size, ..self.web(&artifact.url, Some(artifact.digest), MAX_ENTRY_BYTES) }
    }

    async fn pin_image(&self, image: SelectedImage, platform: Platform) -> Result<LockedImage, FetchError> {
        let repository = self.mirrors.repository(&image.reference);
        let wanted = Download {
            url: manifest_url(&self.mirrors, &image.reference, image.digest.as_ref()),
            digest: image.digest,
            size: None,
            most: MAX_DOCUMENT_BYTES,
            access: Access::Manifest(repository.clone()),
        };
        let named = |what: &str| format!("{} {what}", image.reference);
        let pin = if image.digest.is_some() { PinSource::Catalog } else { PinSource::TrustOnFirstUse };
        let (pinned, size) = self.downloader.fetch(&wanted, &self.progress.step(&named("index"), None)).await?;
        let (index, (digest, size, document)) = match self.document(&image, pinned)? {
            Document::Index { media_type, manifests } => {
                let chosen = image::choose(&manifests, &platform).ok_or_else(|| FetchError::NoPlatform {
                    reference: Box::new(image.reference.clone()),
                    platform: platform.clone(),
                    known: manifests.iter().map(|entry| entry.platform.clone()).collect(),
                })?;
                let item = self.progress.step(&named("manifest"), Some(chosen.size));
                self.downloader.fetch(&self::document(repository.clone(), chosen), &item).await?;
                let document = self.document(&image, chosen.digest)?;
                (Some(Descriptor { media_type, digest: pinned, size }), (chosen.digest, chosen.size, document))
            }
            manifest @ Document::Manifest { .. } => (None, (pinned, size, manifest)),
        };
        let Document::Manifest { media_type, config, layers } = document else {
            return Err(refuse(&image, digest, "is an index within an index".to_owned()));
        };
        self.downloader
            .fetch(&content(repository, &config), &self.progress.step(&named("config"), Some(config.size)))
            .await?;
        let bytes = self.downloader.cache.read(&config.digest, MAX_DOCUMENT_BYTES)?;
        let stated = image::config_platform(&bytes).map_err(|reason| refuse(&image, config.digest, reason))?;
        match image::judge(&stated, &platform, index.is_some()) {
            Fit::Same => {}
            Fit::IndexSaysSo => self.progress.note(&format!(
                "warning: {}: its config says {stated}, its index {platform}; the index is what counts",
                image.reference
            )),
            Fit::Other => {
                return Err(refuse(&image, config.digest, format!("is for {stated} instead of {platform}")));
            }
        }
        let manifest = Descriptor { media_type, digest, size };
        let SelectedImage { reference, roles, licence, .. } = image;
        Ok(LockedImage { reference, platform, pin, index, manifest, config, layers, roles, licence })
    }

    /// Reads a document of an image that was fetched.
    fn document(&self, image: &SelectedImage, digest: Digest) -> Result<Document, FetchError> {
        let bytes = self.downloader.cache.read(&digest, MAX_DOCUMENT_BYTES)?;
        Document::parse(&bytes).map_err(|reason| refuse(image, digest, reason))
    }
}

fn refuse(image: &SelectedImage, digest: Digest, reason: String) -> FetchError {
    FetchError::Image { reference: Box::new(image.reference.clone()), digest, reason }
}

/// An image index or manifest by its descriptor.
fn document(repository: Repository, descriptor: &Descriptor) -> Download {
    Download {
        url: registry::url(&repository, &format!("manifests/{}", descriptor.digest)),
        most: MAX_DOCUMENT_BYTES,
        access: Access::Manifest(repository.clone()),
        ..content(repository, descriptor)
    }
}

/// An image config or layer by its descriptor.
fn content(repository: Repository, descriptor: &Descriptor) -> Download {
    Download {
        url: registry::url(&repository, &format!("blobs/{}", descriptor.digest)),
        digest: Some(descriptor.digest),
        size: Some(descriptor.size),
        most: MAX_ENTRY_BYTES,
        access: Access::Blob(repository),
    }
}

/// Waits for all tasks, up to the first error; results by their indexes.
async fn in_order<R: 'static>(tasks: &mut JoinSet<Result<(usize, R), FetchError>>) -> Result<Vec<R>, FetchError> {
    let mut results = BTreeMap::new();
    while let Some(finished) = tasks.join_next().await {
        let (index, result) = finished.map_err(|source| FetchError::Task { source })??;
        results.insert(index, result);
    }
    Ok(results.into_values().collect())
}
