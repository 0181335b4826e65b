//! Reading keys, passphrases and detached signatures.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;
use kbundle_cli::arguments::SignatureArguments;
use kbundle_cli::keys::{signature_file, trusted_key, unusable};
use kbundle_cli::{Explained as _, failure};
use kbundle_format::key::{Algorithm, KeyError};
use kbundle_format::{KeyId, KeyNotes, SignatureFile, SigningKey, TrustPolicy, VerifyingKey, text_file};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::PassphraseArgs;

/// The environment variable that may hold the passphrase.
const PASSPHRASE_VARIABLE: &str = "KBUNDLE_PASSPHRASE";

/// Makes sure that a file holds a private key, encrypted or not.
pub fn check_signing_key(path: &Path) -> anyhow::Result<()> {
    match SigningKey::from_file(&fs::read(path).explained()?) {
        Err(KeyError::Encrypted) => Ok(()),
        read => read.map(drop).map_err(|error| unusable(path, error)),
    }
}

/// Reads a private key, asking for its passphrase where it has one.
pub fn signing_key(path: &Path, passphrase: &PassphraseArgs) -> anyhow::Result<SigningKey> {
    let bytes = fs::read(path).explained()?;
    let read = match SigningKey::from_file(&bytes) {
        Err(KeyError::Encrypted) => {
            let asked = self::passphrase(passphrase, &format!("passphrase of {}: ", path.display()))?;
            SigningKey::from_encrypted_file(&bytes, &asked)
        }
        read => read,
    };
    read.map_err(|error| unusable(path, error))
}

/// The passphrase: from the descriptor, the environment, or whoever sits at the terminal.
pub fn passphrase(arguments: &PassphraseArgs, prompt: &str) -> anyhow::Result<String> {
    if let Some(descriptor) = arguments.passphrase_fd {
        let file = fs::File::open(format!("/proc/self/fd/{descriptor}"))
            .with_context(|| format!("while reading the passphrase from file descriptor {descriptor}"))?;
        return Ok(text_file::first_line(BufReader::new(file))?.unwrap_or_default());
    }
    if let Ok(passphrase) = std::env::var(PASSPHRASE_VARIABLE) {
        return Ok(passphrase);
    }
    let terminal = console::Term::stderr();
    if !terminal.is_term() {
        return Err(failure::usage(
            "the private key needs a passphrase, and there is no terminal to ask for it",
            format!("give it with `--passphrase-fd N` or in {PASSPHRASE_VARIABLE}"),
        ));
    }
    terminal.write_str(prompt)?;
    Ok(terminal.read_secure_line()?)
}

/// A passphrase for a new key: asked for twice at a terminal.
pub fn new_passphrase(arguments: &PassphraseArgs) -> anyhow::Result<String> {
    let first = passphrase(arguments, "passphrase for the new key: ")?;
    let asked = arguments.passphrase_fd.is_none() && std::env::var_os(PASSPHRASE_VARIABLE).is_none();
    let usage = |what: &str| failure::usage(what, "run the command again");
    if asked && passphrase(arguments, "the same again: ")? != first {
        return Err(usage("the two passphrases differ"));
    }
    if first.is_empty() {
        return Err(usage("the passphrase is empty"));
    }
    Ok(first)
}

/// The keys that a command trusts, and the files they came from.
pub struct Trusted {
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
    pub key_id: KeyId,
    pub algorithm: Algorithm,
    pub key_file: String,
    /// What the key's file says about it.
    #[serde(flatten)]
    pub notes: KeyNotes,
}

impl Trusted {
    /// Reads public keys.
    pub fn read(paths: &[PathBuf], arguments: &SignatureArguments) -> anyhow::Result<Self> {
        let read = |path: &PathBuf| {
            let (key, notes) = trusted_key(path, arguments)?;
            Ok(TrustedKey { path: path.clone(), key, notes })
        };
        let keys = paths.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let all = keys.iter().map(|trusted| trusted.key.clone());
        let policy = TrustPolicy::new(all, arguments.threshold).explained()?;
        Ok(Self { policy, keys })
    }

    /// The public keys.
    pub fn keys(&self) -> Vec<VerifyingKey> {
        self.keys.iter().map(|trusted| trusted.key.clone()).collect()
    }

    /// What is known about those who signed.
    pub fn signers(&self, ids: &[KeyId]) -> Vec<Signer> {
        let named = |id: &KeyId| self.keys.iter().find(|trusted| trusted.key.id() == *id);
        ids.iter().filter_map(named).map(TrustedKey::signer).collect()
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
