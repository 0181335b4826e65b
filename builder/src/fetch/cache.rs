//! The cache: content by digest, and the beginnings of incomplete content.
//!
//! ```text
//! CACHE/lock                     held by the program that fetches
//! CACHE/sha256/HEX               whole content, read only
//! CACHE/partial/HEX.partial      a beginning; HEX.validator holds the ETag or date it belongs to
//! ```
//!
//! Nothing here is trusted: content is hashed when it is found, and again by the writer of the bundle.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use kbundle_format::{Digest, Hasher};
use nix::unistd::{AccessFlags, access};

use super::FetchError;

/// A directory of content by digest.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
}

/// Keeps other runs from writing to the same cache until it is dropped.
#[derive(Debug)]
pub struct CacheLock {
    _file: File,
}

impl Cache {
    /// Checks `directory` and changes nothing. It may be missing if it can be created.
    ///
    /// # Errors
    /// [`FetchError::Cache`]: it is not a folder, or cannot be written to or created.
    pub fn look_at(directory: &Path) -> Result<Self, FetchError> {
        let cache = Self { directory: directory.to_owned() };
        let folder = cache.nearest_folder();
        let usable = || -> io::Result<()> {
            if !folder.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(access(folder, AccessFlags::W_OK | AccessFlags::X_OK)?)
        };
        usable().map_err(|source| FetchError::Cache { path: folder.to_owned(), source })?;
        Ok(cache)
    }

    /// The directory, or its nearest parent that exists.
    #[must_use]
    pub fn nearest_folder(&self) -> &Path {
        let there = self.directory.ancestors().find(|folder| folder.symlink_metadata().is_ok());
        there.unwrap_or(Path::new("."))
    }

    /// Uses `directory`, and creates it if it is missing.
    ///
    /// # Errors
    /// [`FetchError::Cache`].
    pub fn open(directory: &Path) -> Result<Self, FetchError> {
        for part in ["sha256", "partial"] {
            let path = directory.join(part);
            fs::create_dir_all(&path).map_err(|source| FetchError::Cache { path: path.clone(), source })?;
        }
        Ok(Self { directory: directory.to_owned() })
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits until no other run writes here. `waiting` is called once if there is one.
    ///
    /// # Errors
    /// [`FetchError::Cache`].
    pub fn lock(&self, waiting: impl FnOnce()) -> Result<CacheLock, FetchError> {
        let path = self.directory.join("lock");
        let lock = || -> io::Result<File> {
            let file = fs::OpenOptions::new().create(true).append(true).mode(0o644).open(&path)?.into_file();
            match file.try_lock() {
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => {
                    waiting();
                    file.lock()?;
                }
                Err(std::fs::TryLockError::Error(error)) => return Err(error),
            }
            Ok(file)
        };
        lock().map(|file| CacheLock { _file: file }).map_err(|source| FetchError::Cache { path: path.clone(), source })
    }

    /// The path of complete content, whether it exists or not.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join("sha256").join(digest.hex())
    }

    /// The path of the beginning of the content with this `name`.
    #[must_use]
    pub fn partial(&self, name: &str) -> PathBuf {
        self.directory.join("partial").join(format!("{name}.partial"))
    }

    /// The size of content that is here and complete. Damaged content is removed.
    ///
    /// # Errors
    /// [`FetchError::Cache`].
    pub fn whole(&self, digest: &Digest) -> Result<Option<u64>, FetchError> {
        let path = self.path(digest);
        let check = || -> io::Result<Option<u64>> {
            let mut file = match fs::File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let mut hasher = Hasher::new(io::sink());
            io::copy(&mut file, &mut hasher)?;
            let (actual, size_bytes, _) = hasher.finish();
            if actual == *digest {
                return Ok(Some(size_bytes));
            }
            tracing::warn!(%digest, %actual, "damaged content removed from the cache");
            fs::remove_file(&path)?;
            Ok(None)
        };
        check().map_err(|source| FetchError::Cache { path: path.clone(), source })
    }

    /// The size of content that is here, whose digest is not compared.
    #[must_use]
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.path(digest)).ok().map(|metadata| metadata.len())
    }

    /// Reads complete content of at most `most` bytes, which has to be here.
    ///
    /// # Errors
    /// [`FetchError::Cache`], also when the content does not have the digest in its name.
    pub fn read(&self, digest: &Digest, most: u64) -> Result<Vec<u8>, FetchError> {
        let path = self.path(digest);
        let read = || -> io::Result<Vec<u8>> {
            let mut content = Vec::new();
            fs::File::open(&path)?.take(most).read_to_end(&mut content)?;
            if Digest::of(&content) == *digest {
                Ok(content)
            } else {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the content is not what its name says"))
            }
        };
        read().map_err(|source| FetchError::Cache { path: path.clone(), source })
    }

    /// Renames complete content to its final name, and syncs that.
    ///
    /// # Errors
    /// [`FetchError::Cache`].
    pub fn keep(&self, partial: &Path, digest: &Digest) -> Result<(), FetchError> {
        let path = self.path(digest);
        let keep = || -> io::Result<()> {
            fs::File::open(partial)?.sync_all()?;
            fs::rename(partial, &path)?;
            fs::File::open(self.directory.join("sha256"))?.sync_all()
        };
        keep().map_err(|source| FetchError::Cache { path: path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_content_is_removed_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path()).unwrap();
        let digest = Digest::of(b"content");
        assert_eq!(cache.whole(&digest).unwrap(), None);
        fs::write(cache.path(&digest), b"content").unwrap();
        assert_eq!(cache.whole(&digest).unwrap(), Some(7));
        assert_eq!(cache.read(&digest, 100).unwrap(), b"content");
        fs::write(cache.path(&digest), b"damaged").unwrap();
        assert!(cache.read(&digest, 100).is_err());
        assert_eq!(cache.whole(&digest).unwrap(), None);
        assert!(!cache.path(&digest).exists());
    }
}
