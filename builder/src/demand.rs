//! How much a build fetches and writes, and how much room its bundle takes on hosts, before anything is fetched: from a lock, from the
//! cache, and from servers' answers if they were asked ([`Answers`]). Everything else counts as unknown.

mod estimate;

use std::collections::{BTreeMap, BTreeSet};

use kbundle_cluster::cost::{HostContent, Unpacked};
use kbundle_format::oci::{Document, IndexEntry, MAX_DOCUMENT_BYTES};
use kbundle_format::{Component, Digest, Entry, EntryKind, Platform, Role};

use crate::fetch::{Answers, Cache};
use crate::lock::{Descriptor, Lock, LockedImage};
use crate::resolve::{Pin, Selection};

pub use estimate::SizeEstimate;

/// What is known about the size of a file or image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Its complete size; `None` if a server would have to be asked.
    pub bytes: Option<u64>,
    /// How much of it is in the cache.
    pub cached_bytes: u64,
}

/// The sizes of what a build fetches.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// Of each file, in the order of the lock or selection.
    pub files: Vec<Size>,
    /// Of each image, in the same order.
    pub images: Vec<Size>,
    /// Content that is known by digest and size; images share layers.
    pieces: BTreeMap<Digest, Piece>,
    /// The roles of each file and image of unknown size.
    unknown: Vec<BTreeSet<Role>>,
}

#[derive(Clone, Debug)]
struct Piece {
    bytes: u64,
    cached: bool,
    kind: EntryKind,
    media_type: String,
    component: Option<Component>,
    roles: BTreeSet<Role>,
    /// Empty if it suits all platforms.
    platforms: BTreeSet<Platform>,
}

impl Piece {
    fn is_for(&self, roles: &BTreeSet<Role>, platform: &Platform) -> bool {
        !self.roles.is_disjoint(roles) && (self.platforms.is_empty() || self.platforms.contains(platform))
    }
}

/// A file of a lock or a selection.
struct File<'a> {
    url: &'a str,
    digest: Option<Digest>,
    stated: Option<u64>,
    kind: EntryKind,
    component: &'a Component,
    platform: Option<&'a Platform>,
    roles: &'a BTreeSet<Role>,
}

impl Demand {
    /// The demand of `lock`.
    #[must_use]
    pub fn of_lock(lock: &Lock, cache: &Cache, answers: &Answers) -> Self {
        let mut demand = Self::default();
        for file in &lock.artifacts {
            let stated = file.size.or_else(|| answers.file(&file.url));
            demand.file(
                cache,
                &File {
                    url: &file.url,
                    digest: Some(file.digest),
                    stated,
                    kind: file.kind,
                    component: &file.component,
                    platform: file.platform.as_ref(),
                    roles: &file.roles,
                },
            );
        }
        for image in &lock.images {
            let LockedImage { platform, roles, .. } = image;
            let blobs = image.blobs().map(|(kind, blob)| (platform, kind, blob.clone())).collect();
            demand.image(cache, Some(blobs), roles);
        }
        demand
    }

    /// The demand of `selection`. Layers are known if the documents of an image are in the cache.
    #[must_use]
    pub fn of_selection(selection: &Selection, cache: &Cache, answers: &Answers) -> Self {
        let mut demand = Self::default();
        for file in &selection.artifacts {
            let digest = match file.pin {
                Pin::Catalog(digest) | Pin::LocalFile(digest) | Pin::Fetched(digest, _) => Some(digest),
                Pin::UpstreamChecksum(_) | Pin::FirstUse => None,
            };
            demand.file(
                cache,
                &File {
                    url: &file.url,
                    digest,
                    stated: answers.file(&file.url),
                    kind: file.kind,
                    component: &file.component,
                    platform: file.platform.as_ref(),
                    roles: &file.roles,
                },
            );
        }
        for image in &selection.images {
            let digest = image.digest.or_else(|| answers.image(&image.reference));
            let of_platform = |platform| {
                let blobs = blobs(cache, digest?, platform)?;
                Some(blobs.into_iter().map(move |(kind, blob)| (platform, kind, blob)))
            };
            let blobs: Option<Vec<_>> = selection.platforms.iter().map(of_platform).collect();
            demand.image(cache, blobs.map(|blobs| blobs.into_iter().flatten().collect()), &image.roles);
        }
        demand
    }

    fn file(&mut self, cache: &Cache, file: &File<'_>) {
        let cached = file.digest.and_then(|digest| cache.size(&digest));
        let size = Size { bytes: cached.or(file.stated), cached_bytes: cached.unwrap_or(0) };
        self.files.push(size);
        let Some(bytes) = size.bytes else {
            self.unknown.push(file.roles.clone());
            return;
        };
        // Content without a pin has no digest yet, so its address is used instead.
        let digest = file.digest.unwrap_or_else(|| Digest::of(file.url.as_bytes()));
        let piece = Piece {
            bytes,
            cached: cached.is_some(),
            kind: file.kind,
            media_type: String::new(),
            component: Some(file.component.clone()),
            roles: file.roles.clone(),
            platforms: file.platform.cloned().into_iter().collect(),
        };
        self.pieces.insert(digest, piece);
    }

