//! Who can open a backup and who signs it: read from the files that a user names.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use anyhow::{Context as _, anyhow};
use fs_err as fs;
use kbundle_cli::keys::{public_key, unusable};
use kbundle_format::key::KeyError;
use kbundle_format::{SigningKey, VerifyingKey, text_file};

use crate::cli::SealingArguments;
use crate::failure::{Advise, Explained};

/// A shorter one is guessed by whoever has the file.
const SHORTEST_PASSPHRASE: usize = 12;
/// Of a file with a key, a passphrase or identities.
const MAX_BYTES: u64 = 1 << 20;
/// The work that a guess of the passphrase costs, as the program age has it: 256 MiB of memory and about a second.
const WORK_FACTOR: u8 = 18;
/// No backup of this program takes more. It bounds what a file of somebody else's can make a host do: 1 GiB of memory.
const MAX_WORK_FACTOR: u8 = 20;

/// To whom a backup is encrypted.
pub enum Seal {
    /// Each of them opens it alone.
    Recipients(Vec<age::x25519::Recipient>),
    /// Whoever has the passphrase opens it.
    Passphrase(SecretString),
}

impl Seal {
    /// What the command line says.
    pub fn read(arguments: &SealingArguments) -> anyhow::Result<Self> {
        match &arguments.passphrase_file {
            Some(path) => Ok(Self::Passphrase(passphrase(path)?)),
            None => Ok(Self::Recipients(arguments.recipients.iter().map(|recipient| recipient.0.clone()).collect())),
        }
    }

    /// Encrypts what is written into `output`.
    pub(super) fn wrap<W: io::Write>(&self, output: W) -> io::Result<age::stream::StreamWriter<W>> {
        let made = match self {
            Self::Recipients(recipients) => {
                age::Encryptor::with_recipients(recipients.iter().map(|recipient| recipient as &dyn age::Recipient))
            }
            Self::Passphrase(passphrase) => {
                let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
                recipient.set_work_factor(WORK_FACTOR);
                age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
            }
        };
        made.map_err(io::Error::other)?.wrap_output(output)
    }
}

/// What opens a backup.
pub enum Opener {
    /// Any of them.
    Identities(Vec<Box<dyn age::Identity + Send + Sync>>),
    /// A passphrase.
    Passphrase(Box<age::scrypt::Identity>),
}

impl Opener {
    /// What the command line says.
    pub fn read(identities: &[PathBuf], passphrase_file: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = passphrase_file {
            return Ok(Self::of_passphrase(passphrase(path)?));
        }
        let mut all = Vec::new();
        for path in identities {
            all.extend(read_identities(path)?);
        }
        Ok(Self::Identities(all))
    }

    /// The passphrase itself.
    #[must_use]
    pub fn of_passphrase(passphrase: SecretString) -> Self {
        let mut identity = age::scrypt::Identity::new(passphrase);
        identity.set_max_work_factor(MAX_WORK_FACTOR);
        Self::Passphrase(Box::new(identity))
    }

    /// What opens it, for people.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Identities(_) => "identity",
            Self::Passphrase(_) => "passphrase",
        }
    }

    pub(super) fn identities(&self) -> Vec<&dyn age::Identity> {
        match self {
            Self::Identities(all) => all.iter().map(|identity| &**identity as &dyn age::Identity).collect(),
            Self::Passphrase(identity) => vec![&**identity as &dyn age::Identity],
        }
    }
}

/// The private key at `path`, to sign with.
pub fn sign_key(path: &Path) -> anyhow::Result<SigningKey> {
    let pem = text(path, "the key to sign with")?;
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

fn passphrase(path: &Path) -> anyhow::Result<SecretString> {
    let text = text(path, "the passphrase")?;
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() < SHORTEST_PASSPHRASE {
        return Err(anyhow!("the passphrase in {} has less than {SHORTEST_PASSPHRASE} characters", path.display()))
            .usage()
            .hint("take a long one: it protects every key and Secret of the cluster against whoever gets the file");
    }
    Ok(SecretString::from(line.to_owned()))
}

fn read_identities(path: &Path) -> anyhow::Result<Vec<Box<dyn age::Identity + Send + Sync>>> {
    let text = text(path, "an identity")?;
    // The words of the parser could repeat a part of the file.
    let read = age::IdentityFile::from_buffer(io::Cursor::new(text.into_bytes()));
    let identities = read.ok().and_then(|file| file.into_identities().ok()).filter(|all| !all.is_empty());
    let identities = identities.ok_or_else(|| anyhow!("{} has no age identity", path.display()));
    identities.usage().hint("give the file that `age-keygen` wrote; its line begins with `AGE-SECRET-KEY-1`")
}

fn text(path: &Path, what: &str) -> anyhow::Result<String> {
    let reading = || format!("cannot read {what}");
    let mut bytes = Vec::new();
    let file = fs::File::open(path).explained().with_context(reading)?;
    file.take(MAX_BYTES).read_to_end(&mut bytes).explained().with_context(reading)?;
    text_file::decode(&bytes).with_context(|| format!("{} is not text", path.display())).usage()
}
