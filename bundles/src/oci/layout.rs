//! The index of an OCI image layout, in which manifests have names.
//!
//! Source: OCI image-spec 1.1, "OCI Image Layout Specification".

use std::collections::{BTreeMap, HashMap};

use oci_spec::image::{self, ImageIndex, ImageIndexBuilder, SCHEMA_VERSION};
use serde::{Deserialize, Serialize};

use super::{Blob, OCI_INDEX};
use crate::list::canonical_json;
use crate::{Digest, Platform};

/// The file that marks a folder or archive as an image layout.
#[must_use]
pub fn layout_file() -> &'static [u8] {
    br#"{"imageLayoutVersion":"1.0.0"}"#
}

/// `index.json`: manifests and indexes with their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ImageIndex", into = "ImageIndex")]
pub struct LayoutIndex(ImageIndex);

impl TryFrom<ImageIndex> for LayoutIndex {
    type Error = String;

    /// Accepts an index whose digests are all SHA-256.
    fn try_from(index: ImageIndex) -> Result<Self, String> {
        index.manifests().iter().try_for_each(|descriptor| Blob::try_from(descriptor).map(drop))?;
        Ok(Self(index))
    }
}

impl From<LayoutIndex> for ImageIndex {
    fn from(LayoutIndex(index): LayoutIndex) -> Self {
        index
    }
}

/// A manifest or index with its annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedManifest {
    /// The document that the names refer to.
    pub blob: Blob,
    /// The platform of a manifest; an index has several.
    pub platform: Option<Platform>,
    /// Names and other annotations.
    pub annotations: BTreeMap<String, String>,
}

impl FromIterator<NamedManifest> for LayoutIndex {
    fn from_iter<I: IntoIterator<Item = NamedManifest>>(manifests: I) -> Self {
        let manifests: Vec<_> = manifests.into_iter().map(image::Descriptor::from).collect();
        let index = ImageIndexBuilder::default().schema_version(SCHEMA_VERSION).media_type(OCI_INDEX);
        Self(index.manifests(manifests).build().expect("all required fields are set"))
    }
}

impl From<NamedManifest> for image::Descriptor {
    fn from(NamedManifest { blob, platform, annotations }: NamedManifest) -> Self {
        let digest: image::Digest = blob.digest.to_string().parse().expect("a digest of the same form");
        let mut descriptor = Self::new(blob.media_type.as_str().into(), blob.size, digest);
        descriptor.set_platform(platform.map(|platform| {
            let mut stated = image::Platform::default();
            stated.set_os(platform.os().into()).set_architecture(platform.architecture().into());
            stated
        }));
        let annotations = (!annotations.is_empty()).then(|| annotations.into_iter().collect());
        descriptor.set_annotations(annotations);
        descriptor
    }
}

impl LayoutIndex {
    /// The JSON, the same for the same content.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical_json(&self.0)
    }

    /// Whether the index is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.manifests().is_empty()
    }

    /// The entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = LayoutEntry<'_>> {
        self.0.manifests().iter().map(LayoutEntry::of)
    }

    /// The entries for which `is_wanted` is true.
    #[must_use]
    pub fn only(&self, is_wanted: impl Fn(&LayoutEntry<'_>) -> bool) -> Self {
        let wanted = self.0.manifests().iter().filter(|descriptor| is_wanted(&LayoutEntry::of(descriptor)));
        let mut index = self.0.clone();
        index.set_manifests(wanted.cloned().collect());
        Self(index)
    }
}

/// A manifest or index of a layout.
#[derive(Clone, Copy, Debug)]
pub struct LayoutEntry<'a> {
    /// Its digest.
    pub digest: Digest,
    /// Whether it is for one platform.
    pub has_platform: bool,
    annotations: Option<&'a HashMap<String, String>>,
}

impl<'a> LayoutEntry<'a> {
    fn of(descriptor: &'a image::Descriptor) -> Self {
        let blob = Blob::try_from(descriptor).expect("a layout's digests were checked when it was read or made");
        Self {
            digest: blob.digest,
            has_platform: descriptor.platform().is_some(),
            annotations: descriptor.annotations().as_ref(),
        }
    }

    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&'a str> {
        Some(self.annotations?.get(name)?.as_str())
    }
}
