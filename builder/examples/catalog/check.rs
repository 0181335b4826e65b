//! Compares the catalog with the facts in another way than the import does: every pin is looked up by a plain walk over the facts.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use fs_err as fs;
use kbundle::catalog::Catalog;
use serde_yaml::Value;

use crate::facts::Facts;
use crate::import;

/// What the facts state, found without knowledge of their structure.
#[derive(Default)]
struct Stated {
    /// Image references, each with a digest that the facts state, or with none.
    images: BTreeSet<(String, Option<String>)>,
    /// Hex digests of files, and addresses of files without a digest.
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
    let catalog = Catalog::read(&[directory.to_owned()])?;
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
                if let Some(image) = text("image") {
                    // A name without a tag means this tag.
                    let tag = text("tag").unwrap_or("latest");
                    self.images.insert((format!("{image}:{tag}"), text("digest").map(str::to_owned)));
                }
                fields.values().for_each(|inner| self.walk(inner));
            }
            Value::Sequence(items) => items.iter().for_each(|inner| self.walk(inner)),
            Value::String(text) if text.len() == 64 || text.starts_with("https://") => {
                self.files.insert(text.clone());
            }
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
        // A file without a digest has to be fetched from the address in the facts.
        let stated_as = sha256.map_or_else(|| url.clone(), |sha256| sha256.0.hex());
        ensure!(stated.files.contains(&stated_as), "{url}: the facts do not state {stated_as}");
        compared += 1;
    }
    Ok(compared)
}

fn check_images(stated: &Stated, catalog: &Catalog) -> anyhow::Result<usize> {
    let addons = catalog.addons.values().flat_map(|addon| addon.versions.values());
    let images = catalog.releases.values().flat_map(|release| &release.images);
    let mut compared = 0;
    for image in images.chain(addons.flat_map(|version| &version.images)) {
        let pair = (image.reference.to_string(), image.digest.map(|digest| digest.to_string()));
        ensure!(stated.images.contains(&pair), "the facts do not state {} with {:?}", pair.0, pair.1);
        let is_pinned = stated.images.iter().any(|(reference, digest)| *reference == pair.0 && digest.is_some());
        ensure!(image.digest.is_some() || !is_pinned, "{} lost the digest that the facts state", pair.0);
        compared += 1;
    }
    Ok(compared)
}

/// A pin could be one of the facts and still be in the wrong place, or be missing: the files have to be the ones that the import makes.
fn check_fresh(facts: &Path, directory: &Path) -> anyhow::Result<()> {
    for (name, text) in import::files(&Facts::read(facts)?)? {
        let path = directory.join(name);
        let present = fs::read_to_string(&path)?;
        if let Some(line) = present.lines().zip(text.lines()).position(|(present, fresh)| present != fresh) {
            bail!("{} differs from the facts in line {}; import it again", path.display(), line + 1);
        }
        ensure!(present == text, "{} is shorter or longer than the facts make it; import it again", path.display());
    }
    Ok(())
}
