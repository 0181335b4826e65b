//! The lock: every file and blob of a bundle by digest. The same lock gives the same bundle, byte for byte.
//!
//! It is YAML in a stable order (`kbundle.lock`), meant to be kept beside `bundle.yaml` and compared by eye or with `diff`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use kbundle_format::oci::Blob;
use kbundle_format::{
    Component, Digest, EntryKind, EntryPath, HostFile, ImageRef, KubeVersion, PinSource, Platform, Prerequisites, Role,
    Source, text_file,
};
use serde::{Deserialize, Serialize};

use crate::image_file::ImageFile;

/// The lock schema this program reads and writes.
pub const SCHEMA: u32 = 1;

/// The complete lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lock {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// The Kubernetes release.
    pub kubernetes: KubeVersion,
    /// Platforms of the hosts.
    pub platforms: BTreeSet<Platform>,
    /// The catalog files behind the pins.
    pub sources: Vec<Source>,
    /// Add-ons that need others first.
    #[serde(default, skip_serializing_if = "Prerequisites::is_empty")]
    pub after: Prerequisites,
    /// Files, in the order of the bundle.
    pub artifacts: Vec<Artifact>,
    /// Images, in the order of the bundle.
    pub images: Vec<LockedImage>,
}

/// A file that is fetched by HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Artifact {
    /// Its path in the bundle.
    pub path: EntryPath,
    /// The upstream address.
    pub url: String,
    /// Digest of its content.
    pub digest: Digest,
    /// Size in bytes, once it was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Binary, archive or manifest.
    pub kind: EntryKind,
    /// The component that it is or belongs to.
    pub component: Component,
    /// The platform it runs on; absent if it suits all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Hosts that need it.
    pub roles: BTreeSet<Role>,
    /// SPDX licence expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// How the digest was obtained.
    pub pin: PinSource,
    /// Where the pin was found, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<String>,
    /// The place of a file of the site on hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_file: Option<HostFile>,
}

/// An image for one platform, down to its layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedImage {
    /// The upstream reference.
    pub reference: ImageRef,
    /// The platform of `manifest`.
    pub platform: Platform,
    /// How `pinned` was obtained.
    pub pin: PinSource,
    /// The file that contains it, relative to the lock; absent if a registry has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<ImageFile>,
    /// The image index that the pin names; absent if it names the manifest itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Descriptor>,
    /// Indexes between `index` and the manifest, the outermost first, if a publisher has nested them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inner_indexes: Vec<Descriptor>,
    /// The image manifest.
    pub manifest: Descriptor,
    /// The image config.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// Hosts that need it.
    pub roles: BTreeSet<Role>,
    /// SPDX licence expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

/// A content descriptor of the OCI image-spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Descriptor {
    /// The type of the content (RFC 6838).
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

impl From<Blob> for Descriptor {
    fn from(Blob { media_type, digest, size }: Blob) -> Self {
        Self { media_type, digest, size }
    }
}

impl From<Descriptor> for Blob {
    fn from(Descriptor { media_type, digest, size }: Descriptor) -> Self {
        Self { media_type, digest, size }
    }
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// It could not be read.
    #[error("cannot read lock {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Not of its shape.
    #[error("lock {} is not valid", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// serde's words, with line and column.
        source: serde_yaml::Error,
    },
    /// A schema this program does not know.
    #[error("lock {} has schema {found}, this program knows {SCHEMA}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema in the file.
        found: u32,
    },
}

impl LockedImage {
    /// The document that the pin names: the index if there is one, or else the manifest.
    #[must_use]
    pub fn pinned(&self) -> &Descriptor {
        self.index.as_ref().unwrap_or(&self.manifest)
    }

    /// All blobs of the image, in the order of the bundle, each with its kind.
    pub fn blobs(&self) -> impl Iterator<Item = (EntryKind, &Descriptor)> {
        let indexes = self.index.iter().chain(&self.inner_indexes);
        let index = indexes.map(|index| (EntryKind::ImageIndex, index));
        let layers = self.layers.iter().map(|layer| (EntryKind::ImageLayer, layer));
        index.chain([(EntryKind::ImageManifest, &self.manifest), (EntryKind::ImageConfig, &self.config)]).chain(layers)
    }
}

impl Lock {
    /// Images from files, each with its place and its digest.
    pub fn image_files(&self) -> impl Iterator<Item = (&ImageFile, Digest)> {
        self.images.iter().filter_map(|image| Some((image.file.as_ref()?, image.pinned().digest)))
    }

