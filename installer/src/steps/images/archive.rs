//! An image as an OCI archive: a tar of an OCI image layout, with `index.json` last: a reader that gets only a part of it has no image.
//!
//! It has every name that a pod may use for the image. containerd's CRI plugin looks for the exact name, without the tag if a digest is
//! given (`ParseDockerRef` in `reference/docker` of containerd). So `repo:tag`, `repo@sha256:INDEX` and `repo@sha256:MANIFEST` are all
//! possible names. A name refers to what a registry would return for it: the index, of whose content only this host's platform is there, as
//! after a pull.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Write};

use anyhow::{Context as _, anyhow, bail, ensure};
use kbundle_format::indexed::IndexedBundle;
use kbundle_format::list::{OCI_INDEX_PATH, OCI_LAYOUT_PATH};
use kbundle_format::oci::{Blob, Document, LayoutEntry, LayoutIndex, MAX_DOCUMENT_BYTES, NamedManifest, layout_file};
use kbundle_format::{BundleList, Digest, Entry, EntryPath, Image, ImageRef};
use serde::{Deserialize, Serialize};

/// The annotation that containerd takes an image's name from.
const NAME: &str = "io.containerd.image.name";
/// Files in a tar fill whole blocks.
const BLOCK: [u8; 512] = [0; 512];
/// No publisher nests indexes deeper; even one nested index is rare.
const MAX_INDEX_DEPTH: usize = 4;

/// An OCI image index whose manifests have names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Index(LayoutIndex);

impl FromIterator<NamedManifest> for Index {
    fn from_iter<I: IntoIterator<Item = NamedManifest>>(manifests: I) -> Self {
        Self(manifests.into_iter().collect())
    }
}

impl Index {
    /// The index as JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// Whether it has no images.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names whose index or manifest is in `content`, and the other names.
    #[must_use]
    pub fn partition(&self, content: &BTreeSet<Digest>) -> (Self, Self) {
        let is_inside = |entry: &LayoutEntry<'_>| content.contains(&entry.digest);
        (Self(self.0.only(is_inside)), Self(self.0.only(|entry| !is_inside(entry))))
    }

    /// The entries for which `is_wanted` is true, by name and digest.
    #[must_use]
    pub fn only(&self, is_wanted: impl Fn(&str, &Digest) -> bool) -> Self {
        Self(self.0.only(|entry| entry.annotation(NAME).is_some_and(|name| is_wanted(name, &entry.digest))))
    }

    fn named(&self) -> impl Iterator<Item = anyhow::Result<(String, LayoutEntry<'_>)>> {
        self.0.entries().map(|entry| {
            let name = entry.annotation(NAME).context("the record of images has one without a name")?;
            Ok((name.to_owned(), entry))
        })
    }

    /// Each name with the digest of its index or manifest.
    pub fn names(&self) -> anyhow::Result<BTreeMap<String, Digest>> {
        self.named().map(|named| named.map(|(name, entry)| (name, entry.digest))).collect()
    }

    /// The digest of each image's manifest, by the image's first name, which has the tag if there is one.
    pub fn manifests(&self) -> anyhow::Result<BTreeMap<String, Digest>> {
        let mut manifests = BTreeMap::new();
        let mut first_name = None;
        for named in self.named() {
            let (name, entry) = named?;
            if !name.contains('@') {
                first_name = Some(name.clone());
                if entry.has_platform {
                    manifests.insert(name, entry.digest);
                }
            } else if entry.has_platform {
                // The manifest's entry is the last one of an image.
                manifests.insert(first_name.take().unwrap_or(name), entry.digest);
            } else {
                first_name.get_or_insert(name);
            }
        }
        Ok(manifests)
    }
}

/// The entries of `image` in an index: first by its tag, if it has one, and then by digest.
pub fn descriptors(list: &BundleList, image: &Image) -> anyhow::Result<Vec<NamedManifest>> {
    let by_tag = image.reference.tag().map(|_| (image.reference.to_string(), image.pinned));
    let by_digest = |digest| (by_digest(&image.reference, &digest), digest);
    let mut names: Vec<_> = by_tag.into_iter().chain([by_digest(image.pinned)]).collect();
    if image.pinned != image.manifest {
        names.push(by_digest(image.manifest));
    }
    names.into_iter().map(|(name, target)| descriptor(list, image, name, &target)).collect()
}

