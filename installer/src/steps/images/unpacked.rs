//! Whether containerd's unpacked images are complete: compares every image of the record, layer by layer, with its archive.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::fmt;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail, ensure};
use flate2::bufread::MultiGzDecoder;
use kbundle_format::Digest;
use kbundle_format::oci::{Blob, Document, config_layers};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::archive::Index;
use super::layer::{self, Fault};
use super::{CONTAINERD_DIRECTORY, ctr, record};
use crate::host::Host;

impl fmt::Display for ImageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: /{} {}", self.image, self.path.display(), self.fault)
    }
}

/// Where containerd keeps content, by digest.
const CONTENT: &str = "io.containerd.content.v1.content/blobs/sha256";
/// Layers are read in pieces of this size.
const BUFFER_BYTES: usize = 128 << 10;

/// A file that an image has and its snapshot has not, or not so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageFault {
    /// The image's name.
    pub image: String,
    /// The path within the image.
    pub path: PathBuf,
    /// What is wrong.
    #[serde(flatten)]
    pub fault: Fault,
}

/// Compares each image that kinstall loaded with its unpacked snapshot.
///
/// # Errors
/// As [`faults_of`].
pub fn faults(host: &Host) -> anyhow::Result<Vec<ImageFault>> {
    record(host)?.map_or(Ok(Vec::new()), |index| faults_of(host, &index))
}

/// Compares each image of `index` with its unpacked snapshot. Reads every layer once.
///
/// # Errors
/// When an image's content is gone, or when an image is not unpacked at all. `kinstall run` repairs both.
pub fn faults_of(host: &Host, index: &Index) -> anyhow::Result<Vec<ImageFault>> {
    let mut seen: HashMap<Digest, BTreeMap<PathBuf, Fault>> = HashMap::new();
    let mut all = Vec::new();
    for (image, manifest) in index.manifests()? {
        let layers = layers(host, &manifest).with_context(|| format!("while looking at image {image}"))?;
        for Layer { chain, archive, directory } in layers {
            let faults = match seen.entry(chain) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(
                    open(host, &archive)
                        .and_then(|archive| Ok(layer::compare(archive, &directory)?))
                        .with_context(|| format!("while comparing {} with {image}", directory.display()))?,
                ),
            };
            let faults = faults.iter().map(|(path, fault)| (path.clone(), *fault));
            all.extend(faults.map(|(path, fault)| ImageFault { image: image.clone(), path, fault }));
        }
    }
    Ok(all)
}

/// A layer of an image on this host.
struct Layer {
    /// containerd's name for the snapshot of this layer and all below it.
    chain: Digest,
    /// The compressed or plain tar in containerd's content store.
    archive: String,
    /// The directory that it was unpacked to.
    directory: PathBuf,
}

/// The layers of an image, the lowest first.
fn layers(host: &Host, manifest: &Digest) -> anyhow::Result<Vec<Layer>> {
    let Document::Manifest { config, layers, .. } = parsed(host, manifest, Document::parse)? else {
        bail!("{manifest} is an index");
    };
    let unpacked = parsed(host, &config.digest, config_layers)?;
    ensure!(layers.len() == unpacked.len(), "{} layers, of which the config names another number", layers.len());
    let chains = chains(&unpacked);
    let Some(top) = chains.last() else { return Ok(Vec::new()) };
    let directories = ctr::snapshot_directories(host, top)?;
    ensure!(directories.len() == layers.len(), "{} layers, unpacked to {}", layers.len(), directories.len());
    let layer = |((chain, Blob { digest, .. }), directory): ((Digest, Blob), PathBuf)| Layer {
        chain,
        archive: content(&digest),
        directory,
    };
    Ok(chains.into_iter().zip(layers).zip(directories).map(layer).collect())
}

/// The names of snapshots: each is a digest over the name of the snapshot below and the layer's own digest (image-spec 1.1, "Layer
/// `ChainID`").
fn chains(layers: &[Digest]) -> Vec<Digest> {
    let next = |below: &mut Option<Digest>, layer: &Digest| {
        let chain = below.map_or(*layer, |below| Digest::of(format!("{below} {layer}").as_bytes()));
        *below = Some(chain);
        Some(chain)
    };
    layers.iter().scan(None, next).collect()
}

/// Reads all content that containerd keeps. Returns for each file the digest in its name and the digest of its content.
///
/// # Errors
/// Also when a file's name is not a digest.
pub fn content_digests(host: &Host) -> anyhow::Result<Vec<(Digest, Digest)>> {
    let directory = format!("{CONTAINERD_DIRECTORY}/{CONTENT}");
    let mut found = Vec::new();
    for name in host.names_in(&directory)? {
        let path = format!("{directory}/{name}");
        let kept: Digest =
            format!("sha256:{name}").parse().with_context(|| format!("{path} is not named by a digest"))?;
        // The collector may have removed it in the meantime.
        found.extend(host.digest(&path)?.map(|(read, _)| (kept, read)));
    }
    Ok(found)
}

/// The path of a blob in containerd.
fn content(digest: &Digest) -> String {
    format!("{CONTAINERD_DIRECTORY}/{CONTENT}/{}", digest.hex())
}

fn parsed<T>(host: &Host, digest: &Digest, parse: impl Fn(&[u8]) -> Result<T, String>) -> anyhow::Result<T> {
    let bytes = host.read(&content(digest))?.with_context(|| format!("containerd has no content {digest}"))?;
    parse(&bytes).map_err(|reason| anyhow!("{digest} {reason}"))
}

/// Opens a layer: a tar that is plain or compressed with gzip or zstd, as its first bytes show.
fn open(host: &Host, path: &str) -> anyhow::Result<Box<dyn Read>> {
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, host.open(path)?);
    Ok(match reader.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(reader)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(reader)?),
        _ => Box::new(reader),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: `printf '%s %s' sha256:… sha256:… | sha256sum`, as image-spec has it.
    #[test]
    fn a_snapshot_is_named_by_all_that_is_below() {
        let [a, b] = [b"a", b"b"].map(|layer| Digest::of(layer));
        assert_eq!(chains(&[a, b]), [a, Digest::of(format!("{a} {b}").as_bytes())]);
        assert_eq!(chains(&[]), []);
    }
}
