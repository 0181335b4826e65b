//! Public keys and detached signatures, read from the files that a user names.

use std::path::Path;

use anyhow::Context as _;
use fs_err as fs;
use kbundle_format::key::KeyError;
use kbundle_format::key_notes::{Day, Validity};
use kbundle_format::limits::MAX_SIGNATURE_BYTES;
use kbundle_format::{KeyNotes, SignatureFile, VerifyingKey};

use crate::arguments::SignatureArguments;
use crate::failure::{self, Advise as _, Explained as _, explained};
use crate::output;

/// Reads a public key and what its file says about it.
///
/// # Errors
/// When the file does not exist, or has no public key or a private one: usage.
pub fn public_key(path: &Path) -> anyhow::Result<(VerifyingKey, KeyNotes)> {
    let bytes = fs::read(path).explained().context("cannot read a key")?;
    let key = VerifyingKey::from_file(&bytes).map_err(|error| unusable(path, error))?;
    let reading = || format!("{} cannot be used as a key", path.display());
    let notes = KeyNotes::of_file(&bytes).with_context(reading).usage()?;
    Ok((key, notes))
}

/// Reads a public key to trust. If its file says that it is not valid today, warns about it, or refuses it with `--strict`.
///
/// # Errors
/// As [`public_key`]; an invalid key: refused.
pub fn trusted_key(path: &Path, arguments: &SignatureArguments) -> anyhow::Result<(VerifyingKey, KeyNotes)> {
    let (key, notes) = public_key(path)?;
    let today = Day::today();
    let flaw = match notes.validity(today) {
        Validity::Current => return Ok((key, notes)),
        Validity::NotYet(from) => format!("is valid only from {from}"),
        Validity::Over(until) => format!("expired on {until}"),
    };
    let key_file = path.display();
    if arguments.strict {
        let message = format!("the key {key_file} {flaw}, and this machine's clock says {today}; nothing was changed");
        let hint = "leave this key out, and get a bundle that is signed by a valid one; if the clock is wrong, set it";
        return Err(failure::refused(message, hint));
    }
    output::warning(&format!(
        "WARNING: the key {key_file} {flaw}, and this machine's clock says {today}. Its signature still counts; `--strict` refuses it"
    ))?;
    Ok((key, notes))
}

/// Says what the file at `path` contains instead of the required key, and how to get that key.
#[must_use]
pub fn unusable(path: &Path, error: KeyError) -> anyhow::Error {
    let what = format!("{} cannot be used as a key", path.display());
    match error.advice(path) {
        Some(hint) => failure::usage(format!("{what}: {error}"), hint),
        None => explained(error).context(what),
    }
}

/// Reads a signature from a file of its own.
///
/// # Errors
/// When the file does not exist, or is too large for a signature: usage.
pub fn signature_file(path: &Path) -> anyhow::Result<SignatureFile> {
    let name = path.display().to_string();
    let reading = "cannot read a signature";
    if fs::metadata(path).explained().context(reading)?.len() > MAX_SIGNATURE_BYTES {
        return Err(failure::usage(
            format!("{name} is too large for a signature"),
            "give the file that the signer wrote",
        ));
    }
    Ok(SignatureFile { content: fs::read(path).explained().context(reading)?, name })
}

#[cfg(test)]
mod tests {
    use kbundle_format::SigningKey;
    use kbundle_format::key::Algorithm;

    use super::*;
    use crate::failure::{Kind, kind, message};

    #[test]
    fn every_wrong_file_is_a_mistake_of_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let key = SigningKey::generate(Algorithm::EcdsaP256).unwrap();
        let private = file("signing.key", key.to_pem().unwrap().as_bytes());
        let public = file("signing.pub", key.verifying_key().to_pem().as_bytes());
        assert_eq!(public_key(&public).unwrap().0.id(), key.verifying_key().id());

        let error = public_key(&private).unwrap_err();
        assert!(message(&error).contains("it is a private key"), "{}", message(&error));
        let large = file("large.sig", &vec![b'a'; usize::try_from(MAX_SIGNATURE_BYTES).unwrap() + 1]);
        let wrong = [
            error,
            public_key(&file("text.pub", b"no key")).unwrap_err(),
            public_key(&folder.path().join("absent.pub")).unwrap_err(),
            signature_file(&folder.path().join("absent.sig")).unwrap_err(),
            signature_file(&large).unwrap_err(),
        ];
        for error in wrong {
            assert_eq!(kind(&error), Kind::Usage, "{}", message(&error));
        }
    }
}