/// A name such as `registry.k8s.io/pause@sha256:…`, in the CRI plugin's form.
fn by_digest(reference: &ImageRef, digest: &Digest) -> String {
    format!("{}/{}@{digest}", reference.registry(), reference.repository())
}

fn descriptor(list: &BundleList, image: &Image, name: String, target: &Digest) -> anyhow::Result<NamedManifest> {
    let entry = blob(list, target)?;
    Ok(NamedManifest {
        blob: Blob { media_type: entry.media_type.clone(), digest: entry.digest, size: entry.size },
        platform: (*target == image.manifest).then(|| image.platform.clone()),
        annotations: [(NAME.to_owned(), name)].into(),
    })
}

/// An image in a bundle, with all of its blobs.
pub struct ImageArchive<'a> {
    bundle: &'a IndexedBundle,
    index: Index,
    /// Config and layers, then the manifest, and last the indexes, if there are any.
    blobs: Vec<&'a Entry>,
}

impl<'a> ImageArchive<'a> {
    /// Reads the image's documents and finds its blobs.
    pub fn open(bundle: &'a IndexedBundle, image: &Image) -> anyhow::Result<Self> {
        let list: &BundleList = bundle.list();
        let manifest = blob(list, &image.manifest)?;
        let Document::Manifest { config, layers, .. } = read_document(bundle, image, manifest)? else {
            bail!("the manifest of {} is an index", image.reference);
        };
        let mut blobs = vec![blob(list, &config.digest)?];
        for layer in &layers {
            blobs.push(blob(list, &layer.digest)?);
        }
        blobs.push(manifest);
        if image.pinned != image.manifest {
            let indexes = indexes_to_manifest(bundle, image, blob(list, &image.pinned)?, MAX_INDEX_DEPTH)?;
            ensure!(!indexes.is_empty(), "the index of {} does not name manifest {}", image.reference, image.manifest);
            blobs.extend(indexes);
        }
        Ok(Self { bundle, index: descriptors(list, image)?.into_iter().collect(), blobs })
    }

    /// Writes the archive without the blobs in `sent`: they went with an earlier image, and containerd has them.
    ///
    /// Each blob's digest is checked while it is written; `index.json` follows only if all were right.
    pub fn write(&self, out: &mut dyn Write, sent: &mut HashSet<Digest>) -> io::Result<()> {
        write_file(out, OCI_LAYOUT_PATH, layout_file())?;
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

/// Writes an archive that contains only names, for images whose content containerd has.
pub fn write_index(out: &mut dyn Write, index: &Index) -> io::Result<()> {
    write_file(out, OCI_LAYOUT_PATH, layout_file())?;
    write_file(out, OCI_INDEX_PATH, &index.to_bytes())?;
    write_end(out)
}

/// The indexes between `index` and the image's manifest, the innermost first; empty if `index` does not lead to it.
fn indexes_to_manifest<'a>(
    bundle: &'a IndexedBundle,
    image: &Image,
    index: &'a Entry,
    depth: usize,
) -> anyhow::Result<Vec<&'a Entry>> {
    let Document::Index { manifests, .. } = read_document(bundle, image, index)? else { return Ok(Vec::new()) };
    if manifests.iter().any(|named| named.blob.digest == image.manifest) {
        return Ok(vec![index]);
    }
    let list: &BundleList = bundle.list();
    for inner in manifests.iter().filter(|named| named.is_index() && depth > 1) {
        // Indexes of other platforms are not in the bundle.
        let Some(inner) = list.entry(EntryPath::blob(&inner.blob.digest).as_str()) else { continue };
        let mut indexes = indexes_to_manifest(bundle, image, inner, depth - 1)?;
        if !indexes.is_empty() {
            indexes.push(index);
            return Ok(indexes);
        }
    }
    Ok(Vec::new())
}

