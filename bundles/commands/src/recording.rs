//! Signed records of audits: the key is read and the name looked at before the audit, and the record is written after it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use kbundle_cli::Explained as _;
use kbundle_format::{KeyId, SigningKey};
use schemars::JsonSchema;
use serde::Serialize;

use crate::arguments::{ForceArgs, PassphraseArgs};
use crate::destination::{Destination, Existing, refuse_stdout};
use crate::interrupt::{Interrupt, interrupted, nothing_written};
use crate::signing_key::signing_key;

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
    /// Reads the key and looks at the name; `None` if no record is asked for.
    ///
    /// # Errors
    /// A key that cannot be used, and a name that cannot be written to.
    pub fn prepare(&self) -> anyhow::Result<Option<Recording>> {
        let (Some(path), Some(key)) = (&self.record, &self.sign_key) else { return Ok(None) };
        Recording::prepare(path, key, &self.passphrase, self.force.existing()).map(Some)
    }
}

/// A record that is written once the audit is over.
pub struct Recording {
    path: PathBuf,
    key: SigningKey,
    destination: Destination,
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
    /// Reads the key and looks at the name.
    pub fn prepare(path: &Path, key: &Path, passphrase: &PassphraseArgs, existing: Existing) -> anyhow::Result<Self> {
        refuse_stdout(path, "the record of an audit").explained()?;
        let key = signing_key(key, passphrase)?;
        let destination = Destination::find(path, None, existing).explained()?;
        Ok(Self { path: path.to_owned(), key, destination })
    }

    /// Writes the record that `sign` makes with the key.
    pub fn write(self, sign: impl FnOnce(&SigningKey) -> Vec<u8>) -> anyhow::Result<Recorded> {
        let interrupt = Interrupt::watch()?;
        let (file, signer) = (self.path.display().to_string(), self.key.verifying_key().id());
        let record = sign(&self.key);
        let write = |destination: Destination| {
            let mut writing = destination.start(&interrupt).explained()?;
            writing.write_all(&record).with_context(|| format!("cannot write {file}"))?;
            writing.commit().explained()
        };
        interrupted(&interrupt, write(self.destination), nothing_written)?;
        Ok(Recorded { file, signer })
    }
}
