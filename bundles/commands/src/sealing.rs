//! Recipients and openers of encrypted files, read from what a user names.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use age::secrecy::SecretString;
use anyhow::{Context as _, anyhow};
use clap::Args;
use fs_err as fs;
use kbundle_cli::{Advise as _, Explained as _};
use kbundle_format::sealed::{Opener, Seal};
use kbundle_format::text_file;

/// A shorter one can be guessed by anyone who has the file.
const SHORTEST_PASSPHRASE: usize = 12;
/// Of a file with a key, a passphrase or identities.
const MAX_BYTES: u64 = 1 << 20;

/// What opens sealed files.
#[derive(Clone, Debug, Default, Args)]
pub struct OpeningArgs {
    /// Open a sealed file with the age identity in this file; repeatable
    ///
    /// The content is decrypted while it is read; no plain copy is written.
    #[arg(long = "identity", value_name = "FILE", conflicts_with = "passphrase_file")]
    pub identities: Vec<PathBuf>,
    /// Open a sealed file with the passphrase in the first line of this file
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

impl OpeningArgs {
    /// The opener that was named; `None` if none was.
    ///
    /// # Errors
    /// When the file does not exist, has no identity, or has too short a passphrase: usage.
    pub fn read(&self) -> anyhow::Result<Option<Opener>> {
        if let Some(path) = &self.passphrase_file {
            return Ok(Some(Opener::of_passphrase(passphrase(path)?)));
        }
        let mut all = Vec::new();
        for path in &self.identities {
            all.extend(read_identities(path)?);
        }
        Ok((!all.is_empty()).then_some(Opener::Identities(all)))
    }
}

/// An age recipient of the kind X25519.
#[derive(Clone)]
pub struct Recipient(pub age::x25519::Recipient);

impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recipient({})", self.0)
    }
}

impl FromStr for Recipient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
            return Err(
                "it is an identity, which is secret; give its recipient, which `age-keygen -y FILE` prints".to_owned()
            );
        }
        text.parse()
            .map(Self)
            .map_err(|_| "it is not an age recipient, such as `age1` and 58 more letters and digits".to_owned())
    }
}

/// The seal for these recipients, or for the passphrase in a file.
///
/// # Errors
/// As [`OpeningArgs::read`].
pub fn seal(recipients: &[Recipient], passphrase_file: Option<&Path>) -> anyhow::Result<Seal> {
    match passphrase_file {
        Some(path) => Ok(Seal::Passphrase(passphrase(path)?)),
        None => Ok(Seal::Recipients(recipients.iter().map(|recipient| recipient.0.clone()).collect())),
    }
}

fn passphrase(path: &Path) -> anyhow::Result<SecretString> {
    let text = secret_text(path, "the passphrase")?;
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() < SHORTEST_PASSPHRASE {
        return Err(anyhow!("the passphrase in {} has less than {SHORTEST_PASSPHRASE} characters", path.display()))
            .usage()
            .hint("take a long one: it protects everything in the file against whoever gets it");
    }
    Ok(SecretString::from(line.to_owned()))
}

fn read_identities(path: &Path) -> anyhow::Result<Vec<Box<dyn age::Identity + Send + Sync>>> {
    let text = secret_text(path, "an identity")?;
    // The parser's message could repeat a part of the file.
    let read = age::IdentityFile::from_buffer(io::Cursor::new(text.into_bytes()));
    let identities = read.ok().and_then(|file| file.into_identities().ok()).filter(|all| !all.is_empty());
    let identities = identities.ok_or_else(|| anyhow!("{} has no age identity", path.display()));
    identities.usage().hint("give the file that `age-keygen` wrote; its line begins with `AGE-SECRET-KEY-1`")
}

/// The text of a file of limited size.
///
/// # Errors
/// When the file does not exist, or is not text: usage.
pub fn secret_text(path: &Path, what: &str) -> anyhow::Result<String> {
    let reading = || format!("cannot read {what}");
    let mut bytes = Vec::new();
    let file = fs::File::open(path).explained().with_context(reading)?;
    file.take(MAX_BYTES).read_to_end(&mut bytes).explained().with_context(reading)?;
    text_file::decode(&bytes).with_context(|| format!("{} is not text", path.display())).usage()
}

#[cfg(test)]
mod tests {
    use kbundle_cli::failure::message;

    use super::*;

    #[test]
    fn an_identity_is_no_recipient_and_is_not_repeated() {
        use age::secrecy::ExposeSecret as _;
        let identity = age::x25519::Identity::generate();
        let recipient = identity.to_public().to_string();
        assert_eq!(recipient.parse::<Recipient>().unwrap().0.to_string(), recipient);
        let secret = identity.to_string();
        let error = secret.expose_secret().parse::<Recipient>().unwrap_err();
        assert!(error.contains("it is an identity") && !error.contains(secret.expose_secret()), "{error}");
        assert!("age1nothing".parse::<Recipient>().is_err());
    }

    #[test]
    fn files_that_will_not_do_are_mistakes_of_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| -> PathBuf {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let short = OpeningArgs { passphrase_file: Some(file("short", "too short\n")), ..OpeningArgs::default() };
        let said = message(&short.read().map(|_| ()).unwrap_err());
        assert!(said.contains("has less than 12 characters"), "{said}");
        let public = age::x25519::Identity::generate().to_public().to_string();
        let wrong = OpeningArgs { identities: vec![file("public", &public)], ..OpeningArgs::default() };
        let said = message(&wrong.read().map(|_| ()).unwrap_err());
        assert!(said.contains("has no age identity") && !said.contains(&public), "{said}");
        assert!(OpeningArgs::default().read().unwrap().is_none());
    }
}
