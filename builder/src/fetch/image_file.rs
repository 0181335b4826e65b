//! Images from files of the site. Their content goes into the cache, like fetched content.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use fs_err as fs;
use kbundle_format::{Digest, Platform};

use super::{Cache, FetchError};
use crate::image_file::{FoundImage, ImageFile, ImageFileError};

/// Why an image from a file could not be put into the cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepImageError {
    /// The file does not have the image, or the image cannot be trusted.
    #[error(transparent)]
    File(#[from] ImageFileError),
    /// The cache could not store it.
    #[error(transparent)]
    Cache(#[from] FetchError),
}

/// Puts the image files among `wanted` (each with its place and its digest) into the cache. Their paths are relative to `base`.
///
/// # Errors
/// [`KeepImageError`]: one is missing, has changed or cannot be trusted.
pub fn keep_image_files<'a>(
    wanted: impl IntoIterator<Item = (&'a ImageFile, Digest)>,
    base: &Path,
    platforms: &BTreeSet<Platform>,
    cache: &Cache,
) -> Result<(), KeepImageError> {
    for (file, expected) in wanted {
        let found = match file.read(base, platforms) {
            Ok(found) => found,
            // A piece that the cache lacks as well is reported when it is needed.
            Err(ImageFileError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound && cache.whole(&expected)?.is_some() =>
            {
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if found.digest != expected {
            return Err(ImageFileError::Changed { file: file.clone(), expected, actual: found.digest }.into());
        }
        keep(&found, file, cache)?;
    }
    Ok(())
}

/// Copies every piece that `cache` lacks.
fn keep(found: &FoundImage, file: &ImageFile, cache: &Cache) -> Result<(), KeepImageError> {
    for digest in found.digests() {
        if cache.whole(digest)?.is_some() {
            continue;
        }
        let partial = cache.partial(&digest.hex());
        let copied = found.copy(file, digest, &partial);
        if copied.is_err() {
            // The copy is useless, and the error of copying is the cause.
            let _ = fs::remove_file(&partial);
        }
        copied?;
        cache.keep(&partial, digest)?;
    }
    Ok(())
}
