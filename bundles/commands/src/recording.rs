//! Signed records of audits: the key is read and the name is checked before the audit, and the record is written after it.

use std::path::{Path, PathBuf};

use clap::Args;
use kbundle_format::{KeyId, SigningKey};
use schemars::JsonSchema;
use serde::Serialize;

use crate::arguments::{ForceArgs, PassphraseArgs};
use crate::destination::Existing;
use crate::signing_key::signing_key;
use crate::small_file::SmallFile;

/// A signed record beside what an audit prints.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// Write a signed record of the audit to this file
    ///
    /// It holds every finding, and is written whatever the audit finds.
    #[arg(long, value_name = "FILE", requires = "sign_key")]
    pub record: Option<PathBuf>,
    /// Sign with this private key, ECDSA P-256 or Ed25519 in PEM
    #[arg(long, value_name = "FILE", requires = "record")]
    pub sign_key: Option<PathBuf>,
    /// Whether a file with the name is replaced.
    #[command(flatten)]
    pub force: ForceArgs,
    /// Where the passphrase of the key comes from.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

impl RecordArgs {
    /// Reads the key and checks the name; `None` if no record is wanted.
    ///
    /// # Errors
    /// When the key cannot be used, or the name cannot be written to.
    pub fn prepare(&self) -> anyhow::Result<Option<Recording>> {
        let (Some(path), Some(key)) = (&self.record, &self.sign_key) else { return Ok(None) };
        Recording::prepare(path, key, &self.passphrase, self.force.existing()).map(Some)
    }
}

/// A record that is written once the audit is over.
pub struct Recording {
    key: SigningKey,
    file: SmallFile,
}

/// The record that was written.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Recorded {
    /// Where it lies.
    pub file: String,
    /// The key that signed it.
    pub signer: KeyId,
}

impl Recording {
    /// Reads the key and checks the name.
    pub fn prepare(path: &Path, key: &Path, passphrase: &PassphraseArgs, existing: Existing) -> anyhow::Result<Self> {
        let file = SmallFile::beside_output(path, "the record of an audit", existing)?;
        Ok(Self { key: signing_key(key, passphrase)?, file })
    }

    /// The file of the future record.
    #[must_use]
    pub fn file(&self) -> &SmallFile {
        &self.file
    }

    /// Writes the record that `sign` makes with the key.
    pub fn write(self, sign: impl FnOnce(&SigningKey) -> Vec<u8>) -> anyhow::Result<Recorded> {
        let (file, signer) = (self.file.name().to_owned(), self.key.verifying_key().id());
        self.file.write(&sign(&self.key))?;
        Ok(Recorded { file, signer })
    }
}
