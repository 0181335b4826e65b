//! Makes a bundle file from a lock and a cache: the list, the OCI layout files that the builder makes itself, and the writing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read, Write};

use fs_err as fs;
use kbundle_format::head::Attestation;
use kbundle_format::list::{FORMAT_VERSION, OCI_INDEX_PATH, OCI_LAYOUT_PATH};
use kbundle_format::oci::{LayoutIndex, NamedManifest, layout_file};
use kbundle_format::write::WriteError;
use kbundle_format::{
    BundleList, BundleWriter, Compression, Digest, Entry, EntryKind, EntryPath, Image, KubeVersion, Origin, PinSource,
    Platform, Role, SignatureFile,
};

use kbundle_sbom::inventory::Look;
use kbundle_sbom::{CYCLONEDX_PATH, Content, Inventory, SPDX_PATH, SbomError, describe, spdx};

use crate::fetch::Cache;
use crate::lock::{Artifact, Descriptor, Lock, LockedImage};

/// Why a bundle could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A file of the lock has no size, so it was not fetched.
    #[error("{path} was not fetched: the lock gives no size for it")]
    NotFetched {
        /// The entry.
        path: EntryPath,
    },
    /// Content that the cache should have.
    #[error("cannot read the content of {path} from the cache")]
    Cache {
        /// The entry.
        path: EntryPath,
        /// The cause.
        source: io::Error,
    },
    /// The content could not be examined.
    #[error("cannot list the packages inside of the bundle")]
    Describe {
        /// The cause.
        source: Box<SbomError<Self>>,
    },
    /// The bundle could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The contents of a bundle: the list, and the entries that are made and not fetched.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The list.
    pub list: BundleList,
    made: BTreeMap<EntryPath, Vec<u8>>,
}

impl Contents {
    /// The contents of the bundle of a fetched lock. The same lock gives the same list.
    ///
    /// # Errors
    /// [`PackError::NotFetched`].
    pub fn of(lock: &Lock, compression: Compression) -> Result<Self, PackError> {
        let mut entries = lock.artifacts.iter().map(file_entry).collect::<Result<Vec<_>, _>>()?;
        let mut made = BTreeMap::new();
        if !lock.images.is_empty() {
            for (path, content) in
                [(OCI_LAYOUT_PATH, layout_file().to_vec()), (OCI_INDEX_PATH, oci_index(&lock.images))]
            {
                let path: EntryPath = path.parse().expect("a plain name");
                entries.push(made_entry(path.clone(), &content));
                made.insert(path, content);
            }
            entries.extend(blob_entries(&lock.images));
        }
        let list = BundleList {
            format_version: FORMAT_VERSION,
            kubernetes_version: lock.kubernetes,
            platforms: lock.platforms.clone(),
            compression,
            sources: lock.sources.clone(),
            images: lock.images.iter().map(image).collect(),
            after: lock.after.clone(),
            entries,
        };
        Ok(Self { list, made })
    }

    /// Examines all content, and adds the documents that list its packages. `progress` receives the number of bytes that were read.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn describe(&mut self, cache: &Cache, progress: &(dyn Fn(u64) + Sync)) -> Result<(), PackError> {
        let inventory =
            Inventory::of(&self.list, &Fetched { contents: self, cache }, progress).map_err(|error| match error {
                SbomError::Content(error) => error,
                other => PackError::Describe { source: Box::new(other) },
            })?;
        let bom = describe(&self.list, &inventory);
        for (path, media_type, content) in [
            (CYCLONEDX_PATH, "application/vnd.cyclonedx+json", bom.to_bytes()),
            (SPDX_PATH, "application/spdx+json", spdx::to_bytes(&bom)),
        ] {
            let path: EntryPath = path.parse().expect("a plain name");
            // No host needs it, so it is sent to none.
            let (kind, roles, media_type) = (EntryKind::Sbom, BTreeSet::new(), media_type.to_owned());
            self.list.entries.push(Entry { kind, roles, media_type, ..made_entry(path.clone(), &content) });
            self.made.insert(path, content);
        }
        Ok(())
    }

    /// Writes the bundle, with the entries that `around` selects, to `output` and returns that; `progress` receives the number of bytes
    /// that were read.
    ///
    /// # Errors
    /// [`PackError`]; the writer refuses content that does not match the list.
    pub fn write<W: Write + Send + 'static>(
        &self,
        output: W,
        cache: &Cache,
        extras: BundleExtras<'_>,
        progress: &dyn Fn(u64),
    ) -> Result<W, PackError> {
        let mut writer = BundleWriter::new(output, self.list.compression.level)?;
        writer.list(&self.list.to_bytes())?;
        extras.signatures.iter().try_for_each(|signature| writer.signature(signature))?;
        extras.attestations.iter().try_for_each(|attestation| writer.attestation(attestation))?;
        for entry in self.list.entries.iter().filter(|entry| (extras.carried)(entry)) {
            if let Some(content) = self.made.get(&entry.path) {
                writer.entry(entry, &mut content.as_slice())?;
                continue;
            }
            let file = fs::File::open(cache.path(&entry.digest))
                .map_err(|source| PackError::Cache { path: entry.path.clone(), source })?;
            writer.entry(entry, &mut Watched { inner: file, progress })?;
        }
        Ok(writer.finish()?)
    }
}

