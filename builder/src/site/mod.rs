//! What the site adds to a bundle from its own files: Kubernetes objects, the images that they name, and files for hosts.

mod file;
mod images;
mod local_file;
mod name;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use kbundle_format::host_file::HostPath;
use kbundle_format::{Digest, text_file};
use serde::Deserialize as _;
use serde_json::Value;

pub use file::{FileSettings, SiteFile};
pub use images::{FoundImage, FoundImages, find};
pub use local_file::LocalFile;
pub(crate) use local_file::read_regular;
pub use name::SiteName;

/// Endings of files with Kubernetes objects.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Kubernetes objects of the site that are applied together, as an add-on with a name of the site's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteManifests {
    /// The add-on's name in cluster.yaml.
    pub name: String,
    /// The files, in the order in which they are applied.
    pub files: Vec<LocalFile>,
    /// The images in their objects.
    pub images: FoundImages,
}

/// Why manifests of the site cannot be carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// A file or folder could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Not YAML.
    #[error("{} is not valid YAML", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// serde's words, with line and column.
        source: serde_yaml::Error,
    },
    /// A document that is not a Kubernetes object.
    #[error("document {number} of {} is not a Kubernetes object: it has no {field}", path.display())]
    NoObject {
        /// The file.
        path: PathBuf,
        /// Its place in the file, from 1.
        number: usize,
        /// The missing field, which every object has.
        field: &'static str,
    },
    /// A folder without manifests.
    #[error("folder {} has no file that ends in .yaml, .yml or .json", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// Hosts would get two files at one path.
    #[error("two files go to {path} on the same hosts")]
    SamePath {
        /// The path.
        path: HostPath,
    },
    /// Two files would have the same name in the bundle.
    #[error("manifests {name} have two files called {file}")]
    SameName {
        /// The add-on.
        name: String,
        /// The file name.
        file: String,
    },
}

impl SiteManifests {
    /// Reads the files of `paths`, which are relative to `base`: each is a file, or a folder whose manifests are taken in the order of
    /// their names.
    ///
    /// # Errors
    /// [`SiteError`]: the first file that cannot be read or contains anything but Kubernetes objects.
    pub fn read(base: &Path, name: &str, paths: &[PathBuf]) -> Result<Self, SiteError> {
        let (mut files, mut objects, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
        for path in manifest_files(base, paths)? {
            let whole = base.join(&path);
            objects.extend(read_objects(&whole)?);
            let file = LocalFile::read(base, &path).map_err(|source| SiteError::Read { path: whole, source })?;
            if !names.insert(file.name.clone()) {
                return Err(SiteError::SameName { name: name.to_owned(), file: file.name });
            }
            files.push(file);
        }
        Ok(Self { name: name.to_owned(), files, images: find(&objects) })
    }

    /// A version that changes with the content.
    #[must_use]
    pub fn version(&self) -> String {
        let digests: Vec<_> = self.files.iter().map(|file| file.digest.to_string()).collect();
        Digest::of(digests.concat().as_bytes()).hex()[..12].to_owned()
    }
}

/// The manifests at `paths`, which are files or folders. The results are relative to `base`, like `paths`.
///
/// # Errors
/// [`SiteError::Read`] or [`SiteError::Empty`].
pub fn manifest_files(base: &Path, paths: &[PathBuf]) -> Result<Vec<PathBuf>, SiteError> {
    let mut files = Vec::new();
    for path in paths {
        let whole = base.join(path);
        if !whole.is_dir() {
            files.push(path.clone());
            continue;
        }
        let read = |source| SiteError::Read { path: whole.clone(), source };
        let names: Result<Vec<_>, _> =
            fs::read_dir(&whole).map_err(read)?.map(|entry| entry.map(|entry| entry.file_name())).collect();
        let is_manifest =
            |name: &Path| name.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        let mut inside: Vec<_> = names
            .map_err(read)?
            .iter()
            .map(Path::new)
            .filter(|name| is_manifest(name))
            .map(|name| path.join(name))
            .collect();
        if inside.is_empty() {
            return Err(SiteError::Empty { path: whole });
        }
        inside.sort();
        files.append(&mut inside);
    }
    Ok(files)
}

/// The Kubernetes objects of a file.
///
/// # Errors
/// [`SiteError`].
pub fn read_objects(path: &Path) -> Result<Vec<Value>, SiteError> {
    let text = text_file::read(path).map_err(|source| SiteError::Read { path: path.to_owned(), source })?;
    parse_objects(&text, path)
}

/// The Kubernetes objects of a text that came from `path`.
///
/// # Errors
/// [`SiteError::Syntax`] or [`SiteError::NoObject`].
pub fn parse_objects(text: &str, path: &Path) -> Result<Vec<Value>, SiteError> {
    let mut objects = Vec::new();
    for (number, document) in (1..).zip(serde_yaml::Deserializer::from_str(text)) {
        let object =
            Value::deserialize(document).map_err(|source| SiteError::Syntax { path: path.to_owned(), source })?;
        if object.is_null() {
            continue;
        }
        if let Some(field) = ["apiVersion", "kind"].into_iter().find(|field| !object[field].is_string()) {
            return Err(SiteError::NoObject { path: path.to_owned(), number, field });
        }
        objects.push(object);
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: 'example.org/a:1'}]}\n";

    #[test]
    fn files_and_folders_are_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("app")).unwrap();
        for (name, text) in
            [("app/b.yaml", POD), ("app/a.yml", "---\n---\n"), ("app/README.md", "no"), ("first.yaml", POD)]
        {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let site = SiteManifests::read(folder.path(), "app", &["first.yaml".into(), "app".into()]).unwrap();
        let urls: Vec<_> = site.files.iter().map(|file| file.url.as_str()).collect();
        assert_eq!(urls, ["file:first.yaml", "file:app/a.yml", "file:app/b.yaml"]);
        assert_eq!(site.images.certain.len(), 1);
        let version = site.version();
        fs::write(folder.path().join("app/a.yml"), POD).unwrap();
        let changed = SiteManifests::read(folder.path(), "app", &["first.yaml".into(), "app".into()]).unwrap();
        assert_ne!(changed.version(), version);
    }

    #[test]
    fn what_is_no_object_is_named_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            fs::write(folder.path().join("a.yaml"), text).unwrap();
            SiteManifests::read(folder.path(), "app", &["a.yaml".into()]).unwrap_err().to_string()
        };
        let error = read(&format!("{POD}---\nkind: Pod\n"));
        assert!(error.starts_with("document 2 of ") && error.ends_with("it has no apiVersion"), "{error}");
        assert!(read("kind: [\n").ends_with("is not valid YAML"));
        let missing = SiteManifests::read(folder.path(), "app", &["b.yaml".into()]).unwrap_err();
        assert!(matches!(missing, SiteError::Read { .. }), "{missing}");
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("a.yaml"), POD).unwrap();
        }
        let error = SiteManifests::read(folder.path(), "app", &["one".into(), "two".into()]).unwrap_err();
        assert_eq!(error.to_string(), "manifests app have two files called a.yaml");
    }
}
