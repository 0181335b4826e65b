//! The list, `bundle.json`: the contents of a bundle. Its exact bytes are signed.
//!
//! The form is canonical: UTF-8 JSON, keys sorted, no white space, integers only. A reader refuses any other form of the
//! same content, so that two lists are equal exactly when their bytes are.

use std::collections::{BTreeSet, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::{MAX_ENTRIES, MAX_ENTRY_BYTES};
use crate::prerequisites::circle_words;
use crate::{Component, ComponentName, Digest, EntryPath, HostFile, ImageRef, KubeVersion, Platform, Prerequisites};

pub use crate::entry_kind::EntryKind;
pub use crate::role::{Role, RoleError};

/// Name of the list in the bundle.
pub const LIST_PATH: &str = "bundle.json";

/// The format version this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// Entry paths that every list with images has: the files that make the bundle an OCI image layout.
pub const OCI_LAYOUT_PATH: &str = "oci-layout";
/// The OCI index over all images of the bundle.
pub const OCI_INDEX_PATH: &str = "index.json";

/// The whole list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundleList {
    /// Always [`FORMAT_VERSION`] here; a reader refuses a newer one before it looks at the rest.
    pub format_version: u32,
    /// The Kubernetes release that the bundle sets up.
    pub kubernetes_version: KubeVersion,
    /// The platforms whose entries the list holds.
    pub platforms: BTreeSet<Platform>,
    /// How the file is compressed, so that it can be made again bit for bit.
    pub compression: Compression,
    /// Where the pins came from.
    pub sources: Vec<Source>,
    /// The images, by reference.
    pub images: Vec<Image>,
    /// Add-ons that need others first.
    #[serde(default, skip_serializing_if = "Prerequisites::is_empty")]
    pub after: Prerequisites,
    /// Everything the bundle holds, in the order of the file.
    pub entries: Vec<Entry>,
}

/// What decides the compressed bytes, beside the content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Compression {
    /// zstd's level, 1 to 22.
    pub level: i32,
    /// The library's version; another one may compress the same content to other bytes.
    pub zstd: String,
}

impl Compression {
    /// The compression by this program's library.
    #[must_use]
    pub fn at_level(level: i32) -> Self {
        Self { level, zstd: zstd::zstd_safe::version_string().to_owned() }
    }
}

/// A catalog that the pins were taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// What people call it, such as `built-in catalog`.
    pub name: String,
    /// Digest of its text, without a byte order mark and with `\n` at the end of each line.
    pub digest: Digest,
}

/// An image of the bundle for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    /// The upstream name, which the runtime will know it by.
    pub reference: ImageRef,
    /// The platform of `manifest`.
    pub platform: Platform,
    /// Digest of the image manifest, which is an entry.
    pub manifest: Digest,
    /// What the pin named: an image index, which is an entry too, or the manifest itself.
    pub pinned: Digest,
    /// Hosts that need it.
    pub roles: BTreeSet<Role>,
}

/// One piece of content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Where it lies in the bundle.
    pub path: EntryPath,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// Media type of the content (RFC 6838).
    pub media_type: String,
    /// What it is for.
    pub kind: EntryKind,
    /// Hosts that need it.
    pub roles: BTreeSet<Role>,
    /// Which upstream component it is, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Component>,
    /// The platform it runs on; absent where it suits all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Where it came from; absent for what the builder itself made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// SPDX licence expression, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Where hosts get it, for a file of the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_file: Option<HostFile>,
}

/// Where content came from and why it was believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Origin {
    /// The upstream address, never a mirror's: `https://…`, or `oci://registry/repository@digest`; `file:PATH` for a file of the site's own.
    pub url: String,
    /// How the pin was obtained.
    pub pin: PinSource,
}

/// How a pin was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PinSource {
    /// The catalog states the digest.
    Catalog,
    /// A checksum file beside the artifact stated it.
    UpstreamChecksum,
    /// It was taken as it came, the first time.
    TrustOnFirstUse,
    /// Pinned content names it by digest (a blob of a pinned image).
    Referenced,
    /// It is a file of the site's own, which lay beside the settings of the build.
    LocalFile,
}

impl PinSource {
    /// The name in lists, policies and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::UpstreamChecksum => "upstream-checksum",
            Self::TrustOnFirstUse => "trust-on-first-use",
            Self::Referenced => "referenced",
            Self::LocalFile => "local-file",
        }
    }
}

