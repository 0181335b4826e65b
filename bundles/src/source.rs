//! The source of a bundle's bytes: one file, or volumes that are read as one file.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;

use crate::sealed::{MAGIC, OpenError, Opener, Unsealed};
use crate::volume::{self, MendedVolume, VolumeError, VolumeSet};

/// Why a bundle's bytes are not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file cannot be opened. The cause names it.
    #[error("cannot open the bundle")]
    Open {
        /// The cause.
        source: io::Error,
    },
    /// The volumes do not make a bundle.
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

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
pub struct BundleSource(Arc<Inner>);

struct Inner {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    File { file: fs::File, length: u64 },
    Volumes(VolumeSet),
    Unsealed(Unsealed),
}

impl BundleSource {
    /// Opens the bundle at `path`: a bundle file, any of its volumes, or a folder with volumes.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        Self::open_all(&[path.to_owned()])
    }

    /// Opens one bundle from several places: its volumes may be in different folders (or on several sticks).
    pub fn open_all(paths: &[PathBuf]) -> Result<Self, SourceError> {
        let failed = |source| SourceError::Open { source };
        let named = |kind| Self(Arc::new(Inner { path: paths.first().cloned().unwrap_or_default(), kind }));
        // A path that does not exist is another error than a folder without volumes.
        paths.iter().try_for_each(|path| fs::metadata(path).map(drop)).map_err(failed)?;
        if let [path] = paths
            && path.is_file()
            && !volume::is_volume(path).map_err(failed)?
        {
            let file = fs::File::open(path).map_err(failed)?;
            let length = file.metadata().map_err(failed)?.len();
            return Ok(named(Kind::File { file, length }));
        }
        Ok(named(Kind::Volumes(VolumeSet::open(paths)?)))
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
        let kind = Kind::Unsealed(Unsealed::open(self.clone(), Arc::clone(opener))?);
        Ok(Self(Arc::new(Inner { path: self.0.path.clone(), kind })))
    }

    /// The path that it was opened with; the first if there were several.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The size in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        match &self.0.kind {
            Kind::File { length, .. } => *length,
            Kind::Volumes(set) => set.bundle_bytes(),
            Kind::Unsealed(unsealed) => unsealed.length,
        }
    }

    /// Fills `buffer` with the bytes from `offset` on; it is an error if there are too few.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.0.kind {
            Kind::File { file, .. } => file.file().read_exact_at(buffer, offset),
            Kind::Volumes(set) => set.read_exact_at(buffer, offset),
            Kind::Unsealed(unsealed) => unsealed.read_exact_at(buffer, offset),
        }
    }

    /// The volume that contains the byte at `offset`, and the offset in that file; `None` for a single file.
    #[must_use]
    pub fn volume_at(&self, offset: u64) -> Option<(PathBuf, u64)> {
        match &self.0.kind {
            // The place of a byte in sealed content means nothing to people.
            Kind::File { .. } | Kind::Unsealed(_) => None,
            Kind::Volumes(set) => set.volume_at(offset),
        }
    }

    /// The part of `range` in the first damaged volume; `None` if there is none, and for a single file, which has no digest of its own.
    ///
    /// Reads the volumes up to that one.
    #[must_use]
    pub fn damaged_volume(&self, range: Range<u64>) -> Option<Range<u64>> {
        match &self.0.kind {
            Kind::File { .. } | Kind::Unsealed(_) => None,
            Kind::Volumes(set) => set.damaged_in(range),
        }
    }

    /// Reads all volumes to find damaged ones, and does not use those from now on: another copy is read, or parity replaces them. Returns
    /// whether that changed anything. Nothing changes for a single file, or if parity does not suffice.
    #[must_use]
    pub fn mend(&self) -> bool {
        match &self.0.kind {
            Kind::File { .. } => false,
            Kind::Volumes(set) => set.mend(),
            Kind::Unsealed(unsealed) => unsealed.sealed().mend(),
        }
    }

    /// The missing or damaged volumes that others replace.
    #[must_use]
    pub fn mended(&self) -> Vec<MendedVolume> {
        match &self.0.kind {
            Kind::File { .. } => Vec::new(),
            Kind::Volumes(set) => set.mended(),
            Kind::Unsealed(unsealed) => unsealed.sealed().mended(),
        }
    }

    /// The number of parity volumes, including damaged ones.
    #[must_use]
    pub fn parity_volumes(&self) -> usize {
        match &self.0.kind {
            Kind::File { .. } => 0,
            Kind::Volumes(set) => set.parity_volumes(),
            Kind::Unsealed(unsealed) => unsealed.sealed().parity_volumes(),
        }
    }

    /// Reads from the first byte to the last.
    #[must_use]
    pub fn reader(&self) -> SourceReader {
        SourceReader { source: self.clone(), position: 0 }
    }

    /// The volumes in use that cannot be read or are damaged; empty for a single file, which has no digest of its own.
    #[must_use]
    pub fn damaged_volumes(&self) -> Vec<PathBuf> {
        match &self.0.kind {
            Kind::File { .. } => Vec::new(),
            Kind::Volumes(set) => set.damaged(),
            Kind::Unsealed(unsealed) => unsealed.sealed().damaged_volumes(),
        }
    }
}

/// Reads a [`BundleSource`] from front to back.
pub struct SourceReader {
    source: BundleSource,
    position: u64,
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.source.size_bytes().saturating_sub(self.position);
        let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match &self.source.0.kind {
            // A file that shrinks or grows during the read ends where it ends.
            Kind::File { file, .. } => {
                let count = file.file().read_at(buffer, self.position)?;
                self.position += count as u64;
                Ok(count)
            }
            Kind::Volumes(_) | Kind::Unsealed(_) => {
                self.source.read_exact_at(&mut buffer[..count], self.position)?;
                self.position += count as u64;
                Ok(count)
            }
        }
    }
}

impl Seek for SourceReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.source.size_bytes().checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
