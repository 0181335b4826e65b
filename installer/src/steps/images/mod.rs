//! Images: streamed out of the bundle into containerd, without a copy on the way, and protected there.
//!
//! Nobody on a site can pull a deleted image again, so each image is protected twice. It has the label by which containerd since 1.7 tells
//! the kubelet that it is pinned. And its index and manifest are roots for containerd's garbage collector: if the image is removed all the
//! same (older containerd; an administrator), its content and its unpacked snapshots stay, and [`restore`] needs to restore only the names.
//! Neither stores anything twice.

mod archive;
pub mod ctr;
mod layer;
#[cfg(test)]
mod real;
pub mod unpacked;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::{Context as _, anyhow};
use kbundle_format::{BundleList, Digest, Image, Platform};

use super::{Check, Context, Step, needed};
use crate::failure::Advise as _;
use crate::host::{Host, HostError};
use crate::inputs::Inputs;
use crate::kubeadm::images::of_platform;
use archive::{ImageArchive, Index};
use ctr::Importer;

/// The images that this host should have, as an OCI image index.
pub const INDEX_PATH: &str = "/var/lib/kinstall/images.json";

/// Holds containerd's content and snapshots.
const CONTAINERD_DIRECTORY: &str = "/var/lib/containerd";

/// Loads the images into containerd.
pub struct Images;

impl Step for Images {
    fn id(&self) -> &'static str {
        "images"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        format!("load {} images into containerd", wanted(inputs).count())
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.topology.this().is_node()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let present = ctr::images(&context.host)?;
        let kept = ctr::kept_content(&context.host)?;
        let mut lacking = Vec::new();
        for image in wanted(context) {
            let names = names(context.list, image)?;
            if !names.iter().all(|(name, target)| present.has(name, target) && kept.contains(target)) {
                lacking.push(image.reference.to_string());
            }
        }
        if !lacking.is_empty() {
            return needed(format!("not loaded: {}", lacking.join(", ")));
        }
        if !context.host.has_file(INDEX_PATH, &index(context)?.to_bytes(), 0o644)? {
            return needed("the record of images is not in place");
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let index = index(context)?;
        let importer = Importer::find(&context.host, &context.facts.platform)?;
        put_back(&context.host, &importer, &index)?;
        let present = ctr::images(&context.host)?;
        if record(&context.host)?.as_ref() != Some(&index) {
            refuse_half_made(&context.host, &index.only(|name, target| present.has(name, target)))?;
        }
        let count = wanted(context).count();
        let mut sent = HashSet::new();
        for (number, image) in wanted(context).enumerate() {
            context.progress.detail(&format!("image {} of {count}: {}", number + 1, image.reference));
            let names = names(context.list, image)?;
            if !names.iter().all(|(name, target)| present.has(name, target)) {
                let archive = ImageArchive::open(context.bundle, image)?;
                importer
                    .import(&context.host, &mut |stdin| archive.write(stdin, &mut sent))
                    .with_context(|| format!("while loading {}", image.reference))?;
            }
            keep(&context.host, &names)?;
        }
        flush(&context.host)?;
        // Last: everything that it names is on the disk by now.
        context.host.write_file(INDEX_PATH, &index.to_bytes(), 0o644)?;
        Ok(())
    }
}

/// Makes the kernel write out the file system of the images. containerd records a snapshot as made, and waits until that record is on the
/// disk, while the snapshot's files may still be only in memory: after a power cut they would be empty or gone.
fn flush(host: &Host) -> Result<(), HostError> {
    host.sync_file_system(CONTAINERD_DIRECTORY)
}

/// Refuses images that an incomplete run left in containerd without all of their files.
fn refuse_half_made(host: &Host, present: &Index) -> anyhow::Result<()> {
    match unpacked::faults_of(host, present)?.first() {
        None => Ok(()),
        Some(fault) => Err(anyhow!("an image that is counted as unpacked is not whole: {fault}"))
            .hint("the host lost power while images were loaded: `kinstall reset`, then `kinstall run` again"),
    }
}

