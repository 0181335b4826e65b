//! The content of a catalog, as `kbundle catalog` shows it: versions, what suits them, and the pin of each.

use std::collections::BTreeMap;

use kbundle_format::{Digest, ImageRef, KubeVersion, Platform, Role, Source};
use schemars::JsonSchema;
use serde::Serialize;

use super::{AddonKind, AddonVersion, Catalog, ComponentVersion, Download, Release};
use crate::resolve::ResolveError;
use crate::version_request::VersionRequest;

/// What makes content believable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PinState {
    /// The catalog states its digest.
    Pinned,
    /// The project publishes its digest; a build looks it up.
    UpstreamChecksum,
    /// Nothing: a build takes it as it comes, with `--trust-on-first-use`.
    FirstBuild,
}

impl PinState {
    /// The state in words, for a table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::UpstreamChecksum => "upstream's checksum",
            Self::FirstBuild => "pinned at first build",
        }
    }

    fn of(download: &Download) -> Self {
        match (&download.sha256, &download.sha256_url) {
            (Some(_), _) => Self::Pinned,
            (None, Some(_)) => Self::UpstreamChecksum,
            (None, None) => Self::FirstBuild,
        }
    }

    /// The weakest of several states; pinned if there are none.
    fn weakest(states: impl Iterator<Item = Self>) -> Self {
        states.max().unwrap_or(Self::Pinned)
    }
}

/// All releases of a catalog.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// Version of this document's form.
    pub schema: u32,
    /// The files of the catalog, by digest.
    pub sources: Vec<Source>,
    /// From the oldest to the newest.
    pub releases: Vec<ReleaseOverview>,
}

/// A release in a line.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseOverview {
    /// The Kubernetes release.
    pub kubernetes: KubeVersion,
    /// What pins its programs and images, the weakest of all.
    pub state: PinState,
    /// Versions by component.
    pub components: BTreeMap<String, String>,
    /// What goes with it, by name.
    pub addons: BTreeMap<String, AddonOverview>,
}

/// An add-on in a line.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddonOverview {
    /// Its version for the release.
    pub version: String,
    /// What it is for.
    pub kind: AddonKind,
    /// What pins its manifests and images, the weakest of all.
    pub state: PinState,
}

/// One release with all that it is made of.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseDetail {
    /// Version of this document's form.
    pub schema: u32,
    /// The Kubernetes release.
    pub kubernetes: KubeVersion,
    /// Programs and archives.
    pub components: Vec<ComponentDetail>,
    /// Kubernetes' own images.
    pub images: Vec<ImageDetail>,
    /// Pod networks and other add-ons.
    pub addons: Vec<AddonDetail>,
}

/// A component of a release.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentDetail {
    /// Such as `containerd`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where its pins were found, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<String>,
    /// Its file for each platform.
    pub files: BTreeMap<Platform, FileDetail>,
}

/// A file that is fetched by HTTP.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileDetail {
    /// The upstream address.
    pub url: String,
    /// What pins it.
    pub state: PinState,
    /// Its SHA-256, where the catalog has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// An image.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageDetail {
    /// The upstream reference.
    pub reference: ImageRef,
    /// What pins it.
    pub state: PinState,
    /// What its tag has to stand for, where the catalog has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Hosts that need it.
    pub roles: Vec<Role>,
}

/// An add-on of a release.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddonDetail {
    /// Such as `calico`.
    pub name: String,
    /// Its version, kind and state.
    #[serde(flatten)]
    pub overview: AddonOverview,
    /// Kubernetes objects to apply.
    pub manifests: Vec<FileDetail>,
    /// Images that they name.
    pub images: Vec<ImageDetail>,
}

