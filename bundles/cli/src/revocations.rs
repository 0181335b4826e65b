//! Lists of revocations that a user names.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;
use kbundle_format::limits::MAX_REVOCATIONS_BYTES;
use kbundle_format::{KeyId, Moment, Revocations, VerifyingKey};
use schemars::JsonSchema;
use serde::Serialize;

use crate::failure::Explained as _;

/// A list of revocations that was read, and its signers.
#[derive(Clone, Debug)]
pub struct RevocationsFile {
    /// The file.
    pub file: String,
    /// The content of the list.
    pub revocations: Revocations,
    /// The trusted keys that signed it.
    pub signers: Vec<KeyId>,
}

/// A list of revocations that was applied, as reports show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppliedRevocations {
    /// The file.
    pub file: String,
    /// Its number, which grows with each change.
    pub number: u64,
    /// The time of its last change.
    pub time: Moment,
    /// The trusted keys that signed it.
    pub signers: Vec<KeyId>,
    /// How many keys it revokes.
    pub keys: usize,
    /// How many bundles it revokes.
    pub bundles: usize,
}

impl RevocationsFile {
    /// Reads a file that one of `trusted` has to have signed.
    ///
    /// # Errors
    /// When the file does not exist: usage. When it is not such a list, or no trusted key signed it: refused.
    pub fn read(path: &Path, trusted: &[VerifyingKey]) -> anyhow::Result<Self> {
        let bytes = content(path).explained().context("cannot read a list of revocations")?;
        let file = path.display().to_string();
        let (revocations, signers) = Revocations::read(&file, &bytes, trusted).explained()?;
        Ok(Self { file, revocations, signers })
    }

    /// Reads each of `paths`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_all(paths: &[PathBuf], trusted: &[VerifyingKey]) -> anyhow::Result<Vec<Self>> {
        paths.iter().map(|path| Self::read(path, trusted)).collect()
    }

    /// The form in reports.
    #[must_use]
    pub fn applied(&self) -> AppliedRevocations {
        let Revocations { number, time, keys, bundles, .. } = &self.revocations;
        AppliedRevocations {
            file: self.file.clone(),
            number: *number,
            time: *time,
            signers: self.signers.clone(),
            keys: keys.len(),
            bundles: bundles.len(),
        }
    }
}

/// The bytes of a file; if it is too large, enough bytes to see that.
fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_REVOCATIONS_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl std::fmt::Display for AppliedRevocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, number, time, keys, bundles, .. } = self;
        write!(f, "{file}, number {number} of {time}: keys {keys}, bundles {bundles}")
    }
}
