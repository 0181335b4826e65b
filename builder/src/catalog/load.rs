//! Reads catalog files and merges them into one catalog.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use kbundle_cli::yaml::{self, Findings};
use kbundle_format::{Digest, Source, text_file};
use reqwest::Url;

use super::{Catalog, CatalogFile, SCHEMA, Thing};

/// The files of the built-in catalog, in the order of their names.
const BUILT_IN: [(&str, &str); 3] = [
    ("addons.yaml", include_str!("../../../manifests/catalog/addons.yaml")),
    ("components.yaml", include_str!("../../../manifests/catalog/components.yaml")),
    ("releases.yaml", include_str!("../../../manifests/catalog/releases.yaml")),
];

/// Why a catalog cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// A file or directory could not be read.
    #[error("cannot read catalog {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A directory without catalog files.
    #[error("no *.yaml file in catalog directory {}", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// The file does not have the shape of a catalog.
    #[error("catalog {file} is not valid")]
    Syntax {
        /// The file.
        file: String,
        /// Everything that is wrong, with line and column.
        source: Findings,
    },
    /// A schema this program does not know.
    #[error("catalog {file} has schema {found}, this program knows {SCHEMA}")]
    Schema {
        /// The file.
        file: String,
        /// The schema in the file.
        found: u32,
    },
    /// An address with a user or password in it, which would get into locks and bundles.
    #[error("an address of the catalog holds a user or a password, for host {host}")]
    Secret {
        /// The host of the address.
        host: String,
    },
    /// A catalog gives something another kind than the built-in catalog does.
    #[error("a catalog and the built-in one differ in the kind of {what}")]
    Unlike {
        /// What differs, such as `component containerd`.
        what: String,
    },
    /// Two files define the same thing.
    #[error("catalog {file} gives {what} that another file gave already")]
    Twice {
        /// The second file.
        file: String,
        /// What is defined twice, such as `component containerd 1.6.15`.
        what: String,
    },
}

impl Catalog {
    /// The catalog that this program carries.
    ///
    /// # Errors
    /// None that a released program shows: a test reads it.
    pub fn built_in() -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        let mut all = Vec::new();
        for (name, text) in BUILT_IN {
            catalog.add(name, text)?;
            all.extend_from_slice(text.as_bytes());
        }
        catalog.sources = vec![Source { name: "built-in catalog".to_owned(), digest: Digest::of(&all) }];
        Ok(catalog)
    }

    /// Reads each of `paths`: a file, or every `*.yaml` of a directory in the order of their names.
    ///
    /// # Errors
    /// Any [`CatalogError`].
    pub fn read(paths: &[PathBuf]) -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        let files = paths.iter().map(|path| files(path)).collect::<Result<Vec<_>, _>>()?;
        for file in files.into_iter().flatten() {
            let text = text_file::read(&file).map_err(|source| CatalogError::Read { path: file.clone(), source })?;
            // Only the last part of the path: the list must not depend on the file's folder.
            let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
            catalog.add(&name, &text)?;
            catalog.sources.push(Source { name, digest: Digest::of(text.as_bytes()) });
        }
        let holds_secret = |address: &Url| !address.username().is_empty() || address.password().is_some();
        let secret = catalog.urls().filter_map(|address| Url::parse(address).ok()).find(holds_secret);
        match secret {
            Some(address) => Err(CatalogError::Secret { host: address.host_str().unwrap_or_default().to_owned() }),
            None => Ok(catalog),
        }
    }

    /// This catalog and `other`. If both have the same version of the same thing, `other` wins.
    ///
    /// # Errors
    /// [`CatalogError::Unlike`].
    pub fn with(mut self, other: Self) -> Result<Self, CatalogError> {
        for (name, family) in other.components {
            match self.components.get_mut(&name) {
                Some(known) if known.kind != family.kind => {
                    return Err(CatalogError::Unlike { what: format!("component {name}") });
                }
                Some(known) => {
                    known.roles = family.roles;
                    known.versions.extend(family.versions);
                }
                None => drop(self.components.insert(name, family)),
            }
        }
        for (name, addon) in other.addons {
            match self.addons.get_mut(&name) {
                Some(known) if known.kind != addon.kind => {
                    return Err(CatalogError::Unlike { what: format!("add-on {name}") });
                }
                Some(known) => {
                    known.after.extend(addon.after);
                    known.versions.extend(addon.versions);
                }
                None => drop(self.addons.insert(name, addon)),
            }
        }
        self.releases.extend(other.releases);
        let before = self.sources.len();
        self.origins.extend(other.origins.into_iter().map(|(thing, source)| (thing, before + source)));
        self.sources.extend(other.sources);
        Ok(self)
    }

    /// Adds the content of a file. The caller adds the file to the sources.
    fn add(&mut self, name: &str, text: &str) -> Result<(), CatalogError> {
        let file: CatalogFile =
            yaml::read(text).map_err(|source| CatalogError::Syntax { file: name.to_owned(), source })?;
        if file.schema != SCHEMA {
            return Err(CatalogError::Schema { file: name.to_owned(), found: file.schema });
        }
        let source = self.sources.len();
        self.origins.extend(things(&file).map(|thing| (thing, source)));
        let twice = |what: String| CatalogError::Twice { file: name.to_owned(), what };
        merge(&mut self.components, file.components, |known, family| {
            if known.kind != family.kind || known.roles != family.roles {
                return Err("(with another kind or other roles)".to_owned());
            }
            join(&mut known.versions, family.versions)
        })
        .map_err(|what| twice(format!("component {what}")))?;
        merge(&mut self.addons, file.addons, |known, addon| {
            known.after.extend(addon.after);
            join(&mut known.versions, addon.versions)
        })
        .map_err(|what| twice(format!("add-on {what}")))?;
        join(&mut self.releases, file.releases).map_err(|what| twice(format!("release {what}")))
    }
}