impl Catalog {
    /// All releases, from the oldest to the newest.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let releases = self.releases.iter().map(|(version, release)| self.release_overview(*version, release));
        Overview { schema: 1, sources: self.sources.clone(), releases: releases.collect() }
    }

    fn release_overview(&self, kubernetes: KubeVersion, release: &Release) -> ReleaseOverview {
        let detail = self.release_detail(kubernetes, release);
        let files = detail.components.iter().flat_map(|component| component.files.values().map(|file| file.state));
        let state = PinState::weakest(files.chain(detail.images.iter().map(|image| image.state)));
        let addons = detail.addons.into_iter().map(|addon| (addon.name, addon.overview)).collect();
        ReleaseOverview { kubernetes, state, components: release.components.clone(), addons }
    }

    /// The components, images and add-ons of the release that `request` stands for. Those that the catalog names but does not have are left
    /// out; `check` finds them.
    ///
    /// # Errors
    /// [`ResolveError::Release`].
    pub fn detail(&self, request: VersionRequest) -> Result<ReleaseDetail, ResolveError> {
        let (kubernetes, release) = self.release(request)?;
        Ok(self.release_detail(kubernetes, release))
    }

    fn release_detail(&self, kubernetes: KubeVersion, release: &Release) -> ReleaseDetail {
        let components = release.components.iter().filter_map(|(name, version)| {
            let files = self.components.get(name)?.versions.get(version)?;
            Some(component(name, version, files))
        });
        let addons = release.addons.iter().filter_map(|(name, version)| {
            let addon = self.addons.get(name)?;
            Some(addon_detail(name, version, addon.kind, addon.versions.get(version)?))
        });
        ReleaseDetail {
            schema: 1,
            kubernetes,
            components: components.collect(),
            images: images(&release.images),
            addons: addons.collect(),
        }
    }
}

fn component(name: &str, version: &str, files: &ComponentVersion) -> ComponentDetail {
    let file = |download: &Download| FileDetail {
        url: download.url.clone(),
        state: PinState::of(download),
        digest: download.sha256.map(|hex| hex.0),
    };
    ComponentDetail {
        name: name.to_owned(),
        version: version.to_owned(),
        pinned_by: files.pinned_by.clone(),
        files: files.platforms.iter().map(|(platform, download)| (platform.clone(), file(download))).collect(),
    }
}

fn addon_detail(name: &str, version: &str, kind: AddonKind, files: &AddonVersion) -> AddonDetail {
    let manifest = |manifest: &super::ManifestFile| FileDetail {
        url: manifest.url.clone(),
        state: if manifest.sha256.is_some() { PinState::Pinned } else { PinState::FirstBuild },
        digest: manifest.sha256.map(|hex| hex.0),
    };
    let manifests: Vec<_> = files.manifests.iter().map(manifest).collect();
    let images = images(&files.images);
    let states = manifests.iter().map(|file| file.state).chain(images.iter().map(|image| image.state));
    let overview = AddonOverview { version: version.to_owned(), kind, state: PinState::weakest(states) };
    AddonDetail { name: name.to_owned(), overview, manifests, images }
}

fn images(images: &[super::CatalogImage]) -> Vec<ImageDetail> {
    let image = |image: &super::CatalogImage| ImageDetail {
        reference: image.reference.clone(),
        state: if image.digest.is_some() { PinState::Pinned } else { PinState::FirstBuild },
        digest: image.digest,
        roles: image.roles.iter().copied().collect(),
    };
    images.iter().map(image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_pin_is_what_an_add_on_has() {
        let overview = Catalog::built_in().unwrap().overview();
        let release = |version: &str| {
            overview.releases.iter().find(|release| release.kubernetes == version.parse().unwrap()).unwrap()
        };
        assert_eq!(release("1.25.2").state, PinState::Pinned);
        assert_eq!(release("1.25.2").addons["calico"].state, PinState::Pinned);
        assert_eq!(release("1.25.2").addons["haproxy"].state, PinState::FirstBuild);
    }

    #[test]
    fn a_detail_has_everything_that_the_release_names() {
        let catalog = Catalog::built_in().unwrap();
        let detail = catalog.detail("1.25".parse().unwrap()).unwrap();
        let release = &catalog.releases[&detail.kubernetes];
        assert_eq!(detail.components.len(), release.components.len());
        assert_eq!(detail.addons.len(), release.addons.len());
    }
}
