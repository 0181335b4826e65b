//! Images from files of the site. What they are made of goes into the cache, as fetched content does.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use fs_err as fs;
use kbundle_format::{Digest, Platform};

use super::{Cache, FetchError};
use crate::image_file::{FoundImage, ImageFile, ImageFileError};

/// Why an image from a file did not come into the cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepImageError {
    /// The file has no such image, or one that cannot be trusted.
    #[error(transparent)]
    File(#[from] ImageFileError),
    /// The cache could not store it.
    #[error(transparent)]
    Cache(#[from] FetchError),
}

/// Puts the images among `wanted` (where each lies, and its digest) into the cache. Their paths are relative to `base`.
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
            // A piece that the cache lacks as well is reported where it is needed.
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
            // What was copied is of no use, and the copying is what failed.
            let _ = fs::remove_file(&partial);
        }
        copied?;
        cache.keep(&partial, digest)?;
    }
    Ok(())
}
