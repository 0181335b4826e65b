//! Local files of the site. They go into the cache, like fetched content.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use kbundle_format::Digest;

use super::{Cache, FetchError};
use crate::chart;
use crate::site::LocalFile;

/// Why a local file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalFileError {
    /// It could not be read.
    #[error("cannot read {}, a file of the site's own", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Its digest is not the expected one.
    #[error("{} has digest {actual} instead of {expected}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The expected digest.
        expected: Digest,
        /// The file's own digest.
        actual: Digest,
    },
    /// The cache could not store it.
    #[error(transparent)]
    Cache(#[from] FetchError),
}

/// Puts the local files among `wanted` (address and digest) into the cache, from which the bundle is packed. Their paths are relative to
/// `base`.
///
/// # Errors
/// [`LocalFileError`]: a file is missing or has changed.
pub fn keep_local_files<'a>(
    wanted: impl IntoIterator<Item = (&'a str, Digest)>,
    base: &Path,
    cache: &Cache,
) -> Result<(), LocalFileError> {
    for (url, expected) in wanted {
        let Some(path) = LocalFile::path_of(url, base) else { continue };
        let is_kept = cache.whole(&expected)?.is_some();
        let content = match chart::local_content(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_kept => continue,
            Err(source) => return Err(LocalFileError::Read { path, source }),
        };
        // Also if the cache has the expected content: the person who changed the file wants the change, or has to learn that it does not
        // count.
        let actual = Digest::of(&content);
        if actual != expected {
            return Err(LocalFileError::Changed { path, expected, actual });
        }
        if is_kept {
            continue;
        }
        let partial = cache.partial(&expected.hex());
        fs::write(&partial, content).map_err(|source| FetchError::Cache { path: partial.clone(), source })?;
        cache.keep(&partial, &expected)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_into_the_cache_once_and_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        fs::write(folder.path().join("a.yaml"), "a").unwrap();
        let file = LocalFile::read(folder.path(), Path::new("a.yaml")).unwrap();
        let wanted = [(file.url.as_str(), file.digest), ("https://example.org/b", Digest::of(b"b"))];
        keep_local_files(wanted, folder.path(), &cache).unwrap();
        assert_eq!(cache.read(&file.digest, 10).unwrap(), b"a");
        assert_eq!(cache.whole(&Digest::of(b"b")).unwrap(), None);

        // Content in the cache does not need the file any more.
        fs::remove_file(folder.path().join("a.yaml")).unwrap();
        keep_local_files(wanted, folder.path(), &cache).unwrap();
        fs::remove_file(cache.path(&file.digest)).unwrap();
        assert!(matches!(keep_local_files(wanted, folder.path(), &cache), Err(LocalFileError::Read { .. })));
        fs::write(folder.path().join("a.yaml"), "other").unwrap();
        assert!(matches!(keep_local_files(wanted, folder.path(), &cache), Err(LocalFileError::Changed { .. })));
    }
}