/// Content that was fetched or made. Cached content is not compared with its digest here: the writer does that, and refuses the bundle.
struct Fetched<'a> {
    contents: &'a Contents,
    cache: &'a Cache,
}

impl Content for Fetched<'_> {
    type Error = PackError;

    fn read(&self, entry: &Entry, look: Look<'_>) -> Result<(), PackError> {
        if let Some(content) = self.contents.made.get(&entry.path) {
            look(&mut content.as_slice());
            return Ok(());
        }
        let file = fs::File::open(self.cache.path(&entry.digest));
        look(&mut file.map_err(|source| PackError::Cache { path: entry.path.clone(), source })?);
        Ok(())
    }
}

/// The parts of a bundle besides its list and content.
#[derive(Clone, Copy)]
pub struct BundleExtras<'a> {
    /// Signatures, sorted by name.
    pub signatures: &'a [SignatureFile],
    /// Attestations.
    pub attestations: &'a [Attestation],
    /// Which of the listed entries it carries.
    pub carried: &'a dyn Fn(&Entry) -> bool,
}

/// A reader that reports how many bytes were read.
struct Watched<'a, R> {
    inner: R,
    progress: &'a dyn Fn(u64),
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        (self.progress)(read as u64);
        Ok(read)
    }
}

fn file_entry(artifact: &Artifact) -> Result<Entry, PackError> {
    let media_type = match artifact.kind {
        EntryKind::Archive => "application/gzip",
        EntryKind::Manifest | EntryKind::ChartValues => "application/yaml",
        // Helm, "Use OCI-based registries": the type of a chart's layer.
        EntryKind::Chart => "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        // IANA, "Media Types".
        EntryKind::OsPackage => "application/vnd.debian.binary-package",
        _ => "application/octet-stream",
    };
    Ok(Entry {
        path: artifact.path.clone(),
        digest: artifact.digest,
        size: artifact.size.ok_or_else(|| PackError::NotFetched { path: artifact.path.clone() })?,
        media_type: media_type.to_owned(),
        kind: artifact.kind,
        roles: artifact.roles.clone(),
        component: Some(artifact.component.clone()),
        platform: artifact.platform.clone(),
        origin: Some(Origin { url: artifact.url.clone(), pin: artifact.pin }),
        licence: artifact.licence.clone(),
        host_file: artifact.host_file.clone(),
    })
}

fn made_entry(path: EntryPath, content: &[u8]) -> Entry {
    Entry {
        path,
        digest: Digest::of(content),
        size: content.len() as u64,
        media_type: "application/json".to_owned(),
        kind: EntryKind::OciLayout,
        roles: Role::ALL.into(),
        component: None,
        platform: None,
        origin: None,
        licence: None,
        host_file: None,
    }
}

/// Each blob once, at its first use, for all hosts that need an image with it.
fn blob_entries(images: &[LockedImage]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut places: HashMap<Digest, usize> = HashMap::new();
    for image in images {
        for (kind, blob) in image.blobs() {
            if let Some(&place) = places.get(&blob.digest) {
                entries[place].roles.extend(&image.roles);
                continue;
            }
            places.insert(blob.digest, entries.len());
            entries.push(blob_entry(image, kind, blob));
        }
    }
    entries
}

