//! Images as people name them: with or without a registry, by tag, by digest, or both.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;

use kbundle_format::{Digest, ImageRef, Platform};
use serde::{Deserialize, Deserializer};

use crate::image_file::{ImageFile, ImageFileError, ImageFileSyntax};
use crate::image_name::ImageName;

/// A requested image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRequest {
    /// The upstream reference, with its registry.
    pub reference: ImageRef,
    /// The digest that it has to refer to.
    pub digest: Option<Digest>,
    /// The file on this machine that contains it; absent if a registry has it.
    pub file: Option<ImageFile>,
}

/// The text is not the name of an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageRequestError {
    /// The text is not the name of an image in a registry.
    #[error(
        "`{text}` is not an image; expected `REGISTRY/REPOSITORY:TAG@sha256:DIGEST`, tag or digest alone, or a name of Docker Hub such as `nginx:1.27`"
    )]
    Name {
        /// The text.
        text: String,
    },
    /// An image file without the name of its image in the bundle.
    #[error("`{text}` does not say what the image is called; expected `REGISTRY/REPOSITORY:TAG={text}`")]
    NoName {
        /// The text.
        text: String,
    },
    /// The text after the name is not an image file.
    #[error(transparent)]
    File(#[from] ImageFileSyntax),
}

impl FromStr for ImageRequest {
    type Err = ImageRequestError;

    /// Reads an [`ImageName`]. `NAME=oci:PATH[:TAG]` and `NAME=docker-archive:PATH[:REFERENCE]` are images from files, which get that name
    /// in the bundle.
    fn from_str(text: &str) -> Result<Self, ImageRequestError> {
        if let Some((name, file)) = text.split_once('=') {
            return Ok(Self { file: Some(file.parse()?), ..name.parse()? });
        }
        if text.parse::<ImageFile>().is_ok() {
            return Err(ImageRequestError::NoName { text: text.to_owned() });
        }
        let name: ImageName = text.parse().map_err(|_| ImageRequestError::Name { text: text.to_owned() })?;
        Ok(Self { reference: name.reference, digest: name.digest, file: None })
    }
}

impl ImageRequest {
    /// The request from a command line, for a build whose paths are relative to `folder`. Paths on the command line are relative to the
    /// working folder.
    pub(super) fn named_beside(mut self, folder: &Path) -> Result<Self, ImageFileError> {
        if let Some(file) = self.file.take() {
            let other_folder = !folder.as_os_str().is_empty();
            self.file = Some(if other_folder { file.absolute()? } else { file });
        }
        Ok(self)
    }

    /// The request with the digest of the image in its file, if it has a file. Refuses if another digest was asked for.
    pub(super) fn pinned(self, folder: &Path, platforms: &BTreeSet<Platform>) -> Result<Self, ImageFileError> {
        let Some(file) = &self.file else { return Ok(self) };
        let actual = file.read(folder, platforms)?.digest;
        match self.digest {
            Some(expected) if expected != actual => {
                Err(ImageFileError::Changed { file: file.clone(), expected, actual })
            }
            _ => Ok(Self { digest: Some(actual), ..self }),
        }
    }
}

impl<'de> Deserialize<'de> for ImageRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        kbundle_format::text::deserialize(deserializer)
    }
}

/// For serde: reads a reference as people write it, such as `docker.io/nginx:1.27`, and returns its full form.
///
/// # Errors
/// [`ImageRequestError`], in serde's words.
pub fn familiar_reference<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ImageRef, D::Error> {
    ImageRequest::deserialize(deserializer).map(|request| request.reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_pods_are_looked_up_by() {
        let digest = Digest::of(b"index");
        let by_digest = format!("@{digest}");
        for (text, reference, pinned) in [
            ("registry.k8s.io/pause:3.8", "registry.k8s.io/pause:3.8", false),
            ("nginx:1.27", "docker.io/library/nginx:1.27", false),
            ("docker.io/nginx:1.27", "docker.io/library/nginx:1.27", false),
            ("index.docker.io/nginx:1.27", "docker.io/library/nginx:1.27", false),
            ("grafana/loki:3", "docker.io/grafana/loki:3", false),
            ("docker://quay.io/a/b:1", "quay.io/a/b:1", false),
            ("localhost/a:1", "localhost/a:1", false),
            ("nginx", "docker.io/library/nginx:latest", false),
            (&format!("registry.k8s.io/pause:3.8{by_digest}"), "registry.k8s.io/pause:3.8", true),
            (&format!("127.0.0.1:5000/a{by_digest}"), &format!("127.0.0.1:5000/a{by_digest}"), true),
            (&format!("nginx{by_digest}"), &format!("docker.io/library/nginx{by_digest}"), true),
        ] {
            let request: ImageRequest = text.parse().unwrap();
            assert_eq!(request.reference.to_string(), reference);
            assert_eq!(request.digest, pinned.then_some(digest), "{text}");
        }
        for wrong in
            ["", "docker://", "a b", "Nginx:1", "oci:folder:1", "r.io/a:1@sha256:1", "https://r.io/a:1", "r.io/"]
        {
            assert!(wrong.parse::<ImageRequest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn images_of_files_have_a_name() {
        for (text, reference, file) in [
            ("r.io/a:1=oci:images/a", "r.io/a:1", "oci:images/a"),
            ("a:1=oci:images/a:1.2", "docker.io/library/a:1", "oci:images/a:1.2"),
            ("r.io/a:1=docker-archive:a.tar:r.io:5000/a:1", "r.io/a:1", "docker-archive:a.tar:r.io:5000/a:1"),
        ] {
            let request: ImageRequest = text.parse().unwrap();
            assert_eq!(request.reference.to_string(), reference);
            assert_eq!(request.file.unwrap().to_string(), file);
        }
        for (wrong, words) in [
            ("oci:images/a:1", "does not say what the image is called"),
            ("r.io/a:1=images/a", "is not `oci:PATH[:TAG]`"),
            ("r.io/a:1=oci:", "is not `oci:PATH[:TAG]`"),
            ("r.io/a:1=oci:a:", "is not `oci:PATH[:TAG]`"),
            ("r.io/a:1=oci://r.io/b:1", "is not `oci:PATH[:TAG]`"),
            ("=oci:a", "is not an image"),
        ] {
            let error = wrong.parse::<ImageRequest>().unwrap_err().to_string();
            assert!(error.contains(words), "{wrong}: {error}");
        }
    }
}
