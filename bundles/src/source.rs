//! The source of a bundle's bytes: one file, or volumes that are read as one file; opened if they are sealed.

use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::sealed::{MAGIC, OpenError, Opener, Unsealed};
use crate::stored::{FromFront, ReadAt, Stored};
use crate::volume::MendedVolume;

pub use crate::stored::SourceError;

/// The bytes of a bundle. Any number of readers can share them.
///
/// ```no_run
/// use kbundle_format::BundleSource;
///
/// // Volumes on two sticks, read as one file.
/// let source = BundleSource::open_all(&["/media/one".into(), "/media/two".into()])?;
/// println!("{} bytes", source.size_bytes());
/// # Ok::<(), kbundle_format::source::SourceError>(())
/// ```
#[derive(Clone)]
pub struct BundleSource(Kind);

#[derive(Clone)]
enum Kind {
    Stored(Stored),
    Unsealed(Arc<Unsealed>),
}

impl BundleSource {
    /// Opens the bundle at `path`: a bundle file, any of its volumes, or a folder with volumes.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        Self::open_all(&[path.to_owned()])
    }

    /// Opens one bundle from several places: its volumes may be in different folders (or on several sticks).
    pub fn open_all(paths: &[PathBuf]) -> Result<Self, SourceError> {
        Ok(Self(Kind::Stored(Stored::open_all(paths)?)))
    }

    /// Whether the file is sealed, so that it has to be opened before it is read as a bundle.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_sealed(&self) -> io::Result<bool> {
        let mut first = [0; MAGIC.len()];
        if self.size_bytes() < first.len() as u64 {
            return Ok(false);
        }
        self.read_exact_at(&mut first, 0)?;
        Ok(first == MAGIC)
    }

    /// The content of a sealed bundle, which is decrypted while it is read.
    ///
    /// # Errors
    /// [`OpenError`] when `opener` does not open it, or it is incomplete.
    pub fn unsealed(&self, opener: &Arc<Opener>) -> Result<Self, OpenError> {
        let unsealed = Unsealed::open(self.stored().clone(), Arc::clone(opener))?;
        Ok(Self(Kind::Unsealed(Arc::new(unsealed))))
    }

    /// The file or the volumes in their stored form.
    fn stored(&self) -> &Stored {
        match &self.0 {
            Kind::Stored(stored) => stored,
            Kind::Unsealed(unsealed) => unsealed.sealed(),
        }
    }

    /// The same, if a byte that is read is a stored byte. The place of a byte in sealed content means nothing to people.
    fn plain(&self) -> Option<&Stored> {
        match &self.0 {
            Kind::Stored(stored) => Some(stored),
            Kind::Unsealed(_) => None,
        }
    }

    /// The path that it was opened with; the first if there were several.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.stored().path()
    }

    /// The size in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    /// Fills `buffer` with the bytes from `offset` on; it is an error if there are too few.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    /// The volume that contains the byte at `offset`, and the offset in that file; `None` for a single file.
    #[must_use]
    pub fn volume_at(&self, offset: u64) -> Option<(PathBuf, u64)> {
        self.plain()?.volume_at(offset)
    }

    /// The part of `range` in the first damaged volume; `None` if there is none, and for a single file, which has no digest of its own.
    ///
    /// Reads the volumes up to that one.
    #[must_use]
    pub fn damaged_volume(&self, range: Range<u64>) -> Option<Range<u64>> {
        self.plain()?.damaged_volume(range)
    }

    /// Reads all volumes to find damaged ones, and does not use those from now on: another copy is read, or parity replaces them. Returns
    /// whether that changed anything. Nothing changes for a single file, or if parity does not suffice.
    #[must_use]
    pub fn mend(&self) -> bool {
        self.stored().mend()
    }

    /// The missing or damaged volumes that others replace.
    #[must_use]
    pub fn mended(&self) -> Vec<MendedVolume> {
        self.stored().mended()
    }

    /// The number of parity volumes, including damaged ones.
    #[must_use]
    pub fn parity_volumes(&self) -> usize {
        self.stored().parity_volumes()
    }

    /// The volumes in use that cannot be read or are damaged; empty for a single file, which has no digest of its own.
    #[must_use]
    pub fn damaged_volumes(&self) -> Vec<PathBuf> {
        self.stored().damaged_volumes()
    }

    /// Reads from the first byte to the last.
    #[must_use]
    pub fn reader(&self) -> SourceReader {
        SourceReader(FromFront::new(self.0.clone()))
    }
}

impl ReadAt for Kind {
    fn size_bytes(&self) -> u64 {
        match self {
            Self::Stored(stored) => stored.size_bytes(),
            Self::Unsealed(unsealed) => unsealed.size_bytes(),
        }
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Stored(stored) => stored.read_exact_at(buffer, offset),
            Self::Unsealed(unsealed) => unsealed.read_exact_at(buffer, offset),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Stored(stored) => stored.read_at(buffer, offset),
            Self::Unsealed(unsealed) => unsealed.read_at(buffer, offset),
        }
    }
}

/// Reads a [`BundleSource`] from front to back.
pub struct SourceReader(FromFront<Kind>);

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}
