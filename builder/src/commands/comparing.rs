//! Two bundles to compare: what is read from each.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use kbundle::diff::{Difference, ImageSettings, Side, Topic, compare};
use kbundle_cli::output;
use kbundle_commands::input::{Asked, Input};
use kbundle_format::oci::Document;
use kbundle_format::{Digest, Entry, EntryPath, IndexedBundle, KeyId, KubeVersion};
use kbundle_sbom::{Bom, CYCLONEDX_PATH};
use schemars::JsonSchema;
use serde::Serialize;

use super::sbom;

/// A bundle that was opened.
pub struct Opened {
    pub input: Input,
    pub bundle: IndexedBundle,
    /// Its packages, if they were read before.
    pub bom: Option<Bom>,
}

/// Which bundle it is.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    pub bundle: String,
    pub kubernetes_version: KubeVersion,
    pub list_digest: Digest,
}

impl Opened {
    /// Verifies the signatures. Of its content, only what is compared is read.
    pub fn open(path: &Path, asked: &Asked) -> anyhow::Result<Self> {
        let input = Input::find_file(path)?;
        let bundle = input.open_indexed(asked.check())?;
        Ok(Self { input, bundle, bom: None })
    }

    pub fn compared(&self) -> Compared {
        Compared {
            bundle: self.input.name.clone(),
            kubernetes_version: self.bundle.list().kubernetes_version,
            list_digest: Digest::of(&self.bundle.head().list_bytes),
        }
    }

    fn bom(&self) -> anyhow::Result<Bom> {
        let Self { input, bundle, bom } = self;
        if let Some(bom) = bom {
            Ok(bom.clone())
        } else if let Some(bytes) = sbom::carried(input, bundle, CYCLONEDX_PATH)? {
            Bom::parse(&bytes).with_context(|| format!("cannot read {CYCLONEDX_PATH} of {}", input.name))
        } else {
            output::note(&format!("{} carries no list of packages; making it from its content", input.name))?;
            sbom::computed(input, bundle)
        }
    }
}

/// The differences of `new` from `old`.
pub fn differences(old: &Opened, new: &Opened, topics: &[Topic]) -> anyhow::Result<Vec<Difference>> {
    Ok(compare(&side(old, new, topics)?, &side(new, old, topics)?, topics))
}

/// The parts of a bundle that the topics need. A differential bundle leaves out what the `other` has.
fn side<'a>(opened: &'a Opened, other: &Opened, topics: &[Topic]) -> anyhow::Result<Side<'a>> {
    let bundle = &opened.bundle;
    let asks = |wanted: &[Topic]| topics.iter().any(|topic| wanted.contains(topic));
    let bom = if asks(&[Topic::Packages, Topic::Licences]) { Some(opened.bom()?) } else { None };
    let mut images = BTreeMap::new();
    if asks(&[Topic::Images, Topic::Settings]) {
        for image in &bundle.list().images {
            images.insert(image.manifest, settings(opened, other, &image.manifest)?);
        }
    }
    let signers = bundle
        .head()
        .signatures
        .iter()
        .filter_map(|file| file.name.as_str().strip_suffix(".sig")?.parse::<KeyId>().ok());
    Ok(Side { list: bundle.list(), signers: signers.collect(), bom, images })
}

fn settings(opened: &Opened, other: &Opened, manifest: &Digest) -> anyhow::Result<ImageSettings> {
    let parsed = Document::parse(&blob(opened, other, manifest)?);
    let Ok(Document::Manifest { config, layers, .. }) = parsed else {
        return Err(anyhow!("{} has an image whose manifest {manifest} is not an image manifest", opened.input.name));
    };
    let layers = layers.into_iter().map(|layer| layer.digest).collect();
    Ok(ImageSettings::of(layers, &blob(opened, other, &config.digest)?))
}

/// A small blob of a bundle, from the bundle itself or from the other one.
fn blob(opened: &Opened, other: &Opened, digest: &Digest) -> anyhow::Result<Vec<u8>> {
    let path = EntryPath::blob(digest);
    let entry_of = |bundle: &IndexedBundle| -> Option<Entry> {
        bundle.list().entry(path.as_str()).filter(|entry| bundle.carries(entry)).cloned()
    };
    for Opened { input, bundle, .. } in [opened, other] {
        if let Some(entry) = entry_of(bundle) {
            return bundle.read_entry(&entry).map_err(|error| input.refusal(error));
        }
    }
    Err(anyhow!("{} does not carry {path}, and neither does {}", opened.input.name, other.input.name))
}
