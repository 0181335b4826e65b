//! Follows the name of an image to the manifest for a platform, its config and its layers.

use std::future::Future;
use std::pin::Pin as PinBox;

use kbundle_format::limits::MAX_ENTRY_BYTES;
use kbundle_format::oci::{
    Blob, ConfigFit, DOCKER_ZSTD_LAYER, Document, IndexEntry, MAX_DOCUMENT_BYTES, MAX_INDEX_DEPTH, StatedPlatform,
    config_platform,
};
use kbundle_format::{Digest, ImageRef, Platform};

use super::http::{Access, Download, Location};
use super::{FetchError, Fetcher};
use crate::image_file::ImageFile;
use crate::lock::{Descriptor, Lock, LockedImage};
use crate::mirror::{Mirrors, Repository};
use crate::registry::{document_address, url};
use crate::resolve::SelectedImage;

/// The first major version of containerd that unpacks [`DOCKER_ZSTD_LAYER`].
const ZSTD_CONTAINERD_MAJOR: u32 = 2;

/// The search for one image.
pub(super) struct PinnedImage<'a> {
    fetcher: &'a Fetcher,
    image: &'a SelectedImage,
    platform: &'a Platform,
    places: ImagePlaces,
}

/// Where the content of an image is.
pub(super) enum ImagePlaces {
    /// In one of these repositories, which are asked in their order.
    Registries(Vec<Repository>),
    /// In a file whose content is in the cache.
    File(ImageFile),
}

impl ImagePlaces {
    /// In `file`, or else in the mirrors of `reference`.
    pub fn of(mirrors: &Mirrors, reference: &ImageRef, file: Option<&ImageFile>) -> Self {
        match file {
            Some(file) => Self::File(file.clone()),
            None => Self::Registries(mirrors.repositories(reference)),
        }
    }

    fn locations(&self, location: impl Fn(&Repository) -> Location) -> Vec<Location> {
        match self {
            Self::Registries(repositories) => repositories.iter().map(location).collect(),
            Self::File(file) => vec![Location { url: file.to_string(), access: Access::File }],
        }
    }
}

/// The manifest for the platform, and how it was found.
struct FoundManifest {
    /// The indexes that lead to it, the innermost first.
    indexes: Vec<Descriptor>,
    manifest: Descriptor,
    config: Blob,
    layers: Vec<Blob>,
    /// The platform in the config.
    stated: StatedPlatform,
    /// Whether an index names the platform for it.
    index_says_so: bool,
}

impl<'a> PinnedImage<'a> {
    /// Follows `image` from its pin to config and layers.
    pub async fn find(
        fetcher: &'a Fetcher,
        image: SelectedImage,
        platform: Platform,
    ) -> Result<LockedImage, FetchError> {
        let places = ImagePlaces::of(&fetcher.mirrors, &image.reference, image.file.as_ref());
        let found = PinnedImage { fetcher, image: &image, platform: &platform, places }.follow().await?;
        let FoundManifest { mut indexes, manifest, config, layers, .. } = found;
        let pin = image.pin_source();
        let index = indexes.pop();
        indexes.reverse();
        let layers = layers.into_iter().map(Descriptor::from).collect();
        let SelectedImage { reference, roles, licence, file, .. } = image;
        let config = config.into();
        Ok(LockedImage {
            reference,
            platform,
            pin,
            file,
            index,
            inner_indexes: indexes,
            manifest,
            config,
            layers,
            roles,
            licence,
        })
    }

