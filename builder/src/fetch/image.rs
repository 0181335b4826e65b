//! Reads the documents of an image: which manifest an index has for a platform, and what a manifest is made of.
//!
//! Source: OCI image-spec 1.1, "Image Index", "Image Manifest", "Media Types"; Docker's schema 2 has the same shape.

use kbundle_format::{Digest, Platform};
use serde::Deserialize;

use crate::lock::Descriptor;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Media types of the documents that a pin may name.
pub const DOCUMENT_TYPES: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

const CONFIG_TYPES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

const LAYER_TYPES: [&str; 5] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];

/// An image index or an image manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// What a tag of several platforms stands for.
    Index {
        /// Its media type.
        media_type: String,
        /// A manifest for each platform, and what else the publisher put there.
        manifests: Vec<IndexEntry>,
    },
    /// An image for one platform.
    Manifest {
        /// Its media type.
        media_type: String,
        /// The image config.
        config: Descriptor,
        /// The layers, the lowest first.
        layers: Vec<Descriptor>,
    },
}

/// A manifest that an index names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The manifest.
    pub descriptor: Descriptor,
    /// `os/architecture`, with `/variant` where it has one; `unknown/unknown` for attestations.
    pub platform: String,
}

/// What the field names of both kinds of documents are; an index has no `layers`, a manifest no `manifests`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<Vec<RawDescriptor>>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    platform: Option<RawPlatform>,
}

#[derive(Deserialize)]
struct RawPlatform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl From<RawDescriptor> for Descriptor {
    fn from(RawDescriptor { media_type, digest, size, .. }: RawDescriptor) -> Self {
        Self { media_type, digest, size }
    }
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it, in words that follow its digest.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let raw: RawDocument =
            serde_json::from_slice(bytes).map_err(|error| format!("is no image index or manifest: {error}"))?;
        if raw.schema_version != 2 {
            return Err(format!("has schema version {} instead of 2", raw.schema_version));
        }
        match raw {
            RawDocument { manifests: Some(manifests), config: None, layers: None, media_type, .. } => Ok(Self::Index {
                media_type: document_type(media_type, OCI_INDEX, DOCKER_INDEX)?,
                manifests: manifests.into_iter().map(IndexEntry::from).collect(),
            }),
            RawDocument { manifests: None, config: Some(config), layers: Some(layers), media_type, .. } => {
                Ok(Self::Manifest {
                    media_type: document_type(media_type, OCI_MANIFEST, DOCKER_MANIFEST)?,
                    config: known(config.into(), &CONFIG_TYPES, "config")?,
                    layers: layers
                        .into_iter()
                        .map(|layer| known(layer.into(), &LAYER_TYPES, "layer"))
                        .collect::<Result<_, _>>()?,
                })
            }
            // A document that reads both ways could be shown as one image and run as another.
            _ => Err("is neither an image index nor an image manifest, or both".to_owned()),
        }
    }
}

fn document_type(stated: Option<String>, oci: &str, docker: &str) -> Result<String, String> {
    match stated {
        None => Ok(oci.to_owned()),
        Some(stated) if stated == oci || stated == docker => Ok(stated),
        Some(stated) => Err(format!("calls itself {stated}, but is a {oci} by its fields")),
    }
}

fn known(descriptor: Descriptor, types: &[&str], what: &str) -> Result<Descriptor, String> {
    let media_type = &descriptor.media_type;
    if types.contains(&media_type.as_str()) {
        return Ok(descriptor);
    }
    let reason = if media_type.contains("foreign") || media_type.contains("nondistributable") {
        "that may not be passed on"
    } else {
        "of a type that no container runtime here takes"
    };
    Err(format!("has a {what} {reason} ({media_type})"))
}

impl From<RawDescriptor> for IndexEntry {
    fn from(raw: RawDescriptor) -> Self {
        let platform = match &raw.platform {
            Some(RawPlatform { os, architecture, variant: None }) => format!("{os}/{architecture}"),
            Some(RawPlatform { os, architecture, variant: Some(variant) }) => format!("{os}/{architecture}/{variant}"),
            None => "no platform".to_owned(),
        };
        Self { platform, descriptor: raw.into() }
    }
}

/// The manifest for `platform`: without a variant, or with `v8`, which every arm64 is.
#[must_use]
pub fn choose<'a>(manifests: &'a [IndexEntry], platform: &Platform) -> Option<&'a Descriptor> {
    let wanted = platform.to_string();
    let variant = format!("{wanted}/v8");
    let mut fitting = manifests.iter().filter(|entry| {
        (entry.platform == wanted || entry.platform == variant)
            && [OCI_MANIFEST, DOCKER_MANIFEST].contains(&entry.descriptor.media_type.as_str())
    });
    fitting.next().map(|entry| &entry.descriptor)
}