    /// Reads a lock file.
    ///
    /// # Errors
    /// Any [`LockError`].
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let text = text_file::read(path).map_err(|source| LockError::Read { path: path.to_owned(), source })?;
        let lock: Self =
            serde_yaml::from_str(&text).map_err(|source| LockError::Syntax { path: path.to_owned(), source })?;
        match lock.schema {
            SCHEMA => Ok(lock),
            found => Err(LockError::Schema { path: path.to_owned(), found }),
        }
    }

    /// The file's text. The same lock gives the same text.
    ///
    /// # Errors
    /// None in practice: YAML can express all of these types.
    pub fn to_yaml(&self) -> Result<String, serde_yaml::Error> {
        serde_yaml::to_string(self)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use fs_err as fs;

    use super::*;
    use proptest::prelude::*;

    pub(crate) fn descriptor(content: &[u8], media_type: &str) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(content),
            size: u64::try_from(content.len()).unwrap(),
        }
    }

    pub(crate) fn image(name: &str, layers: &[&[u8]], roles: &[Role]) -> LockedImage {
        LockedImage {
            reference: format!("registry.k8s.io/{name}:v1").parse().unwrap(),
            platform: "linux/amd64".parse().unwrap(),
            pin: PinSource::Catalog,
            file: None,
            index: Some(descriptor(format!("index of {name}").as_bytes(), "application/vnd.oci.image.index.v1+json")),
            inner_indexes: Vec::new(),
            manifest: descriptor(name.as_bytes(), "application/vnd.oci.image.manifest.v1+json"),
            config: descriptor(format!("config of {name}").as_bytes(), "application/vnd.oci.image.config.v1+json"),
            layers: layers
                .iter()
                .map(|layer| descriptor(layer, "application/vnd.oci.image.layer.v1.tar+gzip"))
                .collect(),
            roles: roles.iter().copied().collect(),
            licence: Some("Apache-2.0".to_owned()),
        }
    }

    pub(crate) fn lock() -> Lock {
        Lock {
            schema: SCHEMA,
            kubernetes: "1.25.2".parse().unwrap(),
            platforms: BTreeSet::from(["linux/amd64".parse().unwrap()]),
            sources: vec![Source { name: "test catalog".to_owned(), digest: Digest::of(b"catalog") }],
            after: Prerequisites::default(),
            artifacts: vec![Artifact {
                path: "artifacts/linux-amd64/kubelet".parse().unwrap(),
                url: "https://dl.k8s.io/kubelet".to_owned(),
                digest: Digest::of(b"kubelet"),
                size: Some(7),
                kind: EntryKind::Binary,
                component: Component { name: "kubelet".to_owned(), version: "1.25.2".to_owned() },
                platform: Some("linux/amd64".parse().unwrap()),
                roles: BTreeSet::from([Role::Worker]),
                licence: None,
                pin: PinSource::Catalog,
                pinned_by: None,
                host_file: None,
            }],
            images: vec![
                image("pause", &[b"shared"], &[Role::ControlPlane, Role::Worker]),
                image("kube-apiserver", &[b"shared", b"own"], &[Role::ControlPlane]),
            ],
        }
    }

    #[test]
    fn the_text_of_a_lock() {
        insta::assert_snapshot!(lock().to_yaml().unwrap());
    }

    #[test]
    fn unknown_fields_and_later_schemas_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kbundle.lock");
        let text = lock().to_yaml().unwrap();
        fs::write(&path, text.replace("licence:", "license:")).unwrap();
        assert!(matches!(Lock::read(&path), Err(LockError::Syntax { .. })));
        fs::write(&path, text.replace("schema: 1", "schema: 2")).unwrap();
        assert!(matches!(Lock::read(&path), Err(LockError::Schema { found: 2, .. })));
    }

    proptest! {
        #[test]
        fn a_lock_comes_back_as_it_was(url in "https://[ -~]{1,60}", version in "[0-9]{1,3}(\\.[0-9]{1,3}){0,2}", size in any::<Option<u64>>()) {
            let mut lock = lock();
            lock.artifacts[0].url = url;
            lock.artifacts[0].component.version = version;
            lock.artifacts[0].size = size;
            let text = lock.to_yaml().unwrap();
            let again: Lock = serde_yaml::from_str(&text).unwrap();
            prop_assert_eq!(&again, &lock);
            prop_assert_eq!(again.to_yaml().unwrap(), text);
        }
    }
}
