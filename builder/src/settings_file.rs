//! A YAML file of a user that begins with its schema number, such as bundle.yaml and policy.yaml.

use std::io;
use std::path::{Path, PathBuf};

use kbundle_cli::yaml::{self, Findings};
use kbundle_format::text_file;
use serde::de::DeserializeOwned;

/// The content of such a file.
pub trait Settings: DeserializeOwned {
    /// The schema that this program knows.
    const SCHEMA: u32;

    /// The schema that the file names.
    fn schema(&self) -> u32;
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsFileError {
    /// It could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file does not have the right shape.
    #[error("{} is not valid", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong, with line and column.
        source: Findings,
    },
    /// A schema that this program does not know.
    #[error("{} has schema {found}, this program knows {known}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema in the file.
        found: u32,
        /// The schema that this program knows.
        known: u32,
    },
}

/// The text of a file.
///
/// # Errors
/// [`SettingsFileError::Read`].
pub fn text(path: &Path) -> Result<String, SettingsFileError> {
    text_file::read(path).map_err(|source| SettingsFileError::Read { path: path.to_owned(), source })
}

/// Parses a text that came from `path`.
///
/// # Errors
/// [`SettingsFileError::Syntax`] or [`SettingsFileError::Schema`].
pub fn parse<T: Settings>(text: &str, path: &Path) -> Result<T, SettingsFileError> {
    let path = path.to_owned();
    let settings: T = match yaml::read(text) {
        Ok(settings) => settings,
        Err(source) => return Err(SettingsFileError::Syntax { path, source }),
    };
    match settings.schema() {
        found if found != T::SCHEMA => Err(SettingsFileError::Schema { path, found, known: T::SCHEMA }),
        _ => Ok(settings),
    }
}
