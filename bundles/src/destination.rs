//! Where a bundle's bytes go: one file, or volumes. Nothing has its name before all of it is there.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::atomic_file::AtomicFile;
use crate::volume::{Split, VolumeError, VolumeWriter};

/// A bundle under way.
pub enum Destination {
    /// To one file.
    File {
        /// Its name.
        path: PathBuf,
        /// The file.
        file: AtomicFile,
    },
    /// To volumes.
    Volumes(Box<VolumeWriter>),
}

impl Destination {
    /// Starts writing to `path`, or to volumes named after it.
    pub fn create(path: &Path, split: Option<Split>) -> Result<Self, VolumeError> {
        Ok(match split {
            Some(split) => Self::Volumes(Box::new(VolumeWriter::new(path, split)?)),
            None => Self::File { path: path.to_owned(), file: AtomicFile::create(path, 0o644)? },
        })
    }

    /// Gives what was written its names, which are returned in order, and makes it last.
    pub fn commit(self) -> Result<Vec<PathBuf>, VolumeError> {
        match self {
            Self::Volumes(writer) => writer.finish(),
            Self::File { path, file } => {
                file.commit()?;
                Ok(vec![path])
            }
        }
    }
}

impl Write for Destination {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::File { file, .. } => file.write(buffer),
            Self::Volumes(writer) => writer.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File { file, .. } => file.flush(),
            Self::Volumes(writer) => writer.flush(),
        }
    }
}
