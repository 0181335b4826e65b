//! How much a build fetches and writes, as far as that is known without asking any server: from a lock, or from the cache.

use std::collections::BTreeMap;

use kbundle_format::oci::{Document, IndexEntry, MAX_DOCUMENT_BYTES};
use kbundle_format::{Digest, Entry, EntryKind, Platform};

use crate::fetch::Cache;
use crate::lock::{Descriptor, Lock};
use crate::resolve::{Pin, SelectedImage, Selection};

/// What is known of the size of a file or image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// All of it; absent where a server would have to be asked.
    pub bytes: Option<u64>,
    /// How much of it is in the cache.
    pub cached_bytes: u64,
}

/// The sizes of what a build fetches.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// Of each file, in the order of the lock or selection.
    pub files: Vec<Size>,
    /// Of each image, likewise.
    pub images: Vec<Size>,
    /// Content that is known by digest and size; images share layers.
    pieces: BTreeMap<Digest, Piece>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    bytes: u64,
    cached: bool,
    compressed: bool,
}

impl Demand {
    /// What `lock` asks for.
    #[must_use]
    pub fn of_lock(lock: &Lock, cache: &Cache) -> Self {
        let mut demand = Self::default();
        for file in &lock.artifacts {
            demand.file(cache, Some(file.digest), file.size, file.kind);
        }
        for image in &lock.images {
            let pieces: Vec<_> = image.blobs().map(|(kind, blob)| demand.piece(cache, blob, kind)).collect();
            demand.image(Some(&pieces));
        }
        demand
    }

    /// What `selection` asks for. Layers are known where the documents of an image are in the cache.
    #[must_use]
    pub fn of_selection(selection: &Selection, cache: &Cache) -> Self {
        let mut demand = Self::default();
        for file in &selection.artifacts {
            let digest = match file.pin {
                Pin::Catalog(digest) | Pin::LocalFile(digest) | Pin::Fetched(digest, _) => Some(digest),
                Pin::UpstreamChecksum(_) | Pin::FirstUse => None,
            };
            demand.file(cache, digest, None, file.kind);
        }
        for image in &selection.images {
            let blobs: Option<Vec<_>> =
                selection.platforms.iter().map(|platform| blobs(cache, image, platform)).collect();
            let pieces: Option<Vec<_>> = blobs.map(|blobs| {
                let blobs = blobs.iter().flatten();
                blobs.map(|(kind, blob)| demand.piece(cache, blob, *kind)).collect()
            });
            demand.image(pieces.as_deref());
        }
        demand
    }

    fn file(&mut self, cache: &Cache, digest: Option<Digest>, stated: Option<u64>, kind: EntryKind) {
        let cached = digest.and_then(|digest| cache.size(&digest));
        let size = Size { bytes: cached.or(stated), cached_bytes: cached.unwrap_or(0) };
        if let (Some(digest), Some(bytes)) = (digest, size.bytes) {
            let piece = Piece { bytes, cached: cached.is_some(), compressed: is_compressed(kind) };
            self.pieces.insert(digest, piece);
        }
        self.files.push(size);
    }

    fn piece(&mut self, cache: &Cache, blob: &Descriptor, kind: EntryKind) -> Piece {
        let cached = cache.size(&blob.digest).is_some();
        let piece = Piece { bytes: blob.size, cached, compressed: is_compressed(kind) };
        self.pieces.insert(blob.digest, piece);
        piece
    }

    fn image(&mut self, pieces: Option<&[Piece]>) {
        let cached = |pieces: &[Piece]| pieces.iter().filter(|piece| piece.cached).map(|piece| piece.bytes).sum();
        self.images.push(Size {
            bytes: pieces.map(|pieces| pieces.iter().map(|piece| piece.bytes).sum()),
            cached_bytes: pieces.map_or(0, cached),
        });
    }

    fn sum(&self, wanted: impl Fn(&Piece) -> bool) -> u64 {
        self.pieces.values().filter(|piece| wanted(piece)).map(|piece| piece.bytes).sum()
    }

    /// All bytes that are known of, each layer once.
    #[must_use]
    pub fn known_bytes(&self) -> u64 {
        self.sum(|_| true)
    }

    /// Those of them that are not in the cache.
    #[must_use]
    pub fn to_fetch_bytes(&self) -> u64 {
        self.sum(|piece| !piece.cached)
    }

    /// A bundle of it has at least about so many bytes; see [`least_bundle_bytes`].
    #[must_use]
    pub fn least_bundle_bytes(&self) -> u64 {
        self.sum(|piece| piece.compressed)
    }

    /// How many files and images have no known size.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.files.iter().chain(&self.images).filter(|size| size.bytes.is_none()).count()
    }
}

/// A bundle of `entries` has at least about so many bytes: what is compressed already does not get smaller.
#[must_use]
pub fn least_bundle_bytes(entries: &[&Entry]) -> u64 {
    let compressed = entries.iter().filter(|entry| is_compressed(entry.kind));
    compressed.map(|entry| entry.size).sum()
}

fn is_compressed(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::Archive | EntryKind::ImageLayer)
}

/// What an image for `platform` is made of, where its documents are in the cache.
fn blobs(cache: &Cache, image: &SelectedImage, platform: &Platform) -> Option<Vec<(EntryKind, Descriptor)>> {
    let read = |digest: &Digest| Document::parse(&cache.read(digest, MAX_DOCUMENT_BYTES).ok()?).ok();
    let describe =
        |digest: Digest, media_type: String| Some(Descriptor { media_type, digest, size: cache.size(&digest)? });
    let mut blobs = Vec::new();
    let mut digest = image.digest?;
    loop {
        match read(&digest)? {
            Document::Index { media_type, manifests } => {
                blobs.push((EntryKind::ImageIndex, describe(digest, media_type)?));
                // It ends: a document cannot hold its own digest.
                digest = IndexEntry::candidates(&manifests, platform).first()?.blob.digest;
            }
            Document::Manifest { media_type, config, layers } => {
                blobs.push((EntryKind::ImageManifest, describe(digest, media_type)?));
                blobs.push((EntryKind::ImageConfig, config.into()));
                blobs.extend(layers.into_iter().map(|layer| (EntryKind::ImageLayer, layer.into())));
                return Some(blobs);
            }
        }
    }
}
