//! A bundle that is encrypted for transport, and read without a plain copy.
//!
//! The format is that of the program age: <https://age-encryption.org/v1>. Content is divided into pieces of 64 KiB. Each is encrypted and
//! authenticated with its number, and the last one is marked. So any part can be read alone, and a truncated file is noticed when it is
//! opened.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};

use age::secrecy::SecretString;
use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor};

use crate::stored::{FromFront, ReadAt, Stored};

/// The first bytes of a sealed file.
pub const MAGIC: &[u8] = b"age-encryption.org/v1\n";
/// The cost of one guess of the passphrase, as in the program age: 256 MiB of memory and about a second.
const WORK_FACTOR: u8 = 18;
/// Limits what somebody else's file can make a host do: 1 GiB of memory.
const MAX_WORK_FACTOR: u8 = 20;

/// The recipients or the passphrase that a file is encrypted to.
pub enum Seal {
    /// Each of them can open it alone.
    Recipients(Vec<age::x25519::Recipient>),
    /// The passphrase opens it.
    Passphrase(SecretString),
}

impl Seal {
    /// Returns a writer that encrypts into `output`. The caller has to call its `finish`.
    ///
    /// # Errors
    /// When there is no recipient, or `output` fails.
    pub fn wrap<W: Write>(&self, output: W) -> io::Result<StreamWriter<W>> {
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

/// Opens a sealed file.
pub enum Opener {
    /// Any of these identities.
    Identities(Vec<Box<dyn age::Identity + Send + Sync>>),
    /// A passphrase.
    Passphrase(Box<age::scrypt::Identity>),
}

impl Opener {
    /// The passphrase itself.
    #[must_use]
    pub fn of_passphrase(passphrase: SecretString) -> Self {
        let mut identity = age::scrypt::Identity::new(passphrase);
        identity.set_max_work_factor(MAX_WORK_FACTOR);
        Self::Passphrase(Box::new(identity))
    }

    /// The name of the opener, for people.
    fn name(&self) -> &'static str {
        match self {
            Self::Identities(_) => "identity",
            Self::Passphrase(_) => "passphrase",
        }
    }

    fn identities(&self) -> Vec<&dyn age::Identity> {
        match self {
            Self::Identities(all) => all.iter().map(|identity| &**identity as &dyn age::Identity).collect(),
            Self::Passphrase(identity) => vec![&**identity as &dyn age::Identity],
        }
    }

    /// Opens the sealed content of `input`.
    ///
    /// # Errors
    /// [`OpenError`], before any content is returned.
    pub fn open<R: Read>(&self, input: R) -> Result<StreamReader<BufReader<R>>, OpenError> {
        let input = BufReader::with_capacity(1 << 18, input);
        let decryptor = Decryptor::new_buffered(input).map_err(|error| match error {
            DecryptError::Io(source)
                if !matches!(source.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) =>
            {
                OpenError::File { source }
            }
            _ => OpenError::NotSealed,
        })?;
        match (decryptor.is_scrypt(), self) {
            (true, Self::Identities(_)) => return Err(OpenError::NeedsPassphrase),
            (false, Self::Passphrase(_)) => return Err(OpenError::NeedsIdentity),
            _ => {}
        }
        decryptor.decrypt(self.identities().into_iter()).map_err(|error| match error {
            DecryptError::InvalidMac | DecryptError::InvalidHeader => {
                OpenError::Damaged { reason: "its beginning was changed".to_owned() }
            }
            DecryptError::Io(source) => damaged(&source),
            DecryptError::ExcessiveWork { required, .. } => OpenError::Work { required },
            _ => OpenError::Closed { opener: self.name() },
        })
    }
}

/// Why a sealed file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file itself cannot be read.
    #[error("cannot read it")]
    File {
        /// The cause.
        source: io::Error,
    },
    /// It is not an age file.
    #[error("it does not begin as an age file")]
    NotSealed,
    /// A passphrase is needed.
    #[error("it is encrypted to a passphrase, and an identity was given")]
    NeedsPassphrase,
    /// An identity is needed.
    #[error("it is encrypted to recipients, and a passphrase was given")]
    NeedsIdentity,
    /// It is encrypted to others.
    #[error("the {opener} does not open it: it was encrypted to another, or its beginning is damaged")]
    Closed {
        /// The opener that was given.
        opener: &'static str,
    },
    /// Its header demands too much work.
    #[error("opening it takes 2^{required} units of work, more than kbundle and kinstall ask for")]
    Work {
        /// The work factor in the file.
        required: u8,
    },
    /// It was opened, but its content is not what was written.
    #[error("it is damaged or not complete: {reason}")]
    Damaged {
        /// What was found.
        reason: String,
    },
}

fn damaged(error: &io::Error) -> OpenError {
    OpenError::Damaged { reason: damage(error) }
}

/// The meaning of an error that occurred while an opened file was read.
#[must_use]
pub fn damage(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends early".to_owned(),
        io::ErrorKind::InvalidData => "a part of it was changed".to_owned(),
        _ => error.to_string(),
    }
}

