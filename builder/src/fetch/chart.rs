//! Charts: their archives from repositories and registries, and the images that helm renders of them.

use std::path::PathBuf;
use std::sync::Arc;

use kbundle_format::oci::MAX_DOCUMENT_BYTES;
use kbundle_format::{Digest, ImageRef, PinSource};
use serde::Deserialize;

use super::http::{Access, Download, Location, beside_the_network};
use super::image::ImagePlaces;
use super::{FetchError, Fetcher, image};
use crate::chart::{
    ChartError, ChartIdentity, ChartOrigin, Helm, Index, REGISTRY_SCHEME, Rendering, SiteChart, registry_reference,
};
use crate::lock::Descriptor;
use crate::registry::document_address;
use crate::resolve::{Pin, SelectedCharts, Selection};
use crate::site::{FoundImages, find, parse_objects};

/// Most bytes of a repository's index; large ones have about 20 MB.
const MAX_INDEX_BYTES: u64 = 64 << 20;
/// Most bytes of a chart's archive.
const MAX_CHART_BYTES: u64 = 64 << 20;
/// The types of a chart in a registry. Source: Helm, "Use OCI-based registries".
const CONFIG_TYPE: &str = "application/vnd.cncf.helm.config.v1+json";
const CONTENT_TYPE: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// The archive of a chart, in the cache.
struct Archive {
    /// Where it came from.
    url: String,
    digest: Digest,
    pin: PinSource,
}

/// The manifest of a chart in a registry, as far as it is needed.
#[derive(Deserialize)]
struct ChartManifest {
    config: BlobDescriptor,
    #[serde(default)]
    layers: Vec<BlobDescriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlobDescriptor {
    media_type: String,
    digest: Digest,
    size: u64,
}

impl Fetcher {
    /// The selection with the archives of its charts and the images that they name. Fetches helm and the archives.
    pub(super) async fn with_charts(&self, mut selection: Selection) -> Result<Selection, FetchError> {
        let Some(SelectedCharts { charts, helm, left_out, unpinned }) = selection.charts.take() else {
            return Ok(selection);
        };
        let helm = self.pin_artifact(helm).await?;
        let name = format!("helm {}", helm.component.version);
        self.downloader.fetch(&self.file(&helm), &self.progress.item(&name, None)).await?;
        let (archive, place) = (self.cache().path(&helm.digest), self.cache().directory().to_owned());
        let unpack = move || Helm::unpack(&archive, &place).map_err(|error| of_chart(&name, error));
        let helm = Arc::new(beside_the_network(unpack).await?);
        for chart in charts {
            let failed = |error| FetchError::ChartImages { release: chart.release.clone(), source: Box::new(error) };
            let Archive { url, digest, pin } = self.archive(&chart).await?;
            // The site's own files are in the selection from the beginning.
            if pin != PinSource::LocalFile {
                selection.add_chart(&chart, &url, Pin::Fetched(digest, pin)).map_err(failed)?;
            }
            let found = self.images_of(&helm, &chart, digest, selection.kubernetes).await?;
            selection.add_images_of(&chart, &found, &left_out, unpinned).map_err(failed)?;
            for line in selection.doubtful(&chart.release, &found) {
                self.progress.note(&line);
            }
        }
        Ok(selection)
    }

    /// Fetches the archive of a chart, and checks that it is the wanted one.
    async fn archive(&self, chart: &SiteChart) -> Result<Archive, FetchError> {
        let failed = |error: ChartError| of_chart(&chart.release, error);
        let (archive, name) = match &chart.origin {
            ChartOrigin::Local(file) => {
                return Ok(Archive { url: file.url.clone(), digest: file.digest, pin: PinSource::LocalFile });
            }
            ChartOrigin::Registry(reference) => {
                let name = reference.repository().rsplit('/').next().unwrap_or_default().to_owned();
                (self.registry_archive(chart, reference).await?, name)
            }
            ChartOrigin::Repository { address, name } => {
                (self.repository_archive(chart, address, name).await?, name.clone())
            }
        };
        let wrong = |source| failed(ChartError::Archive { from: archive.url.clone(), source });
        let content = self.cache().read(&archive.digest, MAX_CHART_BYTES)?;
        let identity = ChartIdentity::of(&content).map_err(wrong)?;
        let wanted = chart.version.strip_prefix('v').unwrap_or(&chart.version);
        if identity.name != name || identity.version.strip_prefix('v').unwrap_or(&identity.version) != wanted {
            let reason = format!("it is {} {} instead of {name} {wanted}", identity.name, identity.version);
            return Err(wrong(std::io::Error::new(std::io::ErrorKind::InvalidData, reason)));
        }
        Ok(archive)
    }

