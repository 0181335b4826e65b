//! Images as people name them: with or without a registry, by tag, by digest, or both.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;

use kbundle_format::{Digest, ImageRef, Platform};
use serde::{Deserialize, Deserializer};

use crate::image_file::{ImageFile, ImageFileError, ImageFileSyntax};
use crate::image_name::ImageName;

/// An image that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRequest {
    /// The upstream reference, with its registry.
    pub reference: ImageRef,
    /// What it has to stand for.
    pub digest: Option<Digest>,
    /// The file of this machine that has it; absent where a registry has it.
    pub file: Option<ImageFile>,
}

/// The text is not the name of an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageRequestError {
    /// Not the name that an image has in a registry.
    #[error(
        "`{text}` is not an image; expected `REGISTRY/REPOSITORY:TAG@sha256:DIGEST`, tag or digest alone, or a name of Docker Hub such as `nginx:1.27`"
    )]
    Name {
        /// The text.
        text: String,
    },
    /// A file without the name that the bundle has for its image.
    #[error("`{text}` does not say what the image is called; expected `REGISTRY/REPOSITORY:TAG={text}`")]
    NoName {
        /// The text.
        text: String,
    },
    /// What follows the name is not a file.
    #[error(transparent)]
    File(#[from] ImageFileSyntax),
}

impl FromStr for ImageRequest {
    type Err = ImageRequestError;

    /// Reads an [`ImageName`]. `NAME=oci:PATH[:TAG]` and `NAME=docker-archive:PATH[:REFERENCE]` are images from files, which the bundle has under that name.
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
    /// Of the command line, whose paths are relative to where the program runs, for a build whose paths are relative to `folder`.
    pub(super) fn named_beside(mut self, folder: &Path) -> Result<Self, ImageFileError> {
        if let Some(file) = self.file.take() {
            let other_folder = !folder.as_os_str().is_empty();
            self.file = Some(if other_folder { file.absolute()? } else { file });
        }
        Ok(self)
    }

    /// With the digest of what its file has, where it is from one. Another digest that was asked for is refused.
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

/// For serde: a reference as people write it, such as `docker.io/nginx:1.27`, as the one that it stands for.
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
