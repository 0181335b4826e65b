//! Platforms in indexes and configs, compared in containerd's way.

use std::fmt;

use oci_spec::image;
use serde::Deserialize;

use super::IndexEntry;
use crate::{Digest, Platform};

/// A platform in a normalized form: Go's names, without a meaningless variant.
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

    /// Whether a host of `platform` certainly runs it: it is the same platform, perhaps in another spelling.
    ///
    /// containerd would also accept related platforms that such hosts can run, such as 386 on amd64. kinstall imports images only for the
    /// one platform (`ctr images import --platform`, `OnlyStrict` in github.com/containerd/platforms), which excludes these.
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
    /// The `entries` that may lead to an image for `platform`, the surest first: those for which the index names the platform, in its
    /// order; then those without a platform, for which the config decides (`Manifest` in `core/images/image.go` of containerd).
    #[must_use]
    pub fn candidates<'a>(entries: &'a [Self], platform: &Platform) -> Vec<&'a Self> {
        let images = || entries.iter().filter(|entry| entry.is_document() && !entry.is_attestation);
        let stated = images().filter(|entry| entry.platform.as_ref().is_some_and(|stated| stated.is(platform)));
        stated.chain(images().filter(|entry| entry.platform.is_none())).collect()
    }
}

/// How an image's config matches the wanted platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigFit {
    /// The config names the same platform.
    Same,
    /// The index names the platform, and the config another architecture.
    IndexSaysSo,
    /// Neither names the platform.
    Other,
}

impl ConfigFit {
    /// Compares the platform in an image's config with `wanted`, and considers whether an index names it for `wanted`.
    ///
    /// There are published images for arm64 whose config says amd64 (kubernetes/kubernetes issues 98229 and 113543). A pull follows the
    /// index, and so does containerd (`Manifest` in `images/image.go`). Another operating system cannot be such an error.
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

/// The platform in an image config.
///
/// # Errors
/// What is wrong with the config, as a text that can follow its digest.
pub fn config_platform(bytes: &[u8]) -> Result<StatedPlatform, String> {
    // The fields have the same names and meaning in a config and in the platform of a descriptor (image-spec, `config.md`).
    let platform: image::Platform =
        serde_json::from_slice(bytes).map_err(|error| format!("is not an image config: {error}"))?;
    // kinstall's hosts have no way to distinguish variants of arm64, and configs state them arbitrarily.
    Ok(StatedPlatform { variant: String::new(), ..StatedPlatform::from(&platform) })
}

/// The layers that an image config names, by the digest of each uncompressed tar.
///
/// # Errors
/// What is wrong with the config, as a text that can follow its digest.
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
