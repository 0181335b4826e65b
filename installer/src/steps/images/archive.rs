//! An image as an OCI archive: a tar of an OCI image layout, `index.json` last, so that a reader which gets only a part of it
//! has no image.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Write};

use anyhow::{Context as _, ensure};
use kbundle_format::indexed::IndexedBundle;
use kbundle_format::list::{OCI_INDEX_PATH, OCI_LAYOUT_PATH};
use kbundle_format::{BundleList, Digest, Entry, EntryPath, Image, ImageRef, Platform};
use serde::{Deserialize, Serialize};

/// Manifests are a few KB; what registries accept ends at 4 MB.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The annotation that containerd takes an image's name from.
const NAME: &str = "io.containerd.image.name";
/// Files in a tar fill whole blocks.
const BLOCK: [u8; 512] = [0; 512];

/// An OCI image index (image-spec, `image-index.md`) whose manifests bear their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    schema_version: u32,
    media_type: String,
    manifests: Vec<Descriptor>,
}

/// An OCI content descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    platform: DescriptorPlatform,
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DescriptorPlatform {
    architecture: String,
    os: String,
}

impl From<&Platform> for DescriptorPlatform {
    fn from(platform: &Platform) -> Self {
        Self { architecture: platform.architecture().to_owned(), os: platform.os().to_owned() }
    }
}

impl FromIterator<Descriptor> for Index {
    fn from_iter<I: IntoIterator<Item = Descriptor>>(manifests: I) -> Self {
        Self {
            schema_version: 2,
            media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
            manifests: manifests.into_iter().collect(),
        }
    }
}

impl Index {
    /// The JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an index has string keys and no failing serializer")
    }

    /// Whether no image is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.manifests.is_empty()
    }

    /// Those of the images whose manifests are among `content`, and the others.
    #[must_use]
    pub fn partition(&self, content: &BTreeSet<Digest>) -> (Self, Self) {
        let (inside, outside): (Vec<_>, Vec<_>) =
            self.manifests.iter().cloned().partition(|descriptor| content.contains(&descriptor.digest));
        (inside.into_iter().collect(), outside.into_iter().collect())
    }

    /// Those of the images whose names are not among `names`.
    #[must_use]
    pub fn without_names(&self, names: &BTreeSet<String>) -> Self {
        let is_missing =
            |descriptor: &&Descriptor| descriptor.annotations.get(NAME).is_some_and(|name| !names.contains(name));
        self.manifests.iter().filter(is_missing).cloned().collect()
    }

    /// Each image's name and the digest of its manifest.
    pub fn images(&self) -> anyhow::Result<BTreeMap<ImageRef, Digest>> {
        let image = |descriptor: &Descriptor| {
            let name = descriptor.annotations.get(NAME).context("the record of images has one without a name")?;
            Ok((name.parse()?, descriptor.digest))
        };
        self.manifests.iter().map(image).collect()
    }
}

/// How an index names `image`.
pub fn descriptor(list: &BundleList, image: &Image) -> anyhow::Result<Descriptor> {
    let entry = blob(list, &image.manifest)?;
    Ok(Descriptor {
        media_type: entry.media_type.clone(),
        digest: entry.digest,
        size: entry.size,
        platform: (&image.platform).into(),
        annotations: [(NAME.to_owned(), image.reference.to_string())].into(),
    })
}

/// The part of an image manifest that names blobs; the same in OCI's and Docker's form.
#[derive(Deserialize)]
struct Manifest {
    config: Blob,
    layers: Vec<Blob>,
}

#[derive(Deserialize)]
struct Blob {
    digest: Digest,
}

/// An image in a bundle, with all that belongs to it.
pub struct ImageArchive<'a> {
    bundle: &'a IndexedBundle,
    index: Index,
    /// Config, layers, and the manifest last.
    blobs: Vec<&'a Entry>,
}