    async fn follow(&self) -> Result<FoundManifest, FetchError> {
        let reference = &self.image.reference;
        let place = |repository: &Repository| Location {
            url: document_address(repository, reference, self.image.digest.as_ref()),
            access: Access::Manifest(repository.clone()),
        };
        let places = self.places.locations(place);
        let wanted = Download { places, digest: self.image.digest, size: None, most: MAX_DOCUMENT_BYTES };
        let item = self.fetcher.progress.step(&format!("{reference} index"), None);
        let (digest, size) = self.fetcher.downloader.fetch(&wanted, &item).await?;
        let found = match self.document(digest)? {
            Document::Index { media_type, manifests } => {
                let index = Descriptor { media_type, digest, size };
                let found = self.in_index(index, &manifests, MAX_INDEX_DEPTH).await?;
                found.ok_or_else(|| FetchError::NoPlatform {
                    reference: Box::new(reference.clone()),
                    platform: self.platform.clone(),
                    known: manifests.iter().map(platform_words).collect(),
                })?
            }
            Document::Manifest { media_type, config, layers } => {
                let manifest = Descriptor { media_type, digest, size };
                let stated = self.stated(&config).await?;
                FoundManifest { indexes: Vec::new(), manifest, config, layers, stated, index_says_so: false }
            }
        };
        match ConfigFit::of(&found.stated, self.platform, found.index_says_so) {
            ConfigFit::Same => Ok(found),
            ConfigFit::IndexSaysSo => {
                let (stated, platform) = (&found.stated, self.platform);
                self.fetcher.progress.note(&format!(
                    "warning: {reference}: its config says {stated}, its index {platform}; kbundle uses the index"
                ));
                Ok(found)
            }
            ConfigFit::Other => {
                let reason = format!("is for {} instead of {}", found.stated, self.platform);
                Err(self.refusal(found.config.digest, reason))
            }
        }
    }

    /// The manifest for the platform in `index`, or in an index inside it.
    fn in_index<'b>(
        &'b self,
        index: Descriptor,
        entries: &'b [IndexEntry],
        depth: usize,
    ) -> PinBox<Box<dyn Future<Output = Result<Option<FoundManifest>, FetchError>> + Send + 'b>> {
        Box::pin(async move {
            for entry in IndexEntry::candidates(entries, self.platform) {
                let document = self.fetch_document(&entry.blob).await?;
                let found = match document {
                    Err(reason) if entry.platform.is_some() => return Err(self.refusal(entry.blob.digest, reason)),
                    // An artifact, for which the index states no platform.
                    Err(_) => None,
                    Ok(Document::Index { .. }) if depth == 1 => {
                        return Err(self.refusal(entry.blob.digest, "is an index nested too deeply".to_owned()));
                    }
                    Ok(Document::Index { manifests, .. }) => {
                        self.in_index(entry.blob.clone().into(), &manifests, depth - 1).await?
                    }
                    Ok(Document::Manifest { config, layers, .. }) => self.in_manifest(entry, config, layers).await?,
                };
                if let Some(mut found) = found {
                    found.indexes.push(index);
                    return Ok(Some(found));
                }
            }
            Ok(None)
        })
    }

    /// The manifest itself, unless nothing says that it is for the platform.
    async fn in_manifest(
        &self,
        entry: &IndexEntry,
        config: Blob,
        layers: Vec<Blob>,
    ) -> Result<Option<FoundManifest>, FetchError> {
        let stated = self.stated(&config).await?;
        let index_says_so = entry.platform.is_some();
        let manifest = entry.blob.clone().into();
        let fits = index_says_so || stated.is(self.platform);
        Ok(fits.then_some(FoundManifest { indexes: Vec::new(), manifest, config, layers, stated, index_says_so }))
    }

    async fn fetch_document(&self, blob: &Blob) -> Result<Result<Document, String>, FetchError> {
        let item = self.fetcher.progress.step(&format!("{} manifest", self.image.reference), Some(blob.size));
        let wanted = document(&self.places, &blob.clone().into());
        self.fetcher.downloader.fetch(&wanted, &item).await?;
        Ok(Document::parse(&self.fetcher.cache().read(&blob.digest, MAX_DOCUMENT_BYTES)?))
    }

    /// The platform in a config.
    async fn stated(&self, config: &Blob) -> Result<StatedPlatform, FetchError> {
        let item = self.fetcher.progress.step(&format!("{} config", self.image.reference), Some(config.size));
        let wanted = content(&self.places, &config.clone().into());
        self.fetcher.downloader.fetch(&wanted, &item).await?;
        let bytes = self.fetcher.cache().read(&config.digest, MAX_DOCUMENT_BYTES)?;
        config_platform(&bytes).map_err(|reason| self.refusal(config.digest, reason))
    }

    /// Reads a document that was fetched.
    fn document(&self, digest: Digest) -> Result<Document, FetchError> {
        let bytes = self.fetcher.cache().read(&digest, MAX_DOCUMENT_BYTES)?;
        Document::parse(&bytes).map_err(|reason| self.refusal(digest, reason))
    }

    fn refusal(&self, digest: Digest, reason: String) -> FetchError {
        FetchError::Image { reference: Box::new(self.image.reference.clone()), digest, reason }
    }
}