    fn image(&mut self, cache: &Cache, blobs: Option<Vec<(&Platform, EntryKind, Descriptor)>>, roles: &BTreeSet<Role>) {
        let Some(blobs) = blobs else {
            self.unknown.push(roles.clone());
            self.images.push(Size::default());
            return;
        };
        let (mut bytes, mut cached_bytes) = (0, 0);
        for (platform, kind, blob) in blobs {
            let cached = cache.size(&blob.digest).is_some();
            bytes += blob.size;
            cached_bytes += if cached { blob.size } else { 0 };
            let piece = self.pieces.entry(blob.digest).or_insert_with(|| Piece {
                bytes: blob.size,
                cached,
                kind,
                media_type: blob.media_type,
                component: None,
                roles: BTreeSet::new(),
                platforms: BTreeSet::new(),
            });
            piece.roles.extend(roles);
            piece.platforms.insert(platform.clone());
        }
        self.images.push(Size { bytes: Some(bytes), cached_bytes });
    }

    fn sum(&self, wanted: impl Fn(&Piece) -> bool) -> u64 {
        self.pieces.values().filter(|piece| wanted(piece)).map(|piece| piece.bytes).sum()
    }

    /// The bytes of all known content, each layer once.
    #[must_use]
    pub fn known_bytes(&self) -> u64 {
        self.sum(|_| true)
    }

    /// The bytes of it that are not in the cache.
    #[must_use]
    pub fn to_fetch_bytes(&self) -> u64 {
        self.sum(|piece| !piece.cached)
    }

    /// The least size of a bundle of it, approximately; see [`least_bundle_bytes`].
    #[must_use]
    pub fn least_bundle_bytes(&self) -> u64 {
        self.sum(|piece| is_compressed(piece.kind))
    }

    /// How many files and images have no known size.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.unknown.len()
    }

    /// How many of them go to hosts with any of `roles`.
    #[must_use]
    pub fn unknown_of(&self, roles: &BTreeSet<Role>) -> usize {
        self.unknown.iter().filter(|of| !of.is_disjoint(roles)).count()
    }

    /// The bundle's size from what is known about its content, without the content for which `in_a_base` is true.
    #[must_use]
    pub fn bundle_size(&self, in_a_base: impl Fn(&Digest) -> bool) -> SizeEstimate {
        let carried = self.pieces.iter().filter(|(digest, _)| !in_a_base(digest)).map(|(_, piece)| piece);
        carried.fold(SizeEstimate::default(), |sum, piece| sum.plus(piece.kind, &piece.media_type, piece.bytes)).whole()
    }

    /// The room that known content takes on a host with `roles`, and the size of the part of the bundle that the host is sent.
    #[must_use]
    pub fn on_host(&self, roles: &BTreeSet<Role>, platform: &Platform) -> (Unpacked, SizeEstimate) {
        let mut unpacked = Unpacked::default();
        let mut part = SizeEstimate::default();
        for piece in self.pieces.values().filter(|piece| piece.is_for(roles, platform)) {
            let Piece { bytes, kind, ref media_type, ref component, .. } = *piece;
            unpacked.add(HostContent { kind, component: component.as_ref(), media_type, size_bytes: bytes });
            part = part.plus(kind, media_type, bytes);
        }
        (unpacked, part)
    }
}

/// The least size of a bundle of `entries`, approximately: compressed content does not get smaller.
#[must_use]
pub fn least_bundle_bytes(entries: &[&Entry]) -> u64 {
    let compressed = entries.iter().filter(|entry| is_compressed(entry.kind));
    compressed.map(|entry| entry.size).sum()
}

fn is_compressed(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::Archive | EntryKind::ImageLayer)
}

/// The blobs of the image `digest` for `platform`, if its documents are in the cache.
fn blobs(cache: &Cache, mut digest: Digest, platform: &Platform) -> Option<Vec<(EntryKind, Descriptor)>> {
    let read = |digest: &Digest| Document::parse(&cache.read(digest, MAX_DOCUMENT_BYTES).ok()?).ok();
    let describe =
        |digest: Digest, media_type: String| Some(Descriptor { media_type, digest, size: cache.size(&digest)? });
    let mut blobs = Vec::new();
    loop {
        match read(&digest)? {
            Document::Index { media_type, manifests } => {
                blobs.push((EntryKind::ImageIndex, describe(digest, media_type)?));
                // This ends: a document cannot contain its own digest.
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
