//! Reading private keys and passphrases.

use std::io::BufReader;
use std::path::Path;

use anyhow::Context as _;
use fs_err as fs;
use kbundle_cli::keys::unusable;
use kbundle_cli::{Explained as _, failure};
use kbundle_format::key::KeyError;
use kbundle_format::{SigningKey, text_file};

use crate::arguments::PassphraseArgs;

/// The environment variable that may hold the passphrase.
const PASSPHRASE_VARIABLE: &str = "KBUNDLE_PASSPHRASE";

/// Checks that a file contains a private key, encrypted or not.
pub fn check_signing_key(path: &Path) -> anyhow::Result<()> {
    match SigningKey::from_file(&fs::read(path).explained()?) {
        Err(KeyError::Encrypted) => Ok(()),
        read => read.map(drop).map_err(|error| unusable(path, error)),
    }
}

/// Reads a private key; asks for its passphrase if it has one.
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

/// The passphrase: from the descriptor, the environment, or the person at the terminal.
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

/// A passphrase for a new key; a terminal is asked twice.
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
