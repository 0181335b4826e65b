//! Reading keys, passphrases and detached signatures.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;
use kbundle_format::key::{Algorithm, KeyError};
use kbundle_format::limits::MAX_SIGNATURE_BYTES;
use kbundle_format::{KeyId, SignatureFile, SigningKey, TrustPolicy, VerifyingKey};
use serde::Serialize;

use crate::cli::{PassphraseArgs, SignatureArgs};
use crate::failure::CommandError;

/// The environment variable that may hold the passphrase.
const PASSPHRASE_VARIABLE: &str = "KBUNDLE_PASSPHRASE";
/// Longest passphrase line that is read from a descriptor.
const MAX_PASSPHRASE_BYTES: u64 = 4096;

/// Reads a private key, asking for its passphrase where it has one.
pub fn signing_key(path: &Path, passphrase: &PassphraseArgs) -> anyhow::Result<SigningKey> {
    let pem = fs::read_to_string(path)?;
    let read = match SigningKey::from_pem(&pem) {
        Err(KeyError::Encrypted) => {
            let asked = self::passphrase(passphrase, &format!("passphrase of {}: ", path.display()))?;
            SigningKey::from_encrypted_pem(&pem, &asked)
        }
        read => read,
    };
    read.with_context(|| format!("while reading the key {}", path.display()))
}

/// The passphrase: from the descriptor, the environment, or whoever sits at the terminal.
pub fn passphrase(arguments: &PassphraseArgs, prompt: &str) -> anyhow::Result<String> {
    if let Some(descriptor) = arguments.passphrase_fd {
        let file = fs::File::open(format!("/proc/self/fd/{descriptor}"))
            .with_context(|| format!("while reading the passphrase from file descriptor {descriptor}"))?;
        let mut line = String::new();
        BufReader::new(file).take(MAX_PASSPHRASE_BYTES).read_line(&mut line)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    if let Ok(passphrase) = std::env::var(PASSPHRASE_VARIABLE) {
        return Ok(passphrase);
    }
    let terminal = console::Term::stderr();
    if !terminal.is_term() {
        return Err(CommandError::Usage {
            what: "the private key needs a passphrase, and there is no terminal to ask for it".to_owned(),
            hint: format!("give it with `--passphrase-fd N` or in {PASSPHRASE_VARIABLE}"),
        }
        .into());
    }
    terminal.write_str(prompt)?;
    Ok(terminal.read_secure_line()?)
}

/// A passphrase for a new key: asked for twice at a terminal.
pub fn new_passphrase(arguments: &PassphraseArgs) -> anyhow::Result<String> {
    let first = passphrase(arguments, "passphrase for the new key: ")?;
    let asked = arguments.passphrase_fd.is_none() && std::env::var_os(PASSPHRASE_VARIABLE).is_none();
    let usage = |what: &str| CommandError::Usage { what: what.to_owned(), hint: "run the command again".to_owned() };
    if asked && passphrase(arguments, "the same again: ")? != first {
        return Err(usage("the two passphrases differ").into());
    }
    if first.is_empty() {
        return Err(usage("the passphrase is empty").into());
    }
    Ok(first)
}

/// Reads a public key.
pub fn verifying_key(path: &Path) -> anyhow::Result<VerifyingKey> {
    let pem = fs::read_to_string(path)?;
    if matches!(SigningKey::from_pem(&pem), Ok(_) | Err(KeyError::Encrypted)) {
        return Err(CommandError::Usage {
            what: format!("{} is a private key", path.display()),
            hint: "give the public key, which `kbundle keygen` wrote beside it with the ending `.pub`".to_owned(),
        }
        .into());
    }
    VerifyingKey::from_pem(&pem).with_context(|| format!("while reading the key {}", path.display()))
}

/// The keys that a command trusts, and the files they came from.
pub struct Trusted {
    pub policy: TrustPolicy,
    keys: Vec<(PathBuf, VerifyingKey)>,
}

/// A signer as reports show it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signer {
    pub key_id: KeyId,
    pub algorithm: Algorithm,
    pub key_file: String,
}

impl Trusted {
    /// Reads public keys.
    pub fn read(paths: &[PathBuf], threshold: usize) -> anyhow::Result<Self> {
        let keys =
            paths.iter().map(|path| Ok((path.clone(), verifying_key(path)?))).collect::<anyhow::Result<Vec<_>>>()?;
        let policy = TrustPolicy::new(keys.iter().map(|(_, key)| key.clone()), threshold)?;
        Ok(Self { policy, keys })
    }

    /// The public keys.
    pub fn keys(&self) -> Vec<VerifyingKey> {
        self.keys.iter().map(|(_, key)| key.clone()).collect()
    }

    /// What is known about those who signed.
    pub fn signers(&self, ids: &[KeyId]) -> Vec<Signer> {
        let named = |id: &KeyId| self.keys.iter().find(|(_, key)| key.id() == *id);
        ids.iter()
            .filter_map(named)
            .map(|(path, key)| Signer {
                key_id: key.id(),
                algorithm: key.algorithm(),
                key_file: path.display().to_string(),
            })
            .collect()
    }
}

impl std::fmt::Display for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {})", self.key_id, self.algorithm, self.key_file)
    }
}

/// Reads detached signatures.
pub fn detached(arguments: &SignatureArgs) -> anyhow::Result<Vec<SignatureFile>> {
    arguments.detached.iter().map(|path| signature_file(path)).collect()
}

/// Reads a signature from a file of its own.
pub fn signature_file(path: &Path) -> anyhow::Result<SignatureFile> {
    let name = path.display().to_string();
    if fs::metadata(path)?.len() > MAX_SIGNATURE_BYTES {
        return Err(CommandError::Usage {
            what: format!("{name} is too large for a signature"),
            hint: "give the file that `kbundle sign --detached` or another signer wrote".to_owned(),
        }
        .into());
    }
    Ok(SignatureFile { content: fs::read(path)?, name })
}
