//! OCI image layouts. Source: OCI image-spec 1.1, "OCI Image Layout Specification".

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::oci::{Blob, Document, IndexEntry, LayoutEntry, LayoutIndex, MAX_INDEX_DEPTH};
use kbundle_format::{Digest, Platform};
use serde::Deserialize;

use super::members::Members;
use super::{Content, Fault, Piece};

/// Annotations that name an image: the spec's, and containerd's for the full reference.
const NAMES: [&str; 2] = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];
/// Most indexes and manifests of an image.
const MAX_DOCUMENTS: usize = 1000;

/// `oci-layout`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutFile {
    image_layout_version: String,
}

/// Finds the image `name`, and its content for `platforms`.
pub(super) fn find(
    members: &Members,
    name: Option<&str>,
    platforms: &BTreeSet<Platform>,
) -> Result<(Digest, BTreeMap<Digest, Piece>), Fault> {
    let no_layout = |error: String| Fault::Refused(format!("it is not an OCI image layout: {error}"));
    if members.size("oci-layout")?.is_none() {
        return Err(no_layout("it lacks the file oci-layout".to_owned()));
    }
    let version = serde_json::from_slice(&members.document("oci-layout")?);
    let LayoutFile { image_layout_version } = version.map_err(|error| no_layout(error.to_string()))?;
    if !image_layout_version.starts_with("1.") {
        return Err(no_layout(format!("its version is {image_layout_version} instead of 1.0.0")));
    }
    let index: LayoutIndex = serde_json::from_slice(&members.document("index.json")?)
        .map_err(|error| no_layout(format!("index.json: {error}")))?;
    let digest = choose(&index, name)?;
    let mut walk = Walk { members, platforms, pieces: BTreeMap::new(), documents: 0 };
    let document = walk.document(&digest, None)?;
    let document = document.map_err(|reason| Fault::Refused(format!("{digest} {reason}")))?;
    walk.follow(document, MAX_INDEX_DEPTH)?;
    Ok((digest, walk.pieces))
}

/// The one image that `name` refers to.
fn choose(index: &LayoutIndex, name: Option<&str>) -> Result<Digest, Fault> {
    let names = |entry: &LayoutEntry<'_>| NAMES.map(|key| entry.annotation(key).map(str::to_owned));
    let is_wanted =
        |entry: &LayoutEntry<'_>| name.is_none_or(|name| names(entry).iter().flatten().any(|known| known == name));
    let wanted: BTreeSet<_> = index.entries().filter(is_wanted).map(|entry| entry.digest).collect();
    let known: BTreeSet<_> = index.entries().flat_map(|entry| names(&entry)).flatten().collect();
    let known = if known.is_empty() { "images without a name".to_owned() } else { Vec::from_iter(known).join(", ") };
    match (wanted.len(), name) {
        (1, _) => Ok(*wanted.first().expect("there is one")),
        (0, Some(name)) => Err(Fault::Choice(format!("the layout has no image named `{name}`, it has {known}"))),
        (0, None) => Err(Fault::Choice("the layout has no image".to_owned())),
        (_, None) => Err(Fault::Choice(format!("the layout has several images; add one as `:TAG`: {known}"))),
        (_, Some(name)) => {
            Err(Fault::Choice(format!("the layout has several images named `{name}`, and no index over them")))
        }
    }
}

/// The path of content in a layout.
fn place(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

struct Walk<'a> {
    members: &'a Members,
    platforms: &'a BTreeSet<Platform>,
    pieces: BTreeMap<Digest, Piece>,
    documents: usize,
}

impl Walk<'_> {
    /// Records what a document names. Manifests that the layout lacks are reported when a platform needs them: it may have one of many
    /// platforms.
    fn follow(&mut self, document: Document, depth: usize) -> Result<(), Fault> {
        let manifests = match document {
            Document::Manifest { config, layers, .. } => {
                return [config].iter().chain(&layers).try_for_each(|blob| self.content(blob));
            }
            Document::Index { manifests, .. } => manifests,
        };
        if depth == 0 {
            return Err(Fault::Refused("its indexes are nested too deeply".to_owned()));
        }
        let platforms = self.platforms;
        for entry in platforms.iter().flat_map(|platform| IndexEntry::candidates(&manifests, platform)) {
            let blob = &entry.blob;
            if self.pieces.contains_key(&blob.digest) || self.members.size(&place(&blob.digest))?.is_none() {
                continue;
            }
            match self.document(&blob.digest, Some(blob.size))? {
                Ok(document) => self.follow(document, depth - 1)?,
                Err(reason) if entry.platform.is_some() => {
                    return Err(Fault::Refused(format!("{} {reason}", blob.digest)));
                }
                // An artifact, for which the index states no platform.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Reads an index or manifest, whose digest has to match. The inner error says why it is neither.
    fn document(&mut self, digest: &Digest, size: Option<u64>) -> Result<Result<Document, String>, Fault> {
        self.documents += 1;
        if self.documents > MAX_DOCUMENTS {
            return Err(Fault::Refused(format!("the image has more than {MAX_DOCUMENTS} manifests")));
        }
        let name = place(digest);
        let bytes = self.members.document(&name)?;
        let (actual, length) = (Digest::of(&bytes), bytes.len() as u64);
        if actual != *digest || size.is_some_and(|size| size != length) {
            return Err(Fault::Refused(format!(
                "{name} has digest {actual} and {length} bytes, which its descriptor does not say"
            )));
        }
        self.pieces.insert(*digest, Piece { size: length, content: Content::Member(name) });
        Ok(Document::parse(&bytes))
    }

    /// Records a config or layer.
    fn content(&mut self, blob: &Blob) -> Result<(), Fault> {
        let name = place(&blob.digest);
        match self.members.size(&name)? {
            None => Err(Fault::Refused(format!("it lacks {name}"))),
            Some(size) if size != blob.size => {
                Err(Fault::Refused(format!("{name} has {size} bytes instead of {}", blob.size)))
            }
            Some(size) => {
                self.pieces.insert(blob.digest, Piece { size, content: Content::Member(name) });
                Ok(())
            }
        }
    }
}
