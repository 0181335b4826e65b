//! The keys that a command trusts, and which of them signed.

use std::path::PathBuf;

use kbundle_cli::Explained as _;
use kbundle_cli::arguments::SignatureArguments;
use kbundle_cli::keys::{signature_file, trusted_key};
use kbundle_cli::revocations::{AppliedRevocations, RevocationsFile};
use kbundle_format::key::Algorithm;
use kbundle_format::{KeyId, KeyNotes, SignatureFile, TrustPolicy, VerifyingKey};
use schemars::JsonSchema;
use serde::Serialize;

/// The keys that a command trusts, and the files that they came from.
pub struct Trusted {
    /// The demands on signatures.
    pub policy: TrustPolicy,
    keys: Vec<TrustedKey>,
    revocations: Vec<RevocationsFile>,
}

/// A public key and its file.
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
    /// Reads public keys, and the lists of revocations that they signed.
    pub fn read(paths: &[PathBuf], arguments: &SignatureArguments) -> anyhow::Result<Self> {
        let read = |path: &PathBuf| {
            let (key, notes) = trusted_key(path, arguments)?;
            Ok(TrustedKey { path: path.clone(), key, notes })
        };
        let keys = paths.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let policy =
            TrustPolicy::new(keys.iter().map(|trusted| trusted.key.clone()), arguments.threshold).explained()?;
        let revocations = RevocationsFile::read_all(&arguments.revocations, &public_keys(&keys))?;
        let policy = policy.revoking(revocations.iter().map(|file| file.revocations.clone()).collect());
        Ok(Self { policy, keys, revocations })
    }

    /// The lists of revocations that were applied.
    #[must_use]
    pub fn revocations(&self) -> Vec<AppliedRevocations> {
        self.revocations.iter().map(RevocationsFile::applied).collect()
    }

    /// The public keys.
    #[must_use]
    pub fn keys(&self) -> Vec<VerifyingKey> {
        public_keys(&self.keys)
    }

    /// The signers, with what is known about them.
    #[must_use]
    pub fn signers(&self, ids: &[KeyId]) -> Vec<Signer> {
        let named = |id: &KeyId| self.keys.iter().find(|trusted| trusted.key.id() == *id);
        ids.iter().filter_map(named).map(TrustedKey::signer).collect()
    }
}

fn public_keys(keys: &[TrustedKey]) -> Vec<VerifyingKey> {
    keys.iter().map(|trusted| trusted.key.clone()).collect()
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
