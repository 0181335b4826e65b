//! Turns the list of a bundle into what to copy: for each name, its documents and blobs.

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::oci::{Blob, Document, LayoutIndex, MAX_DOCUMENT_BYTES, NamedManifest, OCI_INDEX};
use kbundle_format::{BundleList, Digest, Entry, EntryPath, Image, ImageRef, IndexedBundle};

use super::PushError;
use super::outcome::{ImageOutcome, IndexKept, State};
use super::target::PushTarget;
use crate::mirror::{Repository, Scheme};

/// An index or manifest, in its exact bytes.
#[derive(Clone, Debug)]
pub(super) struct RawDocument {
    pub media_type: String,
    pub digest: Digest,
    pub bytes: Vec<u8>,
}

/// One name and everything that it refers to.
#[derive(Debug)]
pub(super) struct ImageCopy {
    pub reference: ImageRef,
    pub repository: Repository,
    /// The index as it was published, or the manifest if the pin names that.
    pub pinned: RawDocument,
    /// Indexes within the index, the innermost first.
    pub inner_indexes: Vec<RawDocument>,
    /// What the name refers to in a registry that rejects an index without all of its manifests; absent without an index.
    pub reduced: Option<RawDocument>,
    /// The manifest for each platform.
    pub manifests: Vec<RawDocument>,
    /// Configs and layers.
    pub blobs: Vec<Blob>,
}

/// The images that `bundle` carries, under the names of `target`.
pub(super) fn of_bundle(bundle: &IndexedBundle, target: &PushTarget) -> Result<Vec<ImageCopy>, PushError> {
    let list: &BundleList = bundle.list();
    let mut by_reference: Vec<(&ImageRef, Vec<&Image>)> = Vec::new();
    for image in list.images.iter().filter(|image| carried(bundle, &image.manifest).is_some()) {
        match by_reference.iter_mut().find(|(reference, _)| *reference == &image.reference) {
            Some((_, images)) => images.push(image),
            None => by_reference.push((&image.reference, vec![image])),
        }
    }
    let copies = by_reference.into_iter().map(|(reference, images)| ImageCopy::of(bundle, target, reference, &images));
    let copies = copies.collect::<Result<Vec<_>, _>>()?;
    if copies.is_empty() {
        return Err(PushError::NoImages);
    }
    refuse_collisions(&copies)?;
    Ok(copies)
}

/// The entry with this digest, if the bundle carries it.
pub(super) fn carried<'a>(bundle: &'a IndexedBundle, digest: &Digest) -> Option<&'a Entry> {
    let list: &BundleList = bundle.list();
    list.entry(EntryPath::blob(digest).as_str()).filter(|entry| bundle.carries(entry))
}

fn refuse_collisions(copies: &[ImageCopy]) -> Result<(), PushError> {
    let mut known: BTreeMap<String, &ImageCopy> = BTreeMap::new();
    for copy in copies {
        let first = known.entry(copy.full_name()).or_insert(copy);
        if first.pinned.digest != copy.pinned.digest {
            let (first, second) = (first.reference.to_string(), copy.reference.to_string());
            return Err(PushError::Collision { first, second, name: copy.full_name() });
        }
    }
    Ok(())
}

impl ImageCopy {
    fn of(
        bundle: &IndexedBundle,
        target: &PushTarget,
        reference: &ImageRef,
        images: &[&Image],
    ) -> Result<Self, PushError> {
        let source = Source { bundle, reference };
        let pinned = source.raw(&images[0].pinned)?;
        let mut manifests: Vec<RawDocument> = Vec::new();
        let mut blobs: Vec<Blob> = Vec::new();
        for image in images {
            let raw = source.raw(&image.manifest)?;
            let Document::Manifest { config, layers, .. } = source.parsed(&raw)? else {
                return Err(source.wrong(raw.digest, "is an index instead of a manifest"));
            };
            for blob in [config].into_iter().chain(layers) {
                if !blobs.contains(&blob) {
                    blobs.push(blob);
                }
            }
            manifests.push(raw);
        }
        let mut inner_indexes = Vec::new();
        source.inner_indexes(&pinned, &mut inner_indexes)?;
        let has_index = matches!(source.parsed(&pinned)?, Document::Index { .. });
        let reduced = has_index.then(|| reduced(images, &manifests));
        let repository = target.repository(reference);
        Ok(Self { reference: reference.clone(), repository, pinned, inner_indexes, reduced, manifests, blobs })
    }

    /// The references to ask the registry for, to learn what it has: the tag, or each digest that the name may refer to.
    pub fn names(&self) -> Vec<String> {
        match self.reference.tag() {
            Some(tag) => vec![tag.to_owned()],
            None => self.accepted().iter().map(ToString::to_string).collect(),
        }
    }

