//! Images as people name them: with or without a registry, by tag, by digest, or both.

use std::str::FromStr;

use kbundle_format::{Digest, ImageRef};
use oci_spec::distribution::Reference;
use serde::{Deserialize, Deserializer};

/// An image that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRequest {
    /// The upstream reference, with its registry.
    pub reference: ImageRef,
    /// What it has to stand for.
    pub digest: Option<Digest>,
}

/// The text is not the name of an image.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}` is not an image; expected `REGISTRY/REPOSITORY:TAG@sha256:DIGEST`, tag or digest alone, or a name of Docker Hub such as `nginx:1.27`"
)]
pub struct ImageRequestError {
    text: String,
}

impl FromStr for ImageRequest {
    type Err = ImageRequestError;

    /// Reads what Docker, Podman and skopeo read, `docker://` in front of it as well. Without a registry it is Docker Hub's, whose names of
    /// one part lie in `library/`: containerd's CRI plugin makes the same of what pods name (`ParseDockerRef`).
    fn from_str(text: &str) -> Result<Self, ImageRequestError> {
        let error = || ImageRequestError { text: text.to_owned() };
        let bare = text.strip_prefix("docker://").unwrap_or(text);
        let named: Reference = bare.parse().map_err(|_| error())?;
        let digest = named.digest().map(str::parse).transpose().map_err(|_| error())?;
        let repository = format!("{}/{}", named.registry(), named.repository());
        let reference = match (named.tag(), digest) {
            (Some(tag), _) => format!("{repository}:{tag}"),
            (None, Some(digest)) => format!("{repository}@{digest}"),
            (None, None) => return Err(error()),
        };
        Ok(Self { reference: reference.parse().map_err(|_| error())?, digest })
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
}
