//! The kinds of entries in a bundle.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A program file.
    Binary,
    /// An upstream archive of programs (tar, gzip).
    Archive,
    /// `oci-layout` and `index.json`.
    OciLayout,
    /// An OCI index or Docker manifest list.
    ImageIndex,
    /// An OCI or Docker image manifest.
    ImageManifest,
    /// An OCI or Docker image config.
    ImageConfig,
    /// A file system layer.
    ImageLayer,
    /// Kubernetes objects as YAML.
    Manifest,
    /// A Helm chart archive.
    Chart,
    /// Values for a Helm chart, as YAML.
    ChartValues,
    /// A file of the site, which hosts get.
    HostFile,
    /// A package of a distribution, which hosts of that distribution get.
    OsPackage,
    /// A bill of materials: the packages inside of the other entries.
    Sbom,
}

impl EntryKind {
    /// Whether it is a file that somebody published or that the site has: not a part of an image, and not made by the build.
    #[must_use]
    pub fn is_artifact(self) -> bool {
        !self.is_of_images() && self != Self::Sbom
    }

    /// Whether it is a part of the OCI layout that all images share.
    #[must_use]
    pub fn is_of_images(self) -> bool {
        match self {
            Self::OciLayout | Self::ImageIndex | Self::ImageManifest | Self::ImageConfig | Self::ImageLayer => true,
            Self::Binary
            | Self::Archive
            | Self::Manifest
            | Self::Chart
            | Self::ChartValues
            | Self::HostFile
            | Self::OsPackage
            | Self::Sbom => false,
        }
    }
}