/// How an image fits the platform that it is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Its config says so.
    Same,
    /// Its index says so, and its config names another architecture.
    IndexSaysSo,
    /// Nothing says so.
    Other,
}

/// Judges an image by the platform that its config states, and by whether an index has it for `wanted`.
///
/// Images for arm64 have been published whose config says amd64 (kubernetes/kubernetes issues 98229 and 113543). A pull goes by
/// the index, and so does containerd (`Manifest` in `images/image.go`). Another operating system is no such slip.
#[must_use]
pub fn judge(stated: &str, wanted: &Platform, index_has_it: bool) -> Fit {
    let same_os = stated.split('/').next() == Some(wanted.os());
    if stated == wanted.to_string() {
        Fit::Same
    } else if index_has_it && same_os {
        Fit::IndexSaysSo
    } else {
        Fit::Other
    }
}

/// The platform that an image config states.
///
/// # Errors
/// What is wrong with the config, in words that follow its digest.
pub fn config_platform(bytes: &[u8]) -> Result<String, String> {
    let platform: RawPlatform =
        serde_json::from_slice(bytes).map_err(|error| format!("is no image config: {error}"))?;
    Ok(format!("{}/{}", platform.os, platform.architecture))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: &str, platform: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":5{platform}}}"#, Digest::of(platform.as_bytes()))
    }

    fn manifest(config: &str, layer: &str) -> String {
        format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#, descriptor(config, ""), descriptor(layer, ""))
    }

    #[test]
    fn finds_the_manifest_of_a_platform_and_leaves_attestations_alone() {
        let entries: Vec<_> = ["unknown/unknown", "linux/amd64", "linux/arm64/v8", "windows/amd64"]
            .iter()
            .map(|platform| {
                let parts: Vec<_> = platform.split('/').collect();
                let variant = parts.get(2).map(|variant| format!(r#","variant":"{variant}""#)).unwrap_or_default();
                let fields = format!(r#","platform":{{"os":"{}","architecture":"{}"{variant}}}"#, parts[0], parts[1]);
                descriptor(OCI_MANIFEST, &fields)
            })
            .collect();
        let json = format!(r#"{{"schemaVersion":2,"mediaType":"{DOCKER_INDEX}","manifests":[{}]}}"#, entries.join(","));
        let Document::Index { manifests, media_type } = Document::parse(json.as_bytes()).unwrap() else { panic!() };
        assert_eq!(media_type, DOCKER_INDEX);
        for (platform, index) in [("linux/amd64", 1), ("linux/arm64", 2)] {
            assert_eq!(choose(&manifests, &platform.parse().unwrap()), Some(&manifests[index].descriptor));
        }
        assert_eq!(choose(&manifests, &"linux/s390x".parse().unwrap()), None);
    }

    #[test]
    fn an_index_outweighs_a_config() {
        let arm64 = "linux/arm64".parse().unwrap();
        assert_eq!(judge("linux/arm64", &arm64, true), Fit::Same);
        assert_eq!(judge("linux/amd64", &arm64, true), Fit::IndexSaysSo);
        assert_eq!(judge("linux/amd64", &arm64, false), Fit::Other);
        assert_eq!(judge("windows/arm64", &arm64, true), Fit::Other);
    }

    #[test]
    fn reads_oci_and_docker_manifests() {
        for layer in LAYER_TYPES {
            let json = manifest(CONFIG_TYPES[1], layer);
            assert!(matches!(Document::parse(json.as_bytes()), Ok(Document::Manifest { .. })), "{layer}");
        }
    }

    #[test]
    fn refuses_what_no_runtime_takes_and_says_why() {
        let refuse = |json: &str| Document::parse(json.as_bytes()).unwrap_err();
        insta::assert_snapshot!(
            refuse(&manifest(CONFIG_TYPES[0], "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")),
            @"has a layer that may not be passed on (application/vnd.docker.image.rootfs.foreign.diff.tar.gzip)"
        );
        insta::assert_snapshot!(
            refuse(&manifest("application/vnd.cncf.helm.config.v1+json", LAYER_TYPES[0])),
            @"has a config of a type that no container runtime here takes (application/vnd.cncf.helm.config.v1+json)"
        );
        insta::assert_snapshot!(refuse(r#"{"schemaVersion":1}"#), @"has schema version 1 instead of 2");
        let both = manifest(CONFIG_TYPES[0], LAYER_TYPES[0]).replacen('{', r#"{"manifests":[],"#, 1);
        insta::assert_snapshot!(refuse(&both), @"is neither an image index nor an image manifest, or both");
        let misnamed =
            manifest(CONFIG_TYPES[0], LAYER_TYPES[0]).replacen('{', &format!(r#"{{"mediaType":"{OCI_INDEX}","#), 1);
        assert!(refuse(&misnamed).contains("calls itself"));
    }
}
