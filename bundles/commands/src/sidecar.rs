//! Files beside a bundle that are about it: records of audits, time stamps.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;
use kbundle_cli::arguments::is_standard_input;
use kbundle_cli::{Explained as _, failure};
use kbundle_format::atomic_file::parent;
use kbundle_format::volume::{bundle_path, is_volume};

use crate::arguments::BundleArgs;

/// A kind of file beside a bundle.
#[derive(Clone, Copy, Debug)]
pub struct SidecarKind {
    /// Its name in messages, such as `record of an audit`.
    pub name: &'static str,
    /// Its name in a context where the kind is clear, such as `record`.
    pub short_name: &'static str,
    /// The extension that is added to the bundle's name.
    pub suffix: &'static str,
    /// The option that names another file.
    pub option: &'static str,
    /// The size limit; larger files are refused.
    pub max_bytes: u64,
}

/// A file beside a bundle that is not read yet.
pub struct Sidecar {
    kind: SidecarKind,
    place: Place,
}

enum Place {
    Named(PathBuf),
    /// Beside the bundle; these are the possible paths, in order.
    Beside(Vec<PathBuf>),
}

impl SidecarKind {
    /// The file of this kind at the path `named`, or else beside `bundle`.
    ///
    /// # Errors
    /// When the bundle is on standard input, and no file is named.
    pub fn find(self, named: Option<&Path>, bundle: &BundleArgs) -> anyhow::Result<Sidecar> {
        let place = match named {
            Some(path) => Place::Named(path.to_owned()),
            None if is_standard_input(&bundle.bundle) => {
                return Err(failure::usage(
                    format!("nothing lies beside standard input, so there is no {}", self.name),
                    format!("name the {} with `{} FILE`", self.short_name, self.option),
                ));
            }
            None => Place::Beside(self.beside(bundle)?),
        };
        Ok(Sidecar { kind: self, place })
    }

    /// Its possible paths: beside the file, or in any folder with volumes of the bundle.
    ///
    /// # Errors
    /// When the folders cannot be read, or have volumes of several bundles.
    pub fn beside(self, bundle: &BundleArgs) -> anyhow::Result<Vec<PathBuf>> {
        let path = &bundle.bundle;
        if path.is_file() && !is_volume(path).explained()? {
            return Ok(vec![path.with_added_extension(self.suffix)]);
        }
        let places: Vec<PathBuf> = [path].into_iter().chain(&bundle.volumes.volumes).cloned().collect();
        let named = bundle_path(&places).explained()?.with_added_extension(self.suffix);
        let name = named.file_name().unwrap_or_default();
        let folder = |place: &PathBuf| if place.is_dir() { place.clone() } else { parent(place).to_owned() };
        Ok(places.iter().map(|place| folder(place).join(name)).collect())
    }
}

impl Sidecar {
    /// The path of the file, and its content.
    ///
    /// # Errors
    /// When it does not exist, is too large, or cannot be read.
    pub fn read(&self) -> anyhow::Result<(PathBuf, Vec<u8>)> {
        let SidecarKind { name, short_name, option, .. } = self.kind;
        let reading = || format!("cannot read the {name}");
        let paths = match &self.place {
            Place::Named(path) => return Ok((path.clone(), self.content(path).explained().with_context(reading)?)),
            Place::Beside(paths) => paths,
        };
        for path in paths {
            match self.content(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                read => return Ok((path.clone(), read.with_context(reading)?)),
            }
        }
        let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        Err(failure::refused(
            format!("there is no {name} of the bundle: {} is not there", paths.join(", and ")),
            format!("copy the {short_name} beside the bundle, or name it with `{option} FILE`"),
        ))
    }

    fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(self.kind.max_bytes + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > self.kind.max_bytes {
            let text = format!("{} is too large for the {}", path.display(), self.kind.name);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(bytes)
    }
}
