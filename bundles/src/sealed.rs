//! A bundle that is encrypted for its journey, and read without a plain copy.
//!
//! The format is that of the program age: <https://age-encryption.org/v1>. Content is cut into pieces of 64 KiB, each encrypted and authenticated
//! with its number, and the last one says that it is the last. So any part is read alone, and a file that was cut is noticed when it is opened.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};

use age::secrecy::SecretString;
use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor};

use crate::stored::{FromFront, ReadAt, Stored};

/// How a sealed file begins.
pub const MAGIC: &[u8] = b"age-encryption.org/v1\n";
/// The work that a guess of the passphrase costs, as the program age has it: 256 MiB of memory and about a second.
const WORK_FACTOR: u8 = 18;
/// Bounds what a file of somebody else's can make a host do: 1 GiB of memory.
const MAX_WORK_FACTOR: u8 = 20;

/// To whom a file is encrypted.
pub enum Seal {
    /// Each of them opens it alone.
    Recipients(Vec<age::x25519::Recipient>),
    /// Whoever has the passphrase opens it.
    Passphrase(SecretString),
}

impl Seal {
    /// Encrypts what is written into `output`. Its `finish` has to be called.
    ///
    /// # Errors
    /// There is no recipient, or `output` fails.
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

/// What opens a sealed file.
pub enum Opener {
    /// Any of them.
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

    /// What opens it, for people.
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

    /// Opens what `input` gives.
    ///
    /// # Errors
    /// [`OpenError`]: before a byte of content was given.
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

/// Why a sealed file is not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file itself.
    #[error("cannot read it")]
    File {
        /// The cause.
        source: io::Error,
    },
    /// Something else.
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
        /// What was given.
        opener: &'static str,
    },
    /// Its beginning asks for too much.
    #[error("opening it takes 2^{required} units of work, more than kbundle and kinstall ask for")]
    Work {
        /// As the file says.
        required: u8,
    },
    /// It was opened, and is not what was written.
    #[error("it is damaged or not complete: {reason}")]
    Damaged {
        /// What was found.
        reason: String,
    },
}

fn damaged(error: &io::Error) -> OpenError {
    OpenError::Damaged { reason: damage(error) }
}

/// What an error means that came while an opened file was read.
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
    /// Bytes of the content.
    length: u64,
    /// One thread at a time. Taken out while it reads: after an error nobody knows where it stands.
    content: Mutex<Option<Content>>,
}

impl Unsealed {
    /// Opens `sealed` and looks at its last piece, without which it is not complete.
    pub fn open(sealed: Stored, opener: Arc<Opener>) -> Result<Self, OpenError> {
        let mut content = opener.open(FromFront::new(sealed.clone()))?;
        let length = content.seek(SeekFrom::End(0)).map_err(|error| damaged(&error))?;
        Ok(Self { sealed, opener, length, content: Mutex::new(Some(content)) })
    }

    /// The file as it lies there.
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

    /// A file of noise that is sealed, what it holds, and what opens it.
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
