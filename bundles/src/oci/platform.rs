//! Platforms as indexes and configs state them, compared as containerd does.

use std::fmt;

use oci_spec::image;
use serde::Deserialize;

use super::IndexEntry;
use crate::{Digest, Platform};

/// A platform in one spelling: Go's names, without a variant that means nothing.
///
/// Source: `normalizeOS` and `normalizeArch` in github.com/containerd/platforms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedPlatform {
    os: String,
    architecture: String,
    variant: String,
}

impl StatedPlatform {
    fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let (os, architecture, variant) = (os.to_lowercase(), architecture.to_lowercase(), variant.to_lowercase());
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
            ("aarch64", variant) => ("arm64", variant),
            other => other,
        };
        Self { os, architecture: architecture.to_owned(), variant: variant.to_owned() }
    }

    /// Whether a host of `platform` runs it for certain: the same, or a spelling of it.
    ///
    /// containerd would also run what hosts of that kind can run as well, such as 386 on amd64. kinstall imports images for the one
    /// platform (`ctr images import --platform`, `OnlyStrict` in github.com/containerd/platforms), which does not.
    #[must_use]
    pub fn is(&self, platform: &Platform) -> bool {
        *self == Self::new(platform.os(), platform.architecture(), "")
    }
}

impl fmt::Display for StatedPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { os, architecture, variant } = self;
        write!(f, "{os}/{architecture}")?;
        if variant.is_empty() { Ok(()) } else { write!(f, "/{variant}") }
    }
}

impl From<&image::Platform> for StatedPlatform {
    fn from(platform: &image::Platform) -> Self {
        let variant = platform.variant().as_deref().unwrap_or_default();
        Self::new(&platform.os().to_string(), &platform.architecture().to_string(), variant)
    }
}

impl IndexEntry {
    /// Those of `entries` that may lead to an image for `platform`, the surest first: those that the index says so of in its order, then
    /// those without a platform, whose config decides (`Manifest` in `core/images/image.go` of containerd).
    #[must_use]
    pub fn candidates<'a>(entries: &'a [Self], platform: &Platform) -> Vec<&'a Self> {
        let images = || entries.iter().filter(|entry| entry.is_document() && !entry.is_attestation);
        let stated = images().filter(|entry| entry.platform.as_ref().is_some_and(|stated| stated.is(platform)));
        stated.chain(images().filter(|entry| entry.platform.is_none())).collect()
    }
}

/// How an image's config fits the platform that the image is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigFit {
    /// It says the same.
    Same,
    /// The index names the platform, and the config another architecture.
    IndexSaysSo,
    /// Nothing names the platform.
    Other,
}

impl ConfigFit {
    /// Judges an image by what its config states, and by whether an index has it for `wanted`.
    ///
    /// Images for arm64 have been published whose config says amd64 (kubernetes/kubernetes issues 98229 and 113543). A pull goes by
    /// the index, and so does containerd (`Manifest` in `images/image.go`). Another operating system is not such a slip.
    #[must_use]
    pub fn of(stated: &StatedPlatform, wanted: &Platform, index_has_it: bool) -> Self {
        if stated.is(wanted) {
            Self::Same
        } else if index_has_it && stated.os == wanted.os() {
            Self::IndexSaysSo
        } else {
            Self::Other
        }
    }
}

/// The platform that an image config states.
///
/// # Errors
/// What is wrong with the config, in words that follow its digest.
pub fn config_platform(bytes: &[u8]) -> Result<StatedPlatform, String> {
    // The fields have the same names and meaning in a config and in the platform of a descriptor (image-spec, `config.md`).
    let platform: image::Platform =
        serde_json::from_slice(bytes).map_err(|error| format!("is not an image config: {error}"))?;
    // kinstall's hosts tell variants of arm64 by nothing, and configs state them at will.
    Ok(StatedPlatform { variant: String::new(), ..StatedPlatform::from(&platform) })
}

/// The layers that an image config names, by the digest of each uncompressed tar.
///
/// # Errors
/// What is wrong with the config, in words that follow its digest.
pub fn config_layers(bytes: &[u8]) -> Result<Vec<Digest>, String> {
    let Layers { rootfs } =
        serde_json::from_slice(bytes).map_err(|error| format!("is not an image config: {error}"))?;
    let digest = |text: &String| text.parse().map_err(|_| format!("names layer {text}, which is not a SHA-256"));
    rootfs.diff_ids().iter().map(digest).collect()
}

/// Source: OCI image-spec 1.1, `config.md`.
#[derive(Deserialize)]
struct Layers {
    rootfs: image::RootFs,
}