/// Why bytes are not a list.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// It is not JSON, or does not have the list's shape.
    #[error("bundle.json cannot be read")]
    Syntax {
        /// serde's error, with line and column.
        source: serde_json::Error,
    },
    /// A version that this program does not know.
    #[error("bundle.json has format version {found}, this program knows {FORMAT_VERSION}")]
    Version {
        /// The version in the file.
        found: u64,
    },
    /// Valid content that is not in the canonical form.
    #[error("bundle.json is not in canonical form (sorted keys, no white space)")]
    NotCanonical,
    /// More entries than a reader takes.
    #[error("bundle.json lists {found} entries, at most {MAX_ENTRIES} are allowed")]
    TooManyEntries {
        /// Entries in the file.
        found: usize,
    },
    /// Two entries have the same path, or paths that differ only by case.
    #[error("bundle.json lists entry {path} twice, or beside one that differs by case alone")]
    Duplicate {
        /// The second of them.
        path: EntryPath,
    },
    /// A path that the bundle's format uses itself.
    #[error("bundle.json lists {path}, a name that the format keeps for itself")]
    Reserved {
        /// The entry.
        path: EntryPath,
    },
    /// An entry that is larger than the format allows.
    #[error("bundle.json gives entry {path} a size of {size} bytes, at most {MAX_ENTRY_BYTES} are allowed")]
    TooLarge {
        /// The entry.
        path: EntryPath,
        /// Its size.
        size: u64,
    },
    /// A blob whose name is not its digest.
    #[error("bundle.json lists blob {path} with digest {digest}")]
    Misnamed {
        /// The path under `blobs/sha256/`.
        path: EntryPath,
        /// The digest it lists.
        digest: Digest,
    },
    /// Add-ons that need each other, so that no order is possible.
    #[error("bundle.json has add-ons that need each other first: {}", circle_words(names))]
    Circle {
        /// Their names.
        names: Vec<String>,
    },
    /// An image whose manifest is not an entry.
    #[error("bundle.json names image {reference}, but no image manifest {digest}")]
    NoManifest {
        /// The image.
        reference: ImageRef,
        /// The digest of the missing manifest.
        digest: Digest,
    },
}

impl BundleList {
    /// The canonical bytes, which are signed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical_json(self)
    }

    /// Reads and validates a list.
    ///
    /// # Errors
    /// Any [`ListError`]; nothing is repaired.
    pub fn parse(bytes: &[u8]) -> Result<Self, ListError> {
        /// The only field that every version of the format has.
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Versioned {
            format_version: u64,
        }
        let syntax = |source| ListError::Syntax { source };
        let Versioned { format_version } = serde_json::from_slice(bytes).map_err(syntax)?;
        if format_version != u64::from(FORMAT_VERSION) {
            return Err(ListError::Version { found: format_version });
        }
        let list: Self = serde_json::from_slice(bytes).map_err(syntax)?;
        if list.to_bytes() != bytes {
            return Err(ListError::NotCanonical);
        }
        list.validate()?;
        Ok(list)
    }

    fn validate(&self) -> Result<(), ListError> {
        if self.entries.len() > MAX_ENTRIES {
            return Err(ListError::TooManyEntries { found: self.entries.len() });
        }
        if let Some(circle) = self.after.circle() {
            return Err(ListError::Circle { names: circle.into_iter().map(str::to_owned).collect() });
        }
        let mut seen = HashSet::new();
        let mut manifests = HashSet::new();
        for entry in &self.entries {
            let path = &entry.path;
            if !seen.insert(path.as_str().to_ascii_lowercase()) {
                return Err(ListError::Duplicate { path: path.clone() });
            }
            let top = path.as_str().split('/').next().unwrap_or_default().to_ascii_lowercase();
            if ["bundle.json", "signatures", "attestations"].contains(&top.as_str()) {
                return Err(ListError::Reserved { path: path.clone() });
            }
            if entry.size > MAX_ENTRY_BYTES {
                return Err(ListError::TooLarge { path: path.clone(), size: entry.size });
            }
            if top == "blobs" && *path != EntryPath::blob(&entry.digest) {
                return Err(ListError::Misnamed { path: path.clone(), digest: entry.digest });
            }
            if entry.kind == EntryKind::ImageManifest {
                manifests.insert(entry.digest);
            }
        }
        match self.images.iter().find(|image| !manifests.contains(&image.manifest)) {
            Some(image) => Err(ListError::NoManifest { reference: image.reference.clone(), digest: image.manifest }),
            None => Ok(()),
        }
    }

    /// The entry at `path`.
    #[must_use]
    pub fn entry(&self, path: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.path.as_str() == path)
    }

    /// The entry of a component's program or archive for `platform`.
    #[must_use]
    pub fn component(&self, name: ComponentName, platform: &Platform) -> Option<&Entry> {
        self.entries.iter().find(|entry| {
            matches!(entry.kind, EntryKind::Binary | EntryKind::Archive)
                && entry.platform.as_ref() == Some(platform)
                && entry.component.as_ref().is_some_and(|component| component.is(name))
        })
    }

    /// Bytes of all entries together, before compression.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }
}

/// The JSON schema of the list, as `docs/bundle-list.schema.json` has it.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(BundleList).into()
}

