//! Reading keys, passphrases and detached signatures.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;
use kbundle_cli::arguments::SignatureArguments;
use kbundle_cli::keys::{public_key, signature_file, unusable};
use kbundle_cli::{Explained as _, failure, output};
use kbundle_format::key::{Algorithm, KeyError};
use kbundle_format::key_notes::{Day, Validity};
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
