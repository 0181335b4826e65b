//! The keys that a command trusts, and who of them signed.

use std::path::PathBuf;

use kbundle_cli::arguments::SignatureArguments;
use kbundle_cli::keys::{public_key, signature_file};
use kbundle_cli::{Explained as _, output};
use kbundle_format::key::Algorithm;
use kbundle_format::key_notes::{Day, Validity};
use kbundle_format::{KeyId, KeyNotes, SignatureFile, TrustPolicy, VerifyingKey};
use schemars::JsonSchema;
use serde::Serialize;

/// The keys that a command trusts, and the files they came from.
pub struct Trusted {
    /// What to ask of signatures.
    pub policy: TrustPolicy,
    keys: Vec<TrustedKey>,
}

/// A public key and where it came from.
struct TrustedKey {
    path: PathBuf,
    key: VerifyingKey,
    notes: KeyNotes,
}

/// A signer as reports show it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signer {
    /// Digest of the key.
    pub key_id: KeyId,
    /// Its kind.
    pub algorithm: Algorithm,
    /// The file that it was read from.
    pub key_file: String,
    /// What the key's file says about it.
    #[serde(flatten)]
    pub notes: KeyNotes,
}

impl Trusted {
    /// Reads public keys.
    pub fn read(paths: &[PathBuf], threshold: usize) -> anyhow::Result<Self> {
        let read = |path: &PathBuf| {
            let (key, notes) = public_key(path)?;
            Ok(TrustedKey { path: path.clone(), key, notes })
        };
        let keys = paths.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let policy = TrustPolicy::new(keys.iter().map(|trusted| trusted.key.clone()), threshold).explained()?;
        Ok(Self { policy, keys })
    }

    /// The public keys.
    #[must_use]
    pub fn keys(&self) -> Vec<VerifyingKey> {
        self.keys.iter().map(|trusted| trusted.key.clone()).collect()
    }

    /// What is known about those who signed. Says so where a key's file states another time than this for its use.
    pub fn signers(&self, ids: &[KeyId]) -> anyhow::Result<Vec<Signer>> {
        let named = |id: &KeyId| self.keys.iter().find(|trusted| trusted.key.id() == *id);
        let signers: Vec<_> = ids.iter().filter_map(named).map(TrustedKey::signer).collect();
        for signer in &signers {
            let outside = match signer.notes.validity(Day::today()) {
                Validity::Current => continue,
                Validity::NotYet(from) => format!("is to be used from {from} on"),
                Validity::Over(until) => format!("was to be used until {until}"),
            };
            output::warning(&format!(
                "WARNING: by its file {} the key {} {outside}, and this machine's clock says {}. Its signature counts all the same",
                signer.key_file,
                signer.key_id,
                Day::today()
            ))?;
        }
        Ok(signers)
    }
}

impl TrustedKey {
    fn signer(&self) -> Signer {
        Signer {
            key_id: self.key.id(),
            algorithm: self.key.algorithm(),
            key_file: self.path.display().to_string(),
            notes: self.notes.clone(),
        }
    }
}

impl std::fmt::Display for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {})", self.key_id, self.algorithm, self.key_file)?;
        match self.notes.summary() {
            Some(notes) => write!(f, ": {notes}"),
            None => Ok(()),
        }
    }
}

/// Reads detached signatures.
pub fn detached(arguments: &SignatureArguments) -> anyhow::Result<Vec<SignatureFile>> {
    arguments.detached.iter().map(|path| signature_file(path)).collect()
}