/// Reads an index or a manifest.
fn read_document(bundle: &IndexedBundle, image: &Image, entry: &Entry) -> anyhow::Result<Document> {
    ensure!(entry.size <= MAX_DOCUMENT_BYTES, "{} of {} has {} bytes", entry.digest, image.reference, entry.size);
    let bytes = bundle.read_entry(entry)?;
    Document::parse(&bytes).map_err(|reason| anyhow!("{} of {} {reason}", entry.digest, image.reference))
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
    use kbundle_format::EntryKind;

    use super::*;
    use crate::fixture;

    fn index() -> Index {
        let list = fixture::list("1.25.2");
        list.images.iter().take(2).flat_map(|image| descriptors(&list, image).unwrap()).collect()
    }

    #[test]
    fn the_record_of_images_comes_back() {
        assert_eq!(serde_json::from_slice::<Index>(&index().to_bytes()).unwrap(), index());
        let first = &fixture::list("1.25.2").images[0];
        assert_eq!(index().names().unwrap()[&first.reference.to_string()], first.manifest);
    }

    #[test]
    fn an_image_bears_all_names_that_a_registry_would_know_it_by() {
        let mut list = fixture::list("1.25.2");
        let pinned = Digest::of(b"index");
        let entry = Entry {
            path: EntryPath::blob(&pinned),
            digest: pinned,
            media_type: "application/vnd.oci.image.index.v1+json".into(),
            kind: EntryKind::ImageIndex,
            ..list.entries[0].clone()
        };
        list.entries.push(entry);
        let image = Image { pinned, ..list.images[0].clone() };
        let repository = "registry.k8s.io/kube-apiserver";
        let named = |image: &Image| descriptors(&list, image).unwrap().into_iter().collect::<Index>().names().unwrap();
        let of_an_index = [
            (format!("{repository}:v1.25.2"), pinned),
            (format!("{repository}@{pinned}"), pinned),
            (format!("{repository}@{}", image.manifest), image.manifest),
        ];
        assert_eq!(named(&image), of_an_index.into());
        let platforms: Vec<_> =
            descriptors(&list, &image).unwrap().iter().map(|named| named.platform.is_some()).collect();
        assert_eq!(platforms, [false, false, true], "an index is of no platform");
        let record: Index = descriptors(&list, &image).unwrap().into_iter().collect();
        assert_eq!(record.manifests().unwrap(), [(format!("{repository}:v1.25.2"), image.manifest)].into());

        let image = &list.images[0];
        let of_a_manifest = [
            (format!("{repository}:v1.25.2"), image.manifest),
            (format!("{repository}@{}", image.manifest), image.manifest),
        ];
        assert_eq!(named(image), of_a_manifest.into());
    }

    #[test]
    fn an_image_without_a_tag_goes_by_its_digest() {
        let list = fixture::list("1.25.2");
        let tagged = &list.images[0];
        let reference = by_digest(&tagged.reference, &tagged.pinned).parse().unwrap();
        let image = Image { reference, ..tagged.clone() };
        let both = [tagged, &image].into_iter().flat_map(|image| descriptors(&list, image).unwrap());
        let record: Index = both.collect();
        let [by_tag, by_digest] = [tagged, &image].map(|image| (image.reference.to_string(), image.manifest));
        assert_eq!(record.names().unwrap(), [by_tag.clone(), by_digest.clone()].into());
        assert_eq!(record.manifests().unwrap(), [by_tag, by_digest].into());
    }

    #[test]
    fn only_names_that_are_gone_are_put_back() {
        let names = index().names().unwrap().into_keys();
        let (there, gone): (BTreeSet<_>, BTreeSet<_>) = names.partition(|name| name.contains("apiserver"));
        let missing: BTreeSet<_> = index().only(|name, _| !there.contains(name)).names().unwrap().into_keys().collect();
        assert_eq!(missing, gone);
        assert_eq!(missing.len(), 2);
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
        assert_eq!(files.next().unwrap(), ("oci-layout".to_owned(), layout_file().to_vec()));
        assert_eq!(files.next().unwrap(), ("index.json".to_owned(), index().to_bytes()));
        assert_eq!(files.next(), None);
        assert_eq!(bytes.len() % 512, 0);
    }
}