    /// The name under which `document` is stored, so that the image's name refers to it.
    pub fn name_of(&self, document: &RawDocument) -> String {
        self.reference.tag().map_or_else(|| document.digest.to_string(), str::to_owned)
    }

    /// Whether the registry's name refers to this image.
    pub fn is_there(&self, previous: &BTreeSet<Digest>) -> bool {
        previous.iter().any(|digest| self.accepted().contains(digest))
    }

    fn accepted(&self) -> BTreeSet<Digest> {
        let reduced = self.reduced.iter().map(|reduced| reduced.digest);
        reduced.chain([self.pinned.digest]).collect()
    }

    /// `REGISTRY/REPOSITORY:TAG`, or with the pinned digest if there is no tag.
    fn full_name(&self) -> String {
        let Repository { scheme, host, path } = &self.repository;
        let scheme = if *scheme == Scheme::Http { "http://" } else { "" };
        match self.reference.tag() {
            Some(tag) => format!("{scheme}{host}/{path}:{tag}"),
            None => format!("{scheme}{host}/{path}@{}", self.pinned.digest),
        }
    }

    pub fn unchanged(&self, previous: &BTreeSet<Digest>) -> ImageOutcome {
        let digest = previous.iter().find(|digest| self.accepted().contains(digest)).copied();
        let digest = digest.unwrap_or(self.pinned.digest);
        let index = match &self.reduced {
            None => IndexKept::None,
            Some(_) if digest == self.pinned.digest => IndexKept::Whole,
            Some(_) => IndexKept::Reduced,
        };
        self.outcome(State::Unchanged, None, digest, index)
    }

    pub fn outcome(&self, state: State, previous: Option<Digest>, digest: Digest, index: IndexKept) -> ImageOutcome {
        let name = match self.reference.tag() {
            Some(_) => self.full_name(),
            None => self.full_name().replace(&self.pinned.digest.to_string(), &digest.to_string()),
        };
        ImageOutcome { reference: self.reference.to_string(), name, digest, previous, state, index }
    }
}

/// One image in a bundle.
struct Source<'a> {
    bundle: &'a IndexedBundle,
    reference: &'a ImageRef,
}

impl Source<'_> {
    fn raw(&self, digest: &Digest) -> Result<RawDocument, PushError> {
        let Some(entry) = carried(self.bundle, digest) else {
            return Err(PushError::Missing { path: EntryPath::blob(digest) });
        };
        if entry.size > MAX_DOCUMENT_BYTES {
            return Err(self.wrong(*digest, "is too large for an index or manifest"));
        }
        let bytes = self.bundle.read_entry(entry)?;
        Ok(RawDocument { media_type: entry.media_type.clone(), digest: *digest, bytes })
    }

    fn parsed(&self, raw: &RawDocument) -> Result<Document, PushError> {
        Document::parse(&raw.bytes).map_err(|reason| self.wrong(raw.digest, &reason))
    }

    fn wrong(&self, digest: Digest, reason: &str) -> PushError {
        PushError::Image { reference: self.reference.to_string(), digest, reason: reason.to_owned() }
    }

    /// The indexes below `index` that the bundle carries, the innermost first.
    fn inner_indexes(&self, index: &RawDocument, found: &mut Vec<RawDocument>) -> Result<(), PushError> {
        let Document::Index { manifests, .. } = self.parsed(index)? else { return Ok(()) };
        for entry in manifests.iter().filter(|entry| entry.is_index()) {
            if carried(self.bundle, &entry.blob.digest).is_some() {
                let inner = self.raw(&entry.blob.digest)?;
                self.inner_indexes(&inner, found)?;
                found.push(inner);
            }
        }
        Ok(())
    }
}

/// The part of an index that the bundle carries: the only manifest, or an index of those that it has.
fn reduced(images: &[&Image], manifests: &[RawDocument]) -> RawDocument {
    if let [manifest] = manifests {
        return manifest.clone();
    }
    let named = |(image, manifest): (&&Image, &RawDocument)| NamedManifest {
        blob: Blob {
            media_type: manifest.media_type.clone(),
            digest: manifest.digest,
            size: manifest.bytes.len() as u64,
        },
        platform: Some(image.platform.clone()),
        annotations: BTreeMap::new(),
    };
    let bytes = images.iter().zip(manifests).map(named).collect::<LayoutIndex>().to_bytes();
    RawDocument { media_type: OCI_INDEX.to_owned(), digest: Digest::of(&bytes), bytes }
}
