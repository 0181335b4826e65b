//! Reading keys and detached signatures from files.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;
use kbundle_format::limits::MAX_SIGNATURE_BYTES;
use kbundle_format::{SignatureFile, SigningKey, TrustPolicy, VerifyingKey};

use crate::cli::SignatureArgs;
use crate::failure::CommandError;

/// Reads a private key.
pub fn signing_key(path: &Path) -> anyhow::Result<SigningKey> {
    let pem = fs::read_to_string(path)?;
    SigningKey::from_pem(&pem).with_context(|| format!("while reading the key {}", path.display()))
}

/// Reads public keys and what is asked of them.
pub fn trust(keys: &[PathBuf], threshold: usize) -> anyhow::Result<TrustPolicy> {
    let mut trusted = Vec::new();
    for path in keys {
        let pem = fs::read_to_string(path)?;
        if SigningKey::from_pem(&pem).is_ok() {
            return Err(CommandError::Usage {
                what: format!("{} is a private key", path.display()),
                hint: "give the public key, which `kbundle keygen` wrote beside it with the ending `.pub`".to_owned(),
            }
            .into());
        }
        trusted
            .push(VerifyingKey::from_pem(&pem).with_context(|| format!("while reading the key {}", path.display()))?);
    }
    Ok(TrustPolicy::new(trusted, threshold)?)
}

/// Reads detached signatures.
pub fn detached(arguments: &SignatureArgs) -> anyhow::Result<Vec<SignatureFile>> {
    let mut signatures = Vec::new();
    for path in &arguments.detached {
        let name = path.display().to_string();
        if fs::metadata(path)?.len() > MAX_SIGNATURE_BYTES {
            return Err(CommandError::Usage {
                what: format!("{name} is too large for a signature"),
                hint: "give the file that `kbundle sign --detached` wrote".to_owned(),
            }
            .into());
        }
        signatures.push(SignatureFile { content: fs::read(path)?, name });
    }
    Ok(signatures)
}