impl<'a> ImageArchive<'a> {
    /// Reads the image's manifest and finds its blobs.
    pub fn open(bundle: &'a IndexedBundle, image: &Image) -> anyhow::Result<Self> {
        let list: &BundleList = bundle.list();
        let entry = blob(list, &image.manifest)?;
        ensure!(entry.size <= MAX_MANIFEST_BYTES, "the manifest of {} has {} bytes", image.reference, entry.size);
        let bytes = bundle.read_entry(entry)?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .with_context(|| format!("while reading the manifest of {}", image.reference))?;
        let mut blobs = vec![blob(list, &manifest.config.digest)?];
        for layer in &manifest.layers {
            blobs.push(blob(list, &layer.digest)?);
        }
        blobs.push(entry);
        Ok(Self { bundle, index: [descriptor(list, image)?].into_iter().collect(), blobs })
    }

    /// Writes the archive. Blobs in `sent` are left out: they went with an image before, and containerd has them.
    ///
    /// Each blob's digest is checked while it is written; `index.json` follows only when all were right.
    pub fn write(&self, out: &mut dyn Write, sent: &mut HashSet<Digest>) -> io::Result<()> {
        write_file(out, OCI_LAYOUT_PATH, LAYOUT)?;
        for entry in self.blobs.iter().filter(|entry| !sent.contains(&entry.digest)) {
            write_header(out, entry.path.as_str(), entry.size)?;
            self.bundle.copy_entry(entry, out).map_err(io::Error::other)?;
            write_padding(out, entry.size)?;
        }
        write_file(out, OCI_INDEX_PATH, &self.index.to_bytes())?;
        write_end(out)?;
        sent.extend(self.blobs.iter().map(|entry| entry.digest));
        Ok(())
    }
}

/// Writes an archive that holds names alone, for images whose content is there.
pub fn write_index(out: &mut dyn Write, index: &Index) -> io::Result<()> {
    write_file(out, OCI_LAYOUT_PATH, LAYOUT)?;
    write_file(out, OCI_INDEX_PATH, &index.to_bytes())?;
    write_end(out)
}

fn blob<'a>(list: &'a BundleList, digest: &Digest) -> anyhow::Result<&'a Entry> {
    let path = EntryPath::blob(digest);
    list.entry(path.as_str()).with_context(|| format!("the bundle has no entry {path}"))
}

fn write_file(out: &mut dyn Write, path: &str, content: &[u8]) -> io::Result<()> {
    let size = content.len() as u64;
    write_header(out, path, size)?;
    out.write_all(content)?;
    write_padding(out, size)
}

fn write_header(out: &mut dyn Write, path: &str, size: u64) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    out.write_all(header.as_bytes())
}

fn write_padding(out: &mut dyn Write, size: u64) -> io::Result<()> {
    let block = BLOCK.len() as u64;
    let padding = usize::try_from(size.next_multiple_of(block) - size).expect("less than a block");
    out.write_all(&BLOCK[..padding])
}

/// Two blocks of zeros end a tar (POSIX.1-2008, pax, "ustar Interchange Format").
fn write_end(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&[BLOCK, BLOCK].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn index() -> Index {
        let list = fixture::list("1.25.2");
        list.images.iter().take(2).map(|image| descriptor(&list, image).unwrap()).collect()
    }

    #[test]
    fn the_record_of_images_comes_back() {
        assert_eq!(serde_json::from_slice::<Index>(&index().to_bytes()).unwrap(), index());
        let first = &fixture::list("1.25.2").images[0];
        assert_eq!(index().images().unwrap()[&first.reference], first.manifest);
    }

    #[test]
    fn only_names_that_are_gone_are_put_back() {
        let names = ["registry.k8s.io/kube-apiserver:v1.25.2".to_owned(), "other".to_owned()].into();
        let missing: Vec<_> =
            index().without_names(&names).images().unwrap().into_keys().map(|name| name.to_string()).collect();
        assert_eq!(missing, ["registry.k8s.io/kube-controller-manager:v1.25.2"]);
    }

    #[test]
    fn an_archive_of_names_is_a_tar_with_the_index_last() {
        let mut bytes = Vec::new();
        write_index(&mut bytes, &index()).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut files = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            io::copy(&mut entry, &mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        });
        assert_eq!(files.next().unwrap(), ("oci-layout".to_owned(), LAYOUT.to_vec()));
        assert_eq!(files.next().unwrap(), ("index.json".to_owned(), index().to_bytes()));
        assert_eq!(files.next(), None);
        assert_eq!(bytes.len() % 512, 0);
    }
}