type Content = StreamReader<BufReader<FromFront<Stored>>>;

/// A sealed bundle that was opened.
pub(crate) struct Unsealed {
    sealed: Stored,
    opener: Arc<Opener>,
    /// Size of the content in bytes.
    length: u64,
    /// One thread at a time. It is taken out during a read: after an error, its position is unknown.
    content: Mutex<Option<Content>>,
}

impl Unsealed {
    /// Opens `sealed` and reads its last piece, without which it is incomplete.
    pub fn open(sealed: Stored, opener: Arc<Opener>) -> Result<Self, OpenError> {
        let mut content = opener.open(FromFront::new(sealed.clone()))?;
        let length = content.seek(SeekFrom::End(0)).map_err(|error| damaged(&error))?;
        Ok(Self { sealed, opener, length, content: Mutex::new(Some(content)) })
    }

    /// The file in its sealed form.
    pub fn sealed(&self) -> &Stored {
        &self.sealed
    }
}

impl ReadAt for Unsealed {
    fn size_bytes(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reader = match content.take() {
            Some(reader) => reader,
            None => self.opener.open(FromFront::new(self.sealed.clone())).map_err(io::Error::other)?,
        };
        reader.seek(SeekFrom::Start(offset))?;
        reader.read_exact(buffer)?;
        *content = Some(reader);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use fs_err as fs;
    use tempfile::TempDir;

    use super::*;
    use crate::fixtures::noise;

    /// A sealed file of random bytes, its content, and its opener.
    fn sealed(length: usize) -> (TempDir, Vec<u8>, Arc<Opener>) {
        let identity = age::x25519::Identity::generate();
        let content = noise(7, length);
        let mut writer = Seal::Recipients(vec![identity.to_public()]).wrap(Vec::new()).unwrap();
        writer.write_all(&content).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sealed"), writer.finish().unwrap()).unwrap();
        (folder, content, Arc::new(Opener::Identities(vec![Box::new(identity)])))
    }

    fn open(folder: &TempDir, opener: &Arc<Opener>) -> Result<Unsealed, OpenError> {
        Unsealed::open(Stored::open_all(&[folder.path().join("sealed")]).unwrap(), Arc::clone(opener))
    }

    #[test]
    fn any_part_is_read_in_any_order() {
        for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 300_000] {
            let (folder, content, opener) = sealed(length);
            let source = open(&folder, &opener).unwrap();
            assert_eq!(source.size_bytes(), length as u64);
            for start in [length / 2, 0, length.saturating_sub(1), length / 3, 65_536.min(length), 65_535.min(length)] {
                for count in [0, 1, 70_000] {
                    let end = (start + count).min(length);
                    let mut buffer = vec![0; end - start];
                    source.read_exact_at(&mut buffer, start as u64).unwrap();
                    assert_eq!(buffer, content[start..end], "{length}: {start}..{end}");
                }
            }
            let mut all = Vec::new();
            FromFront::new(source).read_to_end(&mut all).unwrap();
            assert_eq!(all, content);
        }
    }

    #[test]
    fn another_identity_and_a_passphrase_do_not_open_it() {
        let (folder, ..) = sealed(10);
        let other = Opener::Identities(vec![Box::new(age::x25519::Identity::generate())]);
        assert!(matches!(open(&folder, &Arc::new(other)), Err(OpenError::Closed { opener: "identity" })));
        let passphrase = Opener::of_passphrase("correct horse battery".to_owned().into());
        assert!(matches!(open(&folder, &Arc::new(passphrase)), Err(OpenError::NeedsIdentity)));
    }

    #[test]
    fn a_file_that_was_cut_is_not_opened() {
        let (folder, content, opener) = sealed(200_000);
        let path = folder.path().join("sealed");
        let bytes = fs::read(&path).unwrap();
        for length in [bytes.len() - 1, bytes.len() / 2, bytes.len() - 65_552 * 2, 60] {
            fs::write(&path, &bytes[..length]).unwrap();
            let error = open(&folder, &opener).map(|_| ()).unwrap_err();
            assert!(matches!(error, OpenError::Damaged { .. } | OpenError::NotSealed), "{length}: {error}");
        }
        fs::write(&path, &bytes).unwrap();
        assert_eq!(open(&folder, &opener).unwrap().size_bytes(), content.len() as u64);
    }

    #[test]
    fn a_part_that_was_changed_is_not_given_and_the_others_are() {
        let (folder, content, opener) = sealed(300_000);
        let path = folder.path().join("sealed");
        let mut bytes = fs::read(&path).unwrap();
        let place = bytes.len() - 200_000;
        bytes[place] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let source = open(&folder, &opener).unwrap();
        let mut buffer = vec![0; 300_000];
        for _ in 0..2 {
            let error = source.read_exact_at(&mut buffer, 0).unwrap_err();
            assert_eq!(damage(&error), "a part of it was changed");
            let mut end = vec![0; 1000];
            source.read_exact_at(&mut end, 299_000).unwrap();
            assert_eq!(end, content[299_000..]);
        }
    }
}
