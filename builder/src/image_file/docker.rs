//! Archives of `docker save`. Source: moby, `image/tarexport/save.go`; containerd's importer (`core/images/archive/importer.go`) makes the
//! same from them: a manifest in Docker's form for the config and layers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};

use flate2::read::MultiGzDecoder;
use kbundle_format::limits::MAX_ENTRY_BYTES;
use kbundle_format::oci::{DOCKER_MANIFEST, config_layers};
use kbundle_format::{Digest, Hasher};
use serde::Deserialize;
use serde_json::json;

use super::members::Members;
use super::{Content, Fault, Piece};
use crate::image_name::ImageName;

const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const GZIP_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// An image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Finds the image `name`, and makes the manifest that the archive lacks. The same archive gives the same manifest.
pub(super) fn find(members: &Members, name: Option<&str>) -> Result<(Digest, BTreeMap<Digest, Piece>), Fault> {
    let no_archive = |error: String| Fault::Refused(format!("it is not an archive of `docker save`: {error}"));
    if members.is_folder() {
        return Err(no_archive("it is a folder".to_owned()));
    }
    if members.size("manifest.json")?.is_none() {
        return Err(no_archive("it lacks manifest.json".to_owned()));
    }
    let saved: Vec<SavedImage> = serde_json::from_slice(&members.document("manifest.json")?)
        .map_err(|error| no_archive(format!("manifest.json: {error}")))?;
    let image = choose(&saved, name)?;
    let config = members.document(&image.config)?;
    let config_digest = Digest::of(&config);
    let tars = config_layers(&config).map_err(|reason| Fault::Refused(format!("{} {reason}", image.config)))?;
    if tars.len() != image.layers.len() {
        let (named, there) = (tars.len(), image.layers.len());
        return Err(Fault::Refused(format!("its config names {named} layers, manifest.json {there}")));
    }
    let mut pieces = BTreeMap::new();
    let mut layers = Vec::new();
    for (name, tar) in image.layers.iter().zip(tars) {
        let (media_type, digest, size) = layer(members, name, tar)?;
        layers.push(json!({ "mediaType": media_type, "size": size, "digest": digest }));
        pieces.insert(digest, Piece { size, content: Content::Member(name.clone()) });
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": { "mediaType": CONFIG, "size": config.len(), "digest": config_digest },
        "layers": layers,
    });
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::of(&manifest);
    for made in [config, manifest] {
        pieces.insert(Digest::of(&made), Piece { size: made.len() as u64, content: Content::Made(made) });
    }
    Ok((digest, pieces))
}

/// The one image that `name`, as people write it, refers to.
fn choose<'a>(saved: &'a [SavedImage], name: Option<&str>) -> Result<&'a SavedImage, Fault> {
    let familiar = |name: &str| name.parse::<ImageName>().ok().map(|name| name.reference);
    let is_named = |image: &&SavedImage, name: &str| {
        let mut tags = image.repo_tags.iter().flatten();
        tags.any(|tag| tag == name || familiar(tag).is_some_and(|tag| familiar(name) == Some(tag)))
    };
    let wanted: Vec<_> = saved.iter().filter(|image| name.is_none_or(|name| is_named(image, name))).collect();
    let known: BTreeSet<_> = saved.iter().filter_map(|image| image.repo_tags.as_deref()).flatten().cloned().collect();
    let known = Vec::from_iter(known).join(", ");
    match (&wanted[..], name) {
        ([image], _) => Ok(image),
        ([], Some(name)) => Err(Fault::Choice(format!("the archive has no image named `{name}`, it has {known}"))),
        ([], None) => Err(Fault::Choice("the archive has no image".to_owned())),
        _ => Err(Fault::Choice(format!("the archive has several images; add one as `:REFERENCE`: {known}"))),
    }
}

/// Media type, digest and size of the layer in the file `name`, whose tar has the digest `tar` in the config.
fn layer(members: &Members, name: &str, tar: Digest) -> Result<(&'static str, Digest, u64), Fault> {
    let Some(size) = members.size(name)? else { return Err(Fault::Refused(format!("it lacks {name}"))) };
    let mut start = Vec::new();
    members.reader(name)?.take(4).read_to_end(&mut start)?;
    match start[..] {
        [0x1f, 0x8b, ..] => {}
        [0x28, 0xb5, 0x2f, 0xfd] => {
            return Err(Fault::Refused(format!("{name} is compressed by zstd, which Docker's archives do not have")));
        }
        // Its content is compared with the digest when it is copied.
        _ => return Ok((LAYER, tar, size)),
    }
    let mut unpacked = Hasher::new(io::sink());
    let bytes = io::copy(&mut MultiGzDecoder::new(members.reader(name)?).take(MAX_ENTRY_BYTES + 1), &mut unpacked)
        .map_err(|error| Fault::Refused(format!("{name} is not gzip: {error}")))?;
    if bytes > MAX_ENTRY_BYTES {
        return Err(Fault::Refused(format!("{name} is larger than a bundle may carry")));
    }
    let (actual, ..) = unpacked.finish();
    if actual != tar {
        return Err(Fault::Refused(format!("{name} has the tar {actual} instead of {tar}")));
    }
    let mut packed = Hasher::new(io::sink());
    io::copy(&mut members.reader(name)?, &mut packed)?;
    let (digest, size, _) = packed.finish();
    Ok((GZIP_LAYER, digest, size))
}
