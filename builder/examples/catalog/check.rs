//! Compares the catalog with the facts, by another way than the import: every pin is looked up in a plain walk over the facts.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use fs_err as fs;
use kbundle::catalog::Catalog;
use serde_yaml::Value;

use crate::facts::Facts;
use crate::import;

/// Every pair of a name and a digest that the facts state, found without knowing their shape.
#[derive(Default)]
struct Stated {
    /// Image reference and digest.
    images: BTreeSet<(String, String)>,
    /// Hex digests of files.
    files: BTreeSet<String>,
}

/// Compares all pins and returns how many there were.
pub fn check(facts: &Path, directory: &Path) -> anyhow::Result<usize> {
    let mut stated = Stated::default();
    for name in ["kubernetes.yaml", "runtime.yaml", "addons.yaml"] {
        let path = facts.join(name);
        let value: Value = serde_yaml::from_str(&fs::read_to_string(&path)?)
            .with_context(|| format!("while reading {}", path.display()))?;
        stated.walk(&value);
    }
    let catalog = Catalog::read(directory)?;
    let files = check_files(&stated, &catalog)?;
    let images = check_images(&stated, &catalog)?;
    ensure!(files > 0 && images > 0, "nothing was compared: {files} files, {images} images");
    check_fresh(facts, directory)?;
    Ok(files + images)
}

impl Stated {
    fn walk(&mut self, value: &Value) {
        match value {
            Value::Mapping(fields) => {
                let text = |name: &str| fields.get(name).and_then(Value::as_str);
                if let (Some(image), Some(tag), Some(digest)) = (text("image"), text("tag"), text("digest")) {
                    self.images.insert((format!("{image}:{tag}"), digest.to_owned()));
                }
                fields.values().for_each(|inner| self.walk(inner));
            }
            Value::Sequence(items) => items.iter().for_each(|inner| self.walk(inner)),
            Value::String(text) if text.len() == 64 => drop(self.files.insert(text.clone())),
            _ => {}
        }
    }
}

fn check_files(stated: &Stated, catalog: &Catalog) -> anyhow::Result<usize> {
    let components = catalog.components.values().flat_map(|family| family.versions.values());
    let programs = components.flat_map(|version| version.platforms.values()).map(|file| (&file.url, file.sha256));
    let addons = catalog.addons.values().flat_map(|addon| addon.versions.values());
    let manifests = addons.flat_map(|version| &version.manifests).map(|file| (&file.url, file.sha256));
    let mut compared = 0;
    for (url, sha256) in programs.chain(manifests) {
        let digest = sha256.with_context(|| format!("{url} is not pinned"))?.0.hex();
        ensure!(stated.files.contains(&digest), "{url} is pinned to {digest}, which the facts do not state");
        compared += 1;
    }
    Ok(compared)
}

fn check_images(stated: &Stated, catalog: &Catalog) -> anyhow::Result<usize> {
    let addons = catalog.addons.values().flat_map(|addon| addon.versions.values());
    let images = catalog.releases.values().flat_map(|release| &release.images);
    let mut compared = 0;
    for image in images.chain(addons.flat_map(|version| &version.images)) {
        let digest = image.digest.with_context(|| format!("{} is not pinned", image.reference))?;
        let pair = (image.reference.to_string(), digest.to_string());
        ensure!(
            stated.images.contains(&pair),
            "{} is pinned to {digest}, which the facts do not state",
            image.reference
        );
        compared += 1;
    }
    Ok(compared)
}

/// A pin could be a stated one and still stand in the wrong place, or be missing: the files have to be what the import makes.
fn check_fresh(facts: &Path, directory: &Path) -> anyhow::Result<()> {
    for (name, text) in import::files(&Facts::read(facts)?)? {
        let path = directory.join(name);
        let present = fs::read_to_string(&path)?;
        if let Some(line) = present.lines().zip(text.lines()).position(|(present, fresh)| present != fresh) {
            bail!("{} differs from the facts in line {}; import it anew", path.display(), line + 1);
        }
        ensure!(present == text, "{} is shorter or longer than the facts make it; import it anew", path.display());
    }
    Ok(())
}