/// Protects an image; `names` are its names and what they refer to.
fn keep(host: &Host, names: &BTreeMap<String, Digest>) -> anyhow::Result<()> {
    let has_tag = |name: &&String| !name.contains('@');
    let tagged: Vec<_> = names.keys().filter(has_tag).collect();
    // An image that has no tag is pinned by its digests.
    for name in if tagged.is_empty() { names.keys().collect() } else { tagged } {
        ctr::pin(host, name)?;
    }
    for target in names.values().collect::<BTreeSet<_>>() {
        ctr::keep_content(host, target)?;
    }
    Ok(())
}

/// The images for this host's platform and roles.
fn wanted<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = &'a Image> + use<'a> {
    let roles = &inputs.topology.this().roles;
    of_platform(inputs.list, &inputs.facts.platform).filter(move |image| !image.roles.is_disjoint(roles))
}

/// All names that a pod may use for the image, each with its index or manifest.
fn names(list: &BundleList, image: &Image) -> anyhow::Result<BTreeMap<String, Digest>> {
    archive::descriptors(list, image)?.into_iter().collect::<Index>().names()
}

/// The names of all images that the bundle has for this host's platform, whatever their roles, each with its index or manifest.
pub fn approved(inputs: &Inputs<'_>) -> anyhow::Result<BTreeMap<String, Digest>> {
    let images = of_platform(inputs.list, &inputs.facts.platform);
    let names = images.map(|image| names(inputs.list, image)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(names.into_iter().flatten().collect())
}

fn index(inputs: &Inputs<'_>) -> anyhow::Result<Index> {
    let descriptors = wanted(inputs).map(|image| archive::descriptors(inputs.list, image));
    Ok(descriptors.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// The result of [`restore`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Names that were put back.
    pub put_back: Vec<String>,
    /// Names whose content is gone as well; it has to be loaded from the bundle again.
    pub lost: Vec<String>,
}

/// The images that kinstall loaded on this host; `None` if it has loaded none.
pub fn record(host: &Host) -> anyhow::Result<Option<Index>> {
    let Some(bytes) = host.read(INDEX_PATH)? else { return Ok(None) };
    serde_json::from_slice(&bytes).with_context(|| format!("while reading {INDEX_PATH}"))
}

/// Restores the names of images that were removed.
pub fn restore(host: &Host) -> anyhow::Result<Restored> {
    let index = record(host)?.context("no images were loaded on this host by kinstall")?;
    // Images that were loaded on this host are for its platform.
    put_back(host, &Importer::find(host, &Platform::of_this_program())?, &index)
}

fn put_back(host: &Host, importer: &Importer, index: &Index) -> anyhow::Result<Restored> {
    let names = ctr::names(host)?;
    let missing = index.only(|name, _| !names.contains(name));
    if missing.is_empty() {
        return Ok(Restored::default());
    }
    let (kept, lost) = missing.partition(&ctr::kept_content(host)?);
    let names = kept.names()?;
    if !kept.is_empty() {
        importer
            .import(host, &mut |stdin| archive::write_index(stdin, &kept))
            .context("while putting back names of images")?;
    }
    keep(host, &names)?;
    Ok(Restored { put_back: names.into_keys().collect(), lost: lost.names()?.into_keys().collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_host_loads_the_images_of_its_own_platform_alone() {
        let mut list = fixture::list("1.25.2");
        let arm64: Platform = "linux/arm64".parse().unwrap();
        let others: Vec<_> =
            list.images.iter().map(|image| Image { platform: arm64.clone(), ..image.clone() }).collect();
        let (count, names) = (list.images.len(), |images: &[Image]| -> Vec<_> {
            images.iter().map(|image| (image.reference.clone(), image.platform.clone())).collect()
        });
        list.images.extend(others);
        let (spec, topology) = (crate::config::ClusterSpec::default(), fixture::topology());
        for (platform, expected) in [(fixture::platform(), &list.images[..count]), (arm64, &list.images[count..])] {
            let facts = crate::facts::HostFacts { platform, ..fixture::facts() };
            let inputs = Inputs { spec: &spec, facts: &facts, list: &list, topology: &topology };
            let loaded: Vec<_> = wanted(&inputs).cloned().collect();
            assert_eq!(names(&loaded), names(expected));
        }
    }
}
