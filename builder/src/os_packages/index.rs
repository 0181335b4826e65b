//! The packages of suites, by name.

use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::sync::Arc;

use deb822_fast::{Paragraph, ParagraphReader};
use debian_control::lossy::{Relation, Relations};
use debversion::Version;
use flate2::read::MultiGzDecoder;
use kbundle_format::Digest;
use lzma_rust2::XzReader;

use super::release::Compression;

/// Most bytes of an unpacked index; Debian's main has about 60 MB.
const MAX_INDEX_BYTES: u64 = 1 << 30;
/// Most memory to unpack with, in KiB; `xz -9` needs 64 MiB.
const MAX_XZ_MEMORY_KIB: u32 = 128 << 10;

/// A package in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Debian's name of its architecture; `all` if it suits every one.
    pub architecture: String,
    /// The address of its archive, without a slash at its end.
    pub mirror: Arc<str>,
    /// The path of its file below the archive.
    pub file: String,
    /// The digest of the file.
    pub digest: Digest,
    /// The size of the file in bytes.
    pub size: u64,
    /// Whether every host has it because of its priority.
    pub is_base: bool,
    /// Its dependencies, field by field, in the form of deb-control(5).
    pub needs: Vec<String>,
    /// Packages that must not be installed with it.
    pub excludes: Vec<String>,
    /// Other names that it provides.
    provides: Option<String>,
}

/// The newest package of each name, in one architecture.
#[derive(Clone, Debug, Default)]
pub struct Index {
    packages: HashMap<String, Package>,
    /// The packages that provide a name, sorted.
    providers: HashMap<String, Vec<String>>,
}

impl Index {
    /// Adds the packages in an index of the archive at `mirror`.
    ///
    /// # Errors
    /// What is wrong with the index.
    pub fn add(&mut self, mirror: &Arc<str>, packed: impl Read, compression: Compression) -> Result<(), String> {
        let reader: Box<dyn Read> = match compression {
            Compression::Xz => Box::new(XzReader::new_mem_limit(packed, true, MAX_XZ_MEMORY_KIB)),
            Compression::Gzip => Box::new(MultiGzDecoder::new(packed)),
        };
        for paragraph in ParagraphReader::new(BufReader::new(reader.take(MAX_INDEX_BYTES))) {
            let package = Package::of(mirror, &paragraph.map_err(|error| error.to_string())?)?;
            let known = self.packages.get(&package.name);
            if known.is_none_or(|known| known.version < package.version) {
                self.packages.insert(package.name.clone(), package);
            }
        }
        Ok(())
    }

    /// Records which packages provide other names. Call it after all packages were added.
    ///
    /// # Errors
    /// A field that cannot be read.
    pub fn link(&mut self) -> Result<(), String> {
        for package in self.packages.values() {
            for (name, _) in package.provided().map_err(|reason| format!("{}: {reason}", package.name))? {
                self.providers.entry(name).or_default().push(package.name.clone());
            }
        }
        self.providers.values_mut().for_each(|names| names.sort());
        Ok(())
    }

    /// The package of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Package> {
        self.packages.get(name)
    }

    /// All packages.
    pub fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.values()
    }

    /// Packages that provide `name`, sorted.
    pub fn providers(&self, name: &str) -> impl Iterator<Item = &Package> {
        let names = self.providers.get(name).into_iter().flatten();
        names.filter_map(|name| self.packages.get(name))
    }
}

impl Package {
    fn of(mirror: &Arc<str>, fields: &Paragraph) -> Result<Self, String> {
        let name = fields.get("Package").ok_or("a package has no name")?.to_owned();
        let field = |key: &str| fields.get(key).ok_or_else(|| format!("{name} has no field {key}"));
        let wrong = |key: &str| format!("{name} has a field {key} that cannot be read");
        let texts = |keys: &[&str]| keys.iter().filter_map(|key| fields.get(key)).map(unfolded).collect::<Vec<_>>();
        let priority = fields.get("Priority").unwrap_or_default();
        let is_yes = |key: &str| fields.get(key).is_some_and(|value| value == "yes");
        Ok(Self {
            version: field("Version")?.parse().map_err(|_| wrong("Version"))?,
            architecture: field("Architecture")?.to_owned(),
            mirror: Arc::clone(mirror),
            file: field("Filename")?.to_owned(),
            digest: Digest::from_hex(field("SHA256")?).map_err(|_| wrong("SHA256"))?,
            size: field("Size")?.parse().map_err(|_| wrong("Size"))?,
            is_base: is_yes("Essential") || ["required", "important"].contains(&priority),
            needs: texts(&["Pre-Depends", "Depends"]),
            excludes: texts(&["Conflicts", "Breaks"]),
            provides: fields.get("Provides").map(unfolded),
            name,
        })
    }

    /// The names that it provides, with versions if it states them.
    pub(super) fn provided(&self) -> Result<Vec<(String, Option<Version>)>, String> {
        let Some(text) = &self.provides else { return Ok(Vec::new()) };
        let groups = relations(text)?;
        Ok(groups
            .into_iter()
            .flatten()
            .map(|relation| (relation.name, relation.version.map(|(_, version)| version)))
            .collect())
    }
}

/// The alternatives of each relation in a field.
pub(super) fn relations(field: &str) -> Result<Vec<Vec<Relation>>, String> {
    let parsed: Result<Relations, _> = field.parse();
    parsed.map(|relations| relations.0).map_err(|error| format!("it has the relation `{field}`: {error}"))
}

/// A field on one line.
fn unfolded(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}
