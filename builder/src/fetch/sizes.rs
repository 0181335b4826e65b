//! Asks servers only for sizes: by the headers for a file, and by the documents of an image, which state the sizes of its layers.

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::{Digest, ImageRef, Platform};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH};

use super::http::{Access, Location};
use super::image::PinnedImage;
use super::retry::Insistence;
use super::{FetchError, Fetcher};
use crate::resolve::SelectedImage;

/// What servers say about sizes.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    files: BTreeMap<String, u64>,
    images: BTreeMap<ImageRef, Digest>,
    /// The sizes that no server reported, each with the reason.
    pub failed: Vec<String>,
}

/// Content of unknown size.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    /// Addresses of files.
    pub files: BTreeSet<String>,
    /// Images, for all platforms.
    pub images: Vec<SelectedImage>,
    /// The platforms.
    pub platforms: BTreeSet<Platform>,
}

impl Answers {
    /// The size of the file at an upstream address.
    #[must_use]
    pub fn file(&self, url: &str) -> Option<u64> {
        self.files.get(url).copied()
    }

    /// The document that a reference refers to now. The documents behind it are in the cache.
    #[must_use]
    pub fn image(&self, reference: &ImageRef) -> Option<Digest> {
        self.images.get(reference).copied()
    }
}

impl Fetcher {
    /// Asks for all sizes. Documents of images are kept in the cache, a few KiB each; nothing else is fetched. Sizes that no server reports
    /// are listed in [`Answers::failed`].
    ///
    /// # Errors
    /// A [`FetchError`] of this machine, such as a cache that cannot be written.
    pub async fn ask_sizes(&self, questions: Questions) -> Result<Answers, FetchError> {
        let Questions { files, images, platforms } = questions;
        let mut answers = Answers::default();
        let file = |this: Self, url: String| async move {
            let size = this.size_of(&url).await;
            Ok((url, size))
        };
        for (url, size) in self.all(files.into_iter().collect(), file).await? {
            match size {
                Ok(size) => drop(answers.files.insert(url, size)),
                Err(error) => answers.failed.push(error.to_string()),
            }
        }
        let pairs = images.iter().flat_map(|image| platforms.iter().map(|platform| (image.clone(), platform.clone())));
        let image = |this: Self, (image, platform): (SelectedImage, Platform)| async move {
            let reference = image.reference.clone();
            Ok((reference, PinnedImage::find(&this, image, platform).await))
        };
        for (reference, found) in self.all(pairs.collect(), image).await? {
            match found {
                Ok(found) => drop(answers.images.insert(reference, found.pinned().digest)),
                Err(error) => answers.failed.push(error.to_string()),
            }
        }
        Ok(answers)
    }

    /// The size of the file at an upstream address, from the first mirror that reports it.
    async fn size_of(&self, url: &str) -> Result<u64, FetchError> {
        let mut places = self.web(url, None, 0).places.into_iter().peekable();
        loop {
            let Some(place) = places.next() else {
                return Err(FetchError::NoLength { url: url.to_owned() });
            };
            let insistence =
                if places.peek().is_some() { Insistence::LeavesTheUnreachable } else { Insistence::TriesAgain };
            let retry = self.downloader.retry;
            match retry.run(&place.url, insistence, || self.length_at(&place)).await {
                Err(_) if places.peek().is_some() => {}
                result => return result,
            }
        }
    }

    async fn length_at(&self, place: &Location) -> Result<u64, FetchError> {
        debug_assert!(matches!(place.access, Access::Web), "registries state sizes in manifests");
        let url = place.url.clone();
        let session = &self.downloader.session;
        let response = session.web(&url, |client, url| client.head(url).header(ACCEPT_ENCODING, "identity")).await?;
        match response.status() {
            StatusCode::OK => {
                // The length of the body; in an answer without a body, only the header states it.
                let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
                length.ok_or(FetchError::NoLength { url })
            }
            status => Err(FetchError::Status { url, status, retry_after: None }),
        }
    }
}
