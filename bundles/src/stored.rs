//! The file or the volumes of a bundle, read at any offset.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;

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

/// A file, or volumes that are read as if they were one file. Clones share it.
#[derive(Clone)]
pub struct Stored(Arc<Inner>);

struct Inner {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    File { file: fs::File, length: u64 },
    Volumes(VolumeSet),
}

impl Stored {
    /// Opens a file, or volumes in any of `paths`.
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

    /// The path that it was opened with; the first if there were several.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    fn volumes(&self) -> Option<&VolumeSet> {
        match &self.0.kind {
            Kind::File { .. } => None,
            Kind::Volumes(set) => Some(set),
        }
    }

    /// As [`crate::BundleSource::volume_at`].
    pub fn volume_at(&self, offset: u64) -> Option<(PathBuf, u64)> {
        self.volumes()?.volume_at(offset)
    }

    /// As [`crate::BundleSource::damaged_volume`].
    pub fn damaged_volume(&self, range: Range<u64>) -> Option<Range<u64>> {
        self.volumes()?.damaged_in(range)
    }

    /// As [`crate::BundleSource::mend`].
    pub fn mend(&self) -> bool {
        self.volumes().is_some_and(VolumeSet::mend)
    }

    /// As [`crate::BundleSource::mended`].
    pub fn mended(&self) -> Vec<MendedVolume> {
        self.volumes().map(VolumeSet::mended).unwrap_or_default()
    }

    /// As [`crate::BundleSource::parity_volumes`].
    pub fn parity_volumes(&self) -> usize {
        self.volumes().map_or(0, VolumeSet::parity_volumes)
    }

    /// As [`crate::BundleSource::damaged_volumes`].
    pub fn damaged_volumes(&self) -> Vec<PathBuf> {
        self.volumes().map(VolumeSet::damaged).unwrap_or_default()
    }
}

impl ReadAt for Stored {
    fn size_bytes(&self) -> u64 {
        match &self.0.kind {
            Kind::File { length, .. } => *length,
            Kind::Volumes(set) => set.bundle_bytes(),
        }
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.0.kind {
            Kind::File { file, .. } => file.file().read_exact_at(buffer, offset),
            Kind::Volumes(set) => set.read_exact_at(buffer, offset),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.0.kind {
            // A file that shrinks or grows during the read ends where it ends.
            Kind::File { file, .. } => file.file().read_at(buffer, offset),
            Kind::Volumes(_) => read_within(self, buffer, offset),
        }
    }
}

/// A known number of bytes that can be read at any offset.
pub trait ReadAt {
    /// The size in bytes.
    fn size_bytes(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on; it is an error if there are too few.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Reads at most as many bytes as `buffer` has room for; returns their number, 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        read_within(self, buffer, offset)
    }
}

/// Reads no more bytes than there are after `offset`.
fn read_within(bytes: &(impl ReadAt + ?Sized), buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let left = bytes.size_bytes().saturating_sub(offset);
    let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    bytes.read_exact_at(&mut buffer[..count], offset)?;
    Ok(count)
}

/// Reads from front to back.
pub struct FromFront<B> {
    bytes: B,
    position: u64,
}

impl<B: ReadAt> FromFront<B> {
    /// Begins at the first byte.
    pub fn new(bytes: B) -> Self {
        Self { bytes, position: 0 }
    }
}

impl<B: ReadAt> Read for FromFront<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<B: ReadAt> Seek for FromFront<B> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.bytes.size_bytes().checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