fn blob_entry(image: &LockedImage, kind: EntryKind, blob: &Descriptor) -> Entry {
    let url = match &image.file {
        Some(file) => file.to_string(),
        None => format!("oci://{}/{}@{}", image.reference.registry(), image.reference.repository(), blob.digest),
    };
    let pin = if blob == image.pinned() { image.pin } else { PinSource::Referenced };
    Entry {
        path: EntryPath::blob(&blob.digest),
        digest: blob.digest,
        size: blob.size,
        media_type: blob.media_type.clone(),
        kind,
        roles: image.roles.clone(),
        component: None,
        platform: None,
        origin: Some(Origin { url, pin }),
        licence: image.licence.clone(),
        host_file: None,
    }
}

fn image(locked: &LockedImage) -> Image {
    Image {
        reference: locked.reference.clone(),
        platform: locked.platform.clone(),
        manifest: locked.manifest.digest,
        pinned: locked.pinned().digest,
        roles: locked.roles.clone(),
    }
}

/// The index of all images, each under the runtime's name for it. Source: OCI image-spec 1.1, "index.json file".
fn oci_index(images: &[LockedImage]) -> Vec<u8> {
    let named = |image: &LockedImage| {
        let names = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];
        NamedManifest {
            blob: image.manifest.clone().into(),
            platform: Some(image.platform.clone()),
            annotations: names.map(|name| (name.to_owned(), image.reference.to_string())).into(),
        }
    };
    images.iter().map(named).collect::<LayoutIndex>().to_bytes()
}

/// The name of a bundle that got no other: `k8s-1.25.2-amd64.tar.zst`.
#[must_use]
pub fn file_name(kubernetes: KubeVersion, platforms: &BTreeSet<Platform>) -> String {
    let architectures: BTreeSet<&str> = platforms.iter().map(Platform::architecture).collect();
    let architectures: Vec<&str> = architectures.into_iter().collect();
    format!("k8s-{kubernetes}-{}.tar.zst", architectures.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::tests::{image, lock};

    fn contents() -> Contents {
        // The library's version is not tested here.
        Contents::of(&lock(), Compression { level: 3, zstd: "1.5.7".to_owned() }).unwrap()
    }

    #[test]
    fn the_order_and_roles_of_entries() {
        let lines: Vec<_> = contents()
            .list
            .entries
            .iter()
            .map(|entry| {
                let roles: Vec<_> = entry.roles.iter().map(|role| role.as_str()).collect();
                let path = entry.path.as_str();
                format!("{:?} {} {}", entry.kind, &path[..path.len().min(30)], roles.join(","))
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_layer_shared_by_two_images_is_one_entry_with_the_roles_of_both() {
        let lock = Lock {
            images: vec![image("a", &[b"shared"], &[Role::Etcd]), image("b", &[b"shared"], &[Role::Worker])],
            ..lock()
        };
        let list = Contents::of(&lock, Compression::at_level(3)).unwrap().list;
        let shared: Vec<_> = list.entries.iter().filter(|entry| entry.digest == Digest::of(b"shared")).collect();
        assert_eq!(shared.len(), 1);
        assert_eq!(shared[0].roles, BTreeSet::from([Role::Etcd, Role::Worker]));
    }

    #[test]
    fn the_list_is_one_that_readers_take_and_the_same_each_time() {
        let bytes = contents().list.to_bytes();
        assert_eq!(BundleList::parse(&bytes).unwrap(), contents().list);
        assert_eq!(contents().list.to_bytes(), bytes);
    }

    #[test]
    fn only_the_pinned_document_bears_the_pin() {
        let list = contents().list;
        let pins: Vec<_> = list
            .entries
            .iter()
            .filter_map(|entry| Some((entry.kind, entry.origin.as_ref()?.pin)))
            .filter(|(kind, _)| matches!(kind, EntryKind::ImageIndex | EntryKind::ImageManifest))
            .collect();
        assert_eq!(
            pins[..2],
            [(EntryKind::ImageIndex, PinSource::Catalog), (EntryKind::ImageManifest, PinSource::Referenced)]
        );
    }

    #[test]
    fn the_index_names_platform_manifests_by_their_upstream_reference() {
        let index: serde_json::Value = serde_json::from_slice(&oci_index(&lock().images)).unwrap();
        insta::assert_json_snapshot!(index["manifests"][0]);
    }

    #[test]
    fn a_file_without_a_size_was_not_fetched() {
        let mut lock = lock();
        lock.artifacts[0].size = None;
        assert!(matches!(Contents::of(&lock, Compression::at_level(3)), Err(PackError::NotFetched { .. })));
    }
}