fn platform_words(entry: &IndexEntry) -> String {
    entry.platform.as_ref().map_or_else(|| "no platform".to_owned(), ToString::to_string)
}

/// Refuses images whose layers the containerd of the bundle cannot unpack.
pub(super) fn check_layers(lock: &Lock) -> Result<(), FetchError> {
    let containerd = lock.artifacts.iter().find(|file| file.component.name == "containerd");
    let version = containerd.map(|file| file.component.version.as_str());
    let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    if major.is_some_and(|major| major >= ZSTD_CONTAINERD_MAJOR) {
        return Ok(());
    }
    let has_zstd = |image: &&LockedImage| image.layers.iter().any(|layer| layer.media_type == DOCKER_ZSTD_LAYER);
    let Some(image) = lock.images.iter().find(has_zstd) else { return Ok(()) };
    let bundled = version.map_or_else(|| "no containerd".to_owned(), |version| format!("containerd {version}"));
    let reason =
        format!("has a layer of type {DOCKER_ZSTD_LAYER}, which needs containerd 2.0; the bundle has {bundled}");
    Err(FetchError::Image { reference: Box::new(image.reference.clone()), digest: image.manifest.digest, reason })
}

/// An image index or manifest by its descriptor.
pub(super) fn document(places: &ImagePlaces, descriptor: &Descriptor) -> Download {
    download(places, descriptor, "manifests", MAX_DOCUMENT_BYTES, Access::Manifest)
}

/// An image config or layer by its descriptor.
pub(super) fn content(places: &ImagePlaces, descriptor: &Descriptor) -> Download {
    download(places, descriptor, "blobs", MAX_ENTRY_BYTES, Access::Blob)
}

fn download(
    places: &ImagePlaces,
    descriptor: &Descriptor,
    resource: &str,
    most: u64,
    access: impl Fn(Repository) -> Access,
) -> Download {
    let Descriptor { digest, size, .. } = descriptor;
    let place = |repository: &Repository| Location {
        url: url(repository, &format!("{resource}/{digest}")),
        access: access(repository.clone()),
    };
    Download { places: places.locations(place), digest: Some(*digest), size: Some(*size), most }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::tests::lock;

    #[test]
    fn layers_of_dockers_zstd_type_need_containerd_2() {
        let with = |version: Option<&str>| {
            let mut lock = lock();
            lock.images[0].layers[0].media_type = DOCKER_ZSTD_LAYER.to_owned();
            match version {
                Some(version) => {
                    lock.artifacts[0].component.name = "containerd".to_owned();
                    lock.artifacts[0].component.version = version.to_owned();
                }
                None => lock.artifacts.clear(),
            }
            check_layers(&lock).map_err(|error| error.to_string())
        };
        assert_eq!(with(Some("2.0.0")), Ok(()));
        let error = with(Some("1.7.28")).unwrap_err();
        assert!(error.contains("needs containerd 2.0; the bundle has containerd 1.7.28"), "{error}");
        assert!(with(None).unwrap_err().contains("the bundle has no containerd"));
        assert!(check_layers(&Lock { artifacts: Vec::new(), ..lock() }).is_ok());
    }
}
