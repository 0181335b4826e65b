//! The documents of images, based on the crate `oci-spec`: indexes, manifests, configs, and the index of an image layout.
//!
//! Source: OCI image-spec 1.1, "Image Index", "Image Manifest", "Media Types"; Docker's schema 2 has the same shape.

mod layout;
mod platform;

use oci_spec::image::{self, ImageIndex, ImageManifest};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::Digest;

pub use layout::{LayoutEntry, LayoutIndex, NamedManifest, layout_file};
pub use platform::{ConfigFit, StatedPlatform, config_layers, config_platform};

/// The media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of Docker's manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The media type of Docker's image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Media types of the documents that a pin may name.
pub const DOCUMENT_TYPES: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

/// Most bytes of an index, manifest or config: the size of a manifest that registries should accept by the distribution-spec.
pub const MAX_DOCUMENT_BYTES: u64 = 4 << 20;
/// An index may name other indexes (image-spec 1.1, "Image Index"). No publisher nests them deeper than once.
pub const MAX_INDEX_DEPTH: usize = 4;

const CONFIG_TYPES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// zstd layers with one of Docker's media types, written by buildkit 0.10 and 0.11. containerd unpacks them since 2.0
/// (containerd/containerd pull request 9859; `core/images/mediatypes.go`).
pub const DOCKER_ZSTD_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

const LAYER_TYPES: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    DOCKER_ZSTD_LAYER,
];

/// buildkit's reference type for the manifest of an attestation in an index.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// An image index or an image manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// The target of a tag for several platforms.
    Index {
        /// Its media type.
        media_type: String,
        /// A manifest for each platform, and anything else that the publisher put there.
        manifests: Vec<IndexEntry>,
    },
    /// An image for one platform.
    Manifest {
        /// Its media type.
        media_type: String,
        /// The image config.
        config: Blob,
        /// The layers, the lowest first.
        layers: Vec<Blob>,
    },
}

/// The descriptor of content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The type of the content (RFC 6838).
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// An entry of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The manifest, or another index.
    pub blob: Blob,
    /// The platform; absent if the index does not say.
    pub platform: Option<StatedPlatform>,
    /// Whether it is an attestation about another manifest, and not an image.
    pub is_attestation: bool,
}

impl IndexEntry {
    /// Whether it is an index inside of the index.
    #[must_use]
    pub fn is_index(&self) -> bool {
        [OCI_INDEX, DOCKER_INDEX].contains(&self.blob.media_type.as_str())
    }

    fn is_document(&self) -> bool {
        DOCUMENT_TYPES.contains(&self.blob.media_type.as_str())
    }
}

/// Which kind a document is of, by its fields: an index has no `layers`, a manifest no `manifests`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: u32,
    manifests: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it, as a text that can follow its digest.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let no_document = |error| format!("is not an image index or manifest: {error}");
        let shape: Shape = serde_json::from_slice(bytes).map_err(no_document)?;
        if shape.schema_version != 2 {
            return Err(format!("has schema version {} instead of 2", shape.schema_version));
        }
        match shape {
            Shape { manifests: Some(_), config: None, layers: None, .. } => {
                Self::index(&serde_json::from_slice(bytes).map_err(no_document)?)
            }
            Shape { manifests: None, config: Some(_), layers: Some(_), .. } => {
                Self::manifest(&serde_json::from_slice(bytes).map_err(no_document)?)
            }
            // A document that can be read in both ways could be shown as one image and run as another.
            _ => Err("is neither an image index nor an image manifest, or both".to_owned()),
        }
    }

    fn index(index: &ImageIndex) -> Result<Self, String> {
        Ok(Self::Index {
            media_type: document_type(index.media_type().as_ref(), OCI_INDEX, DOCKER_INDEX)?,
            manifests: index.manifests().iter().map(IndexEntry::try_from).collect::<Result<_, _>>()?,
        })
    }

    fn manifest(manifest: &ImageManifest) -> Result<Self, String> {
        let layer = |layer| known(Blob::try_from(layer)?, &LAYER_TYPES, "layer");
        Ok(Self::Manifest {
            media_type: document_type(manifest.media_type().as_ref(), OCI_MANIFEST, DOCKER_MANIFEST)?,
            config: known(Blob::try_from(manifest.config())?, &CONFIG_TYPES, "config")?,
            layers: manifest.layers().iter().map(layer).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<&image::Descriptor> for Blob {
    type Error = String;

    fn try_from(descriptor: &image::Descriptor) -> Result<Self, String> {
        let digest = descriptor.digest().to_string();
        Ok(Self {
            media_type: descriptor.media_type().to_string(),
            digest: digest.parse().map_err(|_| format!("names content by {digest}, which is not a SHA-256"))?,
            size: descriptor.size(),
        })
    }
}

impl TryFrom<&image::Descriptor> for IndexEntry {
    type Error = String;

    fn try_from(descriptor: &image::Descriptor) -> Result<Self, String> {
        let annotations = descriptor.annotations().as_ref();
        Ok(Self {
            blob: descriptor.try_into()?,
            platform: descriptor.platform().as_ref().map(StatedPlatform::from),
            is_attestation: annotations.is_some_and(|annotations| annotations.contains_key(REFERENCE_TYPE)),
        })
    }
}

fn document_type(stated: Option<&image::MediaType>, oci: &str, docker: &str) -> Result<String, String> {
    match stated.map(ToString::to_string) {
        None => Ok(oci.to_owned()),
        Some(stated) if stated == oci || stated == docker => Ok(stated),
        Some(stated) => Err(format!("calls itself {stated}, but is a {oci} by its fields")),
    }
}

fn known(blob: Blob, types: &[&str], what: &str) -> Result<Blob, String> {
    let media_type = &blob.media_type;
    if types.contains(&media_type.as_str()) {
        return Ok(blob);
    }
    let reason = if media_type.contains("foreign") || media_type.contains("nondistributable") {
        "that may not be passed on"
    } else {
        "of a type that no container runtime here takes"
    };
    Err(format!("has a {what} {reason} ({media_type})"))
}

#[cfg(test)]
mod tests;