/// JSON with sorted keys and no white space; all numbers in these types are integers.
pub fn canonical_json(value: &impl Serialize) -> Vec<u8> {
    // `serde_json::Value` keeps objects in a `BTreeMap` (the crate's `preserve_order` is off), hence the sorted keys.
    serde_json::to_value(value)
        .and_then(|value| serde_json::to_vec(&value))
        .expect("types of the list have string keys and no failing serializer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> BundleList {
        let manifest = Digest::of(b"manifest");
        let entry = |path: EntryPath, digest, kind| Entry {
            path,
            digest,
            size: 8,
            media_type: "application/octet-stream".into(),
            kind,
            roles: [Role::Worker].into(),
            component: None,
            platform: Some("linux/amd64".parse().unwrap()),
            origin: None,
            licence: None,
            host_file: None,
        };
        BundleList {
            format_version: FORMAT_VERSION,
            kubernetes_version: "1.25.2".parse().unwrap(),
            platforms: ["linux/amd64".parse().unwrap()].into(),
            compression: Compression::at_level(3),
            sources: vec![],
            images: vec![Image {
                reference: "registry.k8s.io/pause:3.8".parse().unwrap(),
                platform: "linux/amd64".parse().unwrap(),
                manifest,
                pinned: manifest,
                roles: [Role::Worker].into(),
            }],
            after: Prerequisites::default(),
            entries: vec![
                entry("bin/kubelet".parse().unwrap(), Digest::of(b"kubelet"), EntryKind::Binary),
                entry(EntryPath::blob(&manifest), manifest, EntryKind::ImageManifest),
            ],
        }
    }

    fn refusal(change: impl FnOnce(&mut BundleList)) -> String {
        let mut list = list();
        change(&mut list);
        BundleList::parse(&list.to_bytes()).unwrap_err().to_string()
    }

    /// Run with `UPDATE_SCHEMA=1` to write the file again after a change of the types.
    #[test]
    fn the_published_schema_is_that_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/bundle-list.schema.json");
        let made = format!("{:#}\n", schema());
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            fs_err::write(path, &made).unwrap();
        }
        assert_eq!(fs_err::read_to_string(path).unwrap(), made);
    }

    #[test]
    fn comes_back_as_it_was() {
        assert_eq!(BundleList::parse(&list().to_bytes()).unwrap(), list());
    }

    #[test]
    fn keys_are_sorted_and_packed() {
        let text = String::from_utf8(list().to_bytes()).unwrap();
        assert!(text.starts_with(r#"{"compression":{"level":3,"zstd":""#), "{text}");
        assert!(!text.contains([' ', '\n']), "{text}");
    }

    #[test]
    fn refuses_another_form_of_the_same_content() {
        let pretty = serde_json::to_vec_pretty(&list()).unwrap();
        assert!(matches!(BundleList::parse(&pretty), Err(ListError::NotCanonical)));
    }

    #[test]
    fn refuses_a_newer_version_whatever_else_it_holds() {
        let error = BundleList::parse(br#"{"formatVersion":2,"novelty":[]}"#).unwrap_err();
        assert!(matches!(error, ListError::Version { found: 2 }));
    }

    #[test]
    fn refuses_unknown_fields() {
        let mut value = serde_json::to_value(list()).unwrap();
        value["surprise"] = true.into();
        assert!(matches!(BundleList::parse(&canonical_json(&value)), Err(ListError::Syntax { .. })));
    }

    #[test]
    fn refuses_paths_that_differ_by_case_alone() {
        let error = refusal(|list| list.entries[1].path = "BIN/kubelet".parse().unwrap());
        assert!(error.contains("BIN/kubelet twice"), "{error}");
    }

    #[test]
    fn refuses_reserved_names() {
        for name in ["bundle.json", "signatures/a.sig", "Attestations/sbom.json"] {
            let error = refusal(|list| list.entries[0].path = name.parse().unwrap());
            assert!(error.contains("keeps for itself"), "{error}");
        }
    }

    #[test]
    fn refuses_a_blob_under_another_name() {
        let error = refusal(|list| list.entries[1].digest = Digest::of(b"other"));
        assert!(error.contains("lists blob"), "{error}");
    }

    #[test]
    fn refuses_an_image_without_its_manifest() {
        let error = refusal(|list| list.images[0].manifest = Digest::of(b"other"));
        assert!(error.contains("names image registry.k8s.io/pause:3.8"), "{error}");
    }

    #[test]
    fn needs_of_add_ons_are_kept_and_a_circle_of_them_is_refused() {
        let mut list = list();
        list.after.add("shop", ["metallb".to_owned()]);
        assert_eq!(BundleList::parse(&list.to_bytes()).unwrap(), list);
        let error = refusal(|list| {
            list.after.add("shop", ["metallb".to_owned()]);
            list.after.add("metallb", ["shop".to_owned()]);
        });
        assert!(error.ends_with("need each other first: metallb needs shop, shop needs metallb"), "{error}");
    }

    #[test]
    fn refuses_a_size_that_no_header_holds() {
        let error = refusal(|list| list.entries[0].size = MAX_ENTRY_BYTES + 1);
        assert!(error.contains("at most"), "{error}");
    }
}