fn things(file: &CatalogFile) -> impl Iterator<Item = Thing> {
    let components = file.components.iter().flat_map(|(name, family)| {
        family.versions.keys().map(|version| Thing::Component(name.clone(), version.clone()))
    });
    let addons = file
        .addons
        .iter()
        .flat_map(|(name, addon)| addon.versions.keys().map(|version| Thing::Addon(name.clone(), version.clone())));
    components.chain(addons).chain(file.releases.keys().copied().map(Thing::Release))
}

fn files(path: &Path) -> Result<Vec<PathBuf>, CatalogError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let read = |source| CatalogError::Read { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(read)? {
        let file = entry.map_err(read)?.path();
        if file.extension().is_some_and(|extension| extension == "yaml") {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() { Err(CatalogError::Empty { path: path.to_owned() }) } else { Ok(files) }
}

/// Adds what `known` lacks; for a key that both have, `both` joins the values. The error names what was there twice.
fn merge<V>(
    known: &mut BTreeMap<String, V>,
    more: BTreeMap<String, V>,
    both: impl Fn(&mut V, V) -> Result<(), String>,
) -> Result<(), String> {
    for (key, value) in more {
        match known.get_mut(&key) {
            Some(present) => both(present, value).map_err(|version| format!("{key} {version}"))?,
            None => drop(known.insert(key, value)),
        }
    }
    Ok(())
}

/// Adds all of `more`; the error names the first key that `known` has already.
fn join<K: Ord + ToString, V>(known: &mut BTreeMap<K, V>, more: BTreeMap<K, V>) -> Result<(), String> {
    for (key, value) in more {
        if known.contains_key(&key) {
            return Err(key.to_string());
        }
        known.insert(key, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNC: &str = "
schema: 1
components:
  runc:
    kind: binary
    roles: [worker]
    versions:
      1.1.4:
        platforms:
          linux/amd64: {url: 'https://example.org/runc.amd64'}
";

    #[test]
    fn versions_of_one_component_may_come_from_two_files_but_not_twice() {
        let mut catalog = Catalog::default();
        catalog.add("a.yaml", RUNC).unwrap();
        catalog.add("b.yaml", &RUNC.replace("1.1.4", "1.1.12")).unwrap();
        assert_eq!(catalog.components["runc"].versions.len(), 2);
        let error = catalog.add("c.yaml", RUNC).unwrap_err();
        insta::assert_snapshot!(error, @"catalog c.yaml gives component runc 1.1.4 that another file gave already");
    }

    #[test]
    fn an_address_with_a_password_is_refused_and_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("catalog.yaml");
        fs::write(&path, RUNC.replace("https://", "https://user:secret@")).unwrap();
        let error = Catalog::read(&[path]).unwrap_err();
        insta::assert_snapshot!(error, @"an address of the catalog holds a user or a password, for host example.org");
    }

    #[test]
    fn a_named_catalog_adds_to_the_built_in_one_and_wins_over_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.yaml");
        fs::write(&path, RUNC.replace("1.1.4:", "1.1.12:")).unwrap();
        let named = Catalog::read(&[path]).unwrap();
        let catalog = Catalog::built_in().unwrap().with(named).unwrap();
        assert!(catalog.releases.contains_key(&"1.25.2".parse().unwrap()));
        assert_eq!(catalog.sources.len(), 2);
        let runc = &catalog.components["runc"].versions["1.1.12"].platforms.values().next().unwrap();
        assert_eq!(runc.url, "https://example.org/runc.amd64");
    }

    #[test]
    fn a_named_catalog_of_another_kind_is_refused() {
        let mut other = Catalog::default();
        other.add("site.yaml", &RUNC.replace("binary", "archive")).unwrap();
        let error = Catalog::built_in().unwrap().with(other).unwrap_err();
        insta::assert_snapshot!(error, @"a catalog and the built-in one differ in the kind of component runc");
    }

    #[test]
    fn unknown_fields_are_named_with_their_line() {
        let error = Catalog::default().add("a.yaml", &RUNC.replace("kind:", "knd:")).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("unknown field `knd`") && source.contains("line 5"), "{source}");
    }

    #[test]
    fn a_later_schema_is_refused() {
        let error = Catalog::default().add("a.yaml", "schema: 2").unwrap_err();
        assert!(matches!(error, CatalogError::Schema { found: 2, .. }), "{error}");
    }

    #[test]
    fn the_built_in_catalog_reads() {
        let catalog = Catalog::built_in().unwrap();
        assert!(catalog.releases.contains_key(&"1.25.2".parse().unwrap()));
    }
}
