//! Files beside the settings of a build. The list names them by `file:` and their path, relative to the settings.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use kbundle_format::Digest;

/// The prefix of the address of such a file.
const SCHEME: &str = "file:";
/// Most bytes of such a file, which is kept in memory. A list from somebody else may name an unintended file.
const MAX_BYTES: u64 = 64 << 20;

/// A file of the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// `file:` and its path.
    pub url: String,
    /// Its file name.
    pub name: String,
    /// The digest of its content.
    pub digest: Digest,
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

    /// The path behind the address of such a file; `None` where `url` is another address.
    pub(crate) fn path_of(url: &str, base: &Path) -> Option<PathBuf> {
        url.strip_prefix(SCHEME).map(|path| base.join(path))
    }
}

/// The content of a regular file of at most [`MAX_BYTES`]: a device has no end, and a pipe may have no writer.
pub(crate) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let refuse = |reason: String| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    if !fs::metadata(path)?.is_file() {
        return refuse("it is not a regular file".to_owned());
    }
    let mut content = Vec::new();
    fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_BYTES {
        refuse(format!("it is larger than {} MiB", MAX_BYTES >> 20))
    } else {
        Ok(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_folders_and_endless_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::File::create(folder.path().join("large")).unwrap().set_len(MAX_BYTES + 1).unwrap();
        for (url, reason) in [
            ("file:/dev/zero", "it is not a regular file"),
            ("file:.", "it is not a regular file"),
            ("file:large", "it is larger than 64 MiB"),
        ] {
            let path = LocalFile::path_of(url, folder.path()).unwrap();
            assert_eq!(read_regular(&path).unwrap_err().to_string(), reason, "{url}");
        }
    }
}
