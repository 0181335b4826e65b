//! Keys that sign backups, and keys of trusted signers: read from the files that a user names.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use kbundle_cli::keys::{public_key, unusable};
use kbundle_commands::sealing::secret_text;
use kbundle_format::key::KeyError;
use kbundle_format::{SigningKey, VerifyingKey};

use crate::failure::Advise;

/// The private key at `path`, to sign with.
pub fn sign_key(path: &Path) -> anyhow::Result<SigningKey> {
    let pem = secret_text(path, "the key to sign with")?;
    SigningKey::from_pem(&pem).map_err(|error| match error {
        KeyError::Encrypted => {
            let error: anyhow::Result<()> =
                Err(anyhow!("{} cannot be used as a key: {error}, and a timer has nobody to type it", path.display()));
            let advised =
                error.usage().hint("give a key for backups alone that has no passphrase, in a file of root alone");
            advised.expect_err("made from an error")
        }
        error => unusable(path, error),
    })
}

/// Public keys of those whose backups are trusted.
pub fn trusted_keys(paths: &[PathBuf]) -> anyhow::Result<Vec<VerifyingKey>> {
    paths.iter().map(|path| Ok(public_key(path)?.0)).collect()
}