    /// The archive that the index of an HTTP repository names.
    async fn repository_archive(&self, chart: &SiteChart, address: &str, name: &str) -> Result<Archive, FetchError> {
        let failed = |error: ChartError| of_chart(&chart.release, error);
        let url = format!("{address}/index.yaml");
        let wanted = self.web(&url, None, MAX_INDEX_BYTES);
        let (digest, _) = self.downloader.fetch(&wanted, &self.progress.step(&url, None)).await?;
        let index = self.cache().read(&digest, MAX_INDEX_BYTES)?;
        let index = Index::parse(&index, &url).map_err(failed)?;
        let listed = index.find(address, name, &chart.version).map_err(failed)?;
        if let (Some(wanted), Some(found)) = (chart.digest, listed.digest)
            && wanted != found
        {
            return Err(failed(ChartError::OtherDigest { wanted, found }));
        }
        if let Some(in_registry) = listed.url.strip_prefix(REGISTRY_SCHEME) {
            let repository = in_registry.rsplit_once(':').map_or(in_registry, |(repository, _)| repository);
            let reference = registry_reference(repository, &chart.version).ok_or_else(|| {
                let (repository, name, version) = (address.to_owned(), name.to_owned(), chart.version.clone());
                failed(ChartError::NoAddress { repository, name, version })
            })?;
            return self.registry_archive(chart, &reference).await;
        }
        let known = chart.digest.or(listed.digest);
        let pin = match (chart.digest, listed.digest) {
            (Some(_), _) => PinSource::Catalog,
            (None, Some(_)) => PinSource::UpstreamChecksum,
            (None, None) => PinSource::TrustOnFirstUse,
        };
        let wanted = self.web(&listed.url, known, MAX_CHART_BYTES);
        let (digest, _) = self.downloader.fetch(&wanted, &self.progress.item(&listed.url, None)).await?;
        Ok(Archive { url: listed.url, digest, pin })
    }

    /// The archive that a registry has under a tag.
    async fn registry_archive(&self, chart: &SiteChart, reference: &ImageRef) -> Result<Archive, FetchError> {
        let repositories = self.mirrors.repositories(reference);
        let place = |repository: &crate::mirror::Repository| Location {
            url: document_address(repository, reference, None),
            access: Access::Manifest(repository.clone()),
        };
        let places = repositories.iter().map(place).collect();
        let wanted = Download { places, digest: None, size: None, most: MAX_DOCUMENT_BYTES };
        let item = self.progress.step(&format!("{reference} manifest"), None);
        let (digest, _) = self.downloader.fetch(&wanted, &item).await?;
        let layer = content_of(&self.cache().read(&digest, MAX_DOCUMENT_BYTES)?).map_err(|reason| {
            of_chart(&chart.release, ChartError::NoChartArtifact { reference: reference.to_string(), reason })
        })?;
        if let Some(wanted) = chart.digest.filter(|wanted| *wanted != layer.digest) {
            return Err(of_chart(&chart.release, ChartError::OtherDigest { wanted, found: layer.digest }));
        }
        let pin = if chart.digest.is_some() { PinSource::Catalog } else { PinSource::TrustOnFirstUse };
        let (digest, size) = (layer.digest, layer.size);
        let item = self.progress.item(&reference.to_string(), Some(size));
        self.downloader.fetch(&image::content(&ImagePlaces::Registries(repositories), &layer), &item).await?;
        let url = format!("{REGISTRY_SCHEME}{}/{}@{digest}", reference.registry(), reference.repository());
        Ok(Archive { url, digest, pin })
    }

    /// The download of `oci://REGISTRY/REPOSITORY@DIGEST`; `None` for other addresses.
    pub(super) fn blob(&self, url: &str, size: Option<u64>) -> Option<Download> {
        let reference: ImageRef = url.strip_prefix(REGISTRY_SCHEME)?.parse().ok()?;
        let digest = reference.digest()?;
        let descriptor = Descriptor { media_type: String::new(), digest, size: size.unwrap_or_default() };
        let download = image::content(&ImagePlaces::of(&self.mirrors, &reference, None), &descriptor);
        Some(Download { size, ..download })
    }

    /// The images in helm's output for a chart.
    async fn images_of(
        &self,
        helm: &Arc<Helm>,
        chart: &SiteChart,
        archive: Digest,
        kubernetes: kbundle_format::KubeVersion,
    ) -> Result<FoundImages, FetchError> {
        let values: Vec<_> = chart.values.iter().map(|file| self.cache().path(&file.digest)).collect();
        let (helm, chart, archive) = (Arc::clone(helm), chart.clone(), self.cache().path(&archive));
        beside_the_network(move || {
            let SiteChart { release, namespace, .. } = &chart;
            let rendering = Rendering { release, namespace, chart: &archive, values, kubernetes };
            let objects = helm.render(&rendering).and_then(|text| {
                let place = PathBuf::from(format!("{release} as helm renders it"));
                parse_objects(&text, &place).map_err(|source| ChartError::Objects { source })
            });
            objects.map(|objects| find(&objects)).map_err(|error| of_chart(release, error))
        })
        .await
    }
}

fn of_chart(release: &str, error: ChartError) -> FetchError {
    FetchError::Chart { release: release.to_owned(), source: Box::new(error) }
}

/// The layer of a chart's manifest that is its archive, or why there is none.
fn content_of(manifest: &[u8]) -> Result<Descriptor, String> {
    let manifest: ChartManifest = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
    if manifest.config.media_type != CONFIG_TYPE {
        return Err(format!("its config has the type {}", manifest.config.media_type));
    }
    let layer = manifest.layers.into_iter().find(|layer| layer.media_type == CONTENT_TYPE);
    let BlobDescriptor { media_type, digest, size } = layer.ok_or_else(|| format!("it has no layer {CONTENT_TYPE}"))?;
    Ok(Descriptor { media_type, digest, size })
}
