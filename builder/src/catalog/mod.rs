//! The catalog: which versions exist, where they are fetched from, and what their content must be.
//!
//! A catalog is YAML in one or more files; `manifests/README.md` describes it. The built-in one is `manifests/catalog/`, made by the
//! `catalog` example of this crate from collected facts. Sites with builds of their own give theirs with `--catalog`.

pub mod check;
pub mod draft;
mod export;
mod load;
pub mod overview;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use kbundle_format::{Digest, EntryKind, ImageRef, KubeVersion, Platform, Role, Source, text_type};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use load::CatalogError;

/// The catalog schema this program reads.
pub const SCHEMA: u32 = 1;

/// All catalog files together.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Things fetched by HTTP, by name.
    pub components: BTreeMap<String, ComponentFamily>,
    /// CNI plugins and other add-ons, by name.
    pub addons: BTreeMap<String, Addon>,
    /// The components, images and add-ons of each Kubernetes release.
    pub releases: BTreeMap<KubeVersion, Release>,
    /// The files it was read from.
    pub sources: Vec<Source>,
    /// The index in `sources` of each thing's file.
    origins: BTreeMap<Thing, usize>,
}

/// A version of something in a catalog.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Thing {
    /// A version of a component.
    Component(String, String),
    /// A version of an add-on.
    Addon(String, String),
    /// A release.
    Release(KubeVersion),
}

impl Catalog {
    /// The sources that have any of `things`.
    pub(crate) fn sources_of(&self, things: impl IntoIterator<Item = Thing>) -> Vec<Source> {
        let used: BTreeSet<_> = things.into_iter().filter_map(|thing| self.origins.get(&thing)).collect();
        used.into_iter().filter_map(|source| self.sources.get(*source)).cloned().collect()
    }

    /// The upstream addresses of all files and checksums.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        let downloads = self.components.values().flat_map(|family| family.versions.values());
        let downloads = downloads.flat_map(|version| version.platforms.values());
        let downloads = downloads.flat_map(|file| [Some(file.url.as_str()), file.sha256_url.as_deref()]);
        let manifests = self.addon_versions().flat_map(|addon| &addon.manifests);
        downloads.flatten().chain(manifests.map(|manifest| manifest.url.as_str()))
    }

    /// All images.
    pub fn images(&self) -> impl Iterator<Item = &CatalogImage> {
        let releases = self.releases.values().flat_map(|release| &release.images);
        releases.chain(self.addon_versions().flat_map(|addon| &addon.images))
    }

    fn addon_versions(&self) -> impl Iterator<Item = &AddonVersion> {
        self.addons.values().flat_map(|addon| addon.versions.values())
    }
}

/// One catalog file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CatalogFile {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// See [`Catalog::components`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, ComponentFamily>,
    /// See [`Catalog::addons`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addons: BTreeMap<String, Addon>,
    /// See [`Catalog::releases`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub releases: BTreeMap<KubeVersion, Release>,
}

/// A component in all its versions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ComponentFamily {
    /// The kind of its file.
    pub kind: ComponentKind,
    /// SPDX licence expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// The project's page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Hosts that need it.
    pub roles: BTreeSet<Role>,
    /// By version, without a leading `v`.
    pub versions: BTreeMap<String, ComponentVersion>,
}

/// What a component's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComponentKind {
    /// The program itself.
    Binary,
    /// A tar, compressed by gzip.
    Archive,
}

impl From<ComponentKind> for EntryKind {
    fn from(kind: ComponentKind) -> Self {
        match kind {
            ComponentKind::Binary => Self::Binary,
            ComponentKind::Archive => Self::Archive,
        }
    }
}

/// One version of a component.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ComponentVersion {
    /// Where the pins were found, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<String>,
    /// Its file for each platform.
    pub platforms: BTreeMap<Platform, Download>,
}

/// A file to fetch by HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Download {
    /// The upstream address.
    pub url: String,
    /// SHA-256 of the content, 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Hex>,
    /// Where the project publishes the SHA-256 of a file that the catalog does not pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256_url: Option<String>,
}

/// A digest in the form of checksum files: 64 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha256Hex(pub Digest);

/// The text is not a digest in the form of checksum files.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a SHA-256 of 64 lowercase hex digits")]
pub struct Sha256HexError {
    text: String,
}

impl From<Digest> for Sha256Hex {
    fn from(digest: Digest) -> Self {
        Self(digest)
    }
}

impl FromStr for Sha256Hex {
    type Err = Sha256HexError;

    fn from_str(text: &str) -> Result<Self, Sha256HexError> {
        Digest::from_hex(text).map(Self).map_err(|_| Sha256HexError { text: text.to_owned() })
    }
}

impl fmt::Display for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

text_type!(Sha256Hex, "^[0-9a-f]{64}$");

/// An add-on in all its versions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Addon {
    /// Its purpose.
    pub kind: AddonKind,
    /// SPDX licence expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// The project's page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Add-ons that have to run before this one is applied.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<String>,
    /// By version, without a leading `v`.
    pub versions: BTreeMap<String, AddonVersion>,
}

/// What an add-on is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AddonKind {
    /// The pod network; a cluster has one.
    Cni,
    /// What spreads the requests of a worker over the control planes; a bundle has it unless it was left out.
    LoadBalancer,
    /// Anything else.
    Addon,
}

/// One version of an add-on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AddonVersion {
    /// Where the pins were found, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<String>,
    /// Kubernetes objects to apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<ManifestFile>,
    /// Images that the objects name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<CatalogImage>,
}

impl AddonVersion {
    /// Whether every file and image of it has a digest.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.manifests.iter().all(|manifest| manifest.sha256.is_some())
            && self.images.iter().all(|image| image.digest.is_some())
    }
}

/// A file of Kubernetes objects.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ManifestFile {
    /// Its file name in the bundle.
    pub name: String,
    /// The upstream address.
    pub url: String,
    /// SHA-256 of the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Hex>,
}

/// An image, and the digest that its tag referred to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CatalogImage {
    /// The upstream reference.
    #[serde(deserialize_with = "crate::spec::familiar_reference")]
    pub reference: ImageRef,
    /// Digest of the document that the tag refers to upstream, usually an image index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// SPDX licence expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Hosts that need it.
    pub roles: BTreeSet<Role>,
}

/// The components, images and add-ons of one Kubernetes release.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Release {
    /// Version of each component.
    pub components: BTreeMap<String, String>,
    /// Images that kubeadm needs.
    pub images: Vec<CatalogImage>,
    /// Version of each add-on that suits it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addons: BTreeMap<String, String>,
}
