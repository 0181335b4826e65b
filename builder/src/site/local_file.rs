//! Files beside the settings of a build. The list names them by `file:` and their path, relative to where they were named.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use kbundle_format::Digest;

use crate::chart;
use crate::fetch::{Cache, FetchError};

/// What the address of such a file begins with.
const SCHEME: &str = "file:";
/// Most bytes of such a file, which is kept in memory. A list that somebody else made may name a file that nobody meant.
const MAX_BYTES: u64 = 64 << 20;

/// A file of the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// `file:` and its path.
    pub url: String,
    /// Its file name.
    pub name: String,
    /// What it holds.
    pub digest: Digest,
}

/// Why a file of the site cannot be taken.
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
    /// It holds something else than what was asked for.
    #[error("{} has digest {actual} instead of {expected}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        expected: Digest,
        /// What it holds.
        actual: Digest,
    },
    /// The cache could not take it.
    #[error(transparent)]
    Cache(#[from] FetchError),
}

impl LocalFile {
    /// Reads the file at `path`, which is relative to `base`.
    pub(crate) fn read(base: &Path, path: &Path) -> io::Result<Self> {
        Ok(Self::of(path, &read_regular(&base.join(path))?))
    }

    /// The file at `path` with this content.
    pub(crate) fn of(path: &Path, content: &[u8]) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self { url: format!("{SCHEME}{}", path.display()), name, digest: Digest::of(content) }
    }

    /// What is carried for `path`: a regular file as it is, the folder of a chart as an archive.
    pub(crate) fn content(path: &Path) -> io::Result<Vec<u8>> {
        if path.is_dir() { chart::package(path) } else { read_regular(path) }
    }
}

/// The content of a regular file of at most [`MAX_BYTES`]: a device has no end, and a pipe may have no writer.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let refuse = |reason: String| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    if !fs::metadata(path)?.is_file() {
        return refuse("it is no regular file".to_owned());
    }
    let mut content = Vec::new();
    fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_BYTES {
        refuse(format!("it is larger than {} MiB", MAX_BYTES >> 20))
    } else {
        Ok(content)
    }
}

/// Puts those of `wanted` (address and digest) that are files of the site into the cache, from where the packing takes all content. Their paths are
/// relative to `base`.
///
/// # Errors
/// [`LocalFileError`]: a file is not there any more, or has changed.
pub fn keep<'a>(
    wanted: impl IntoIterator<Item = (&'a str, Digest)>,
    base: &Path,
    cache: &Cache,
) -> Result<(), LocalFileError> {
    for (url, expected) in wanted {
        let Some(path) = url.strip_prefix(SCHEME).map(|path| base.join(path)) else { continue };
        if cache.whole(&expected)?.is_some() {
            continue;
        }
        let read = |source| LocalFileError::Read { path: path.clone(), source };
        let content = LocalFile::content(&path).map_err(read)?;
        let actual = Digest::of(&content);
        if actual != expected {
            return Err(LocalFileError::Changed { path, expected, actual });
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
        keep(wanted, folder.path(), &cache).unwrap();
        assert_eq!(cache.read(&file.digest, 10).unwrap(), b"a");
        assert_eq!(cache.whole(&Digest::of(b"b")).unwrap(), None);

        // What is in the cache needs no file any more.
        fs::remove_file(folder.path().join("a.yaml")).unwrap();
        keep(wanted, folder.path(), &cache).unwrap();
        fs::remove_file(cache.path(&file.digest)).unwrap();
        assert!(matches!(keep(wanted, folder.path(), &cache), Err(LocalFileError::Read { .. })));
        fs::write(folder.path().join("a.yaml"), "other").unwrap();
        assert!(matches!(keep(wanted, folder.path(), &cache), Err(LocalFileError::Changed { .. })));
    }

    #[test]
    fn devices_folders_and_endless_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        fs::File::create(folder.path().join("large")).unwrap().set_len(MAX_BYTES + 1).unwrap();
        for (url, reason) in [("file:/dev/zero", "it is no regular file"), ("file:large", "it is larger than 64 MiB")] {
            let error = keep([(url, Digest::of(b""))], folder.path(), &cache).unwrap_err();
            let LocalFileError::Read { source, .. } = error else { panic!("{error}") };
            assert_eq!(source.to_string(), reason, "{url}");
        }
    }
}
