//! Images: streamed out of the bundle into containerd, with nothing stored on the way, and kept there.
//!
//! Nobody on a site can pull again what is deleted, so each image is guarded twice. It bears the label by which containerd
//! since 1.7 tells the kubelet that it is pinned. And its manifest's content is marked as a root for containerd's
//! collector: should the image be removed all the same (older containerd; an administrator), manifest, config, layers and
//! unpacked snapshots stay, and [`restore`] needs to put back no more than the name. Neither stores anything twice.

mod archive;
pub mod ctr;

use std::collections::HashSet;

use anyhow::Context as _;
use kbundle_format::{Image, ImageRef};

use super::{Check, Context, Inputs, Step, needed};
use crate::host::Host;
use crate::kubeadm::images::of_platform;
use archive::ImageArchive;
pub use archive::Index;

/// The images that this host should have, as an OCI image index.
pub const INDEX_PATH: &str = "/var/lib/kinstall/images.json";

/// See the module.
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
        let lacking = wanted(context).filter(|image| !present.has(image) || !kept.contains(&image.manifest));
        let names: Vec<_> = lacking.map(|image| image.reference.to_string()).collect();
        if !names.is_empty() {
            return needed(format!("not loaded: {}", names.join(", ")));
        }
        if !context.host.has_file(INDEX_PATH, &index(context)?.to_bytes(), 0o644)? {
            return needed("the record of images is not in place");
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let index = index(context)?;
        context.host.write_file(INDEX_PATH, &index.to_bytes(), 0o644)?;
        put_back(&context.host, &index)?;
        let present = ctr::images(&context.host)?;
        let count = wanted(context).count();
        let mut sent = HashSet::new();
        for (number, image) in wanted(context).enumerate() {
            context.progress.detail(&format!("image {} of {count}: {}", number + 1, image.reference));
            if !present.has(image) {
                let archive = ImageArchive::open(context.bundle, image)?;
                ctr::import(&context.host, &mut |stdin| archive.write(stdin, &mut sent))
                    .with_context(|| format!("while loading {}", image.reference))?;
            }
            ctr::keep(&context.host, &image.reference, &image.manifest)?;
        }
        Ok(())
    }
}

/// The images for this host's platform and roles.
fn wanted<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = &'a Image> + use<'a> {
    let roles = &inputs.topology.this().roles;
    of_platform(inputs.list, &inputs.facts.platform).filter(move |image| !image.roles.is_disjoint(roles))
}

fn index(inputs: &Inputs<'_>) -> anyhow::Result<Index> {
    wanted(inputs).map(|image| archive::descriptor(inputs.list, image)).collect()
}

/// What [`restore`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Images that were put back.
    pub put_back: Vec<ImageRef>,
    /// Images whose content is gone as well; they have to be loaded from the bundle again.
    pub lost: Vec<ImageRef>,
}

/// Puts back the names of images that were removed.
pub fn restore(host: &Host) -> anyhow::Result<Restored> {
    let bytes = host.read(INDEX_PATH)?.context("no images were loaded on this host by kinstall")?;
    let index: Index = serde_json::from_slice(&bytes).with_context(|| format!("while reading {INDEX_PATH}"))?;
    put_back(host, &index)
}

fn put_back(host: &Host, index: &Index) -> anyhow::Result<Restored> {
    let missing = index.without_names(&ctr::names(host)?);
    if missing.is_empty() {
        return Ok(Restored::default());
    }
    let (kept, lost) = missing.partition(&ctr::kept_content(host)?);
    let images = kept.images()?;
    if !kept.is_empty() {
        ctr::import(host, &mut |stdin| archive::write_index(stdin, &kept))
            .context("while putting back names of images")?;
    }
    for (reference, manifest) in &images {
        ctr::keep(host, reference, manifest)?;
    }
    Ok(Restored { put_back: images.into_keys().collect(), lost: lost.images()?.into_keys().collect() })
}
