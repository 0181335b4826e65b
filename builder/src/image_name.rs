//! The names of images as people write them, and as the bundle has them.

use std::str::FromStr;

use kbundle_format::{Digest, ImageRef};
use oci_spec::distribution::Reference;

/// A name as it is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// With its registry, and with a tag or a digest.
    pub reference: ImageRef,
    /// The digest in the name.
    pub digest: Option<Digest>,
}

/// The text is not the name of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an image")]
pub struct NoImageName;

impl FromStr for ImageName {
    type Err = NoImageName;

    /// Reads what Docker, Podman and skopeo read, `docker://` in front of it as well. Without a registry it is Docker Hub's, whose names of
    /// one part lie in `library/`: containerd's CRI plugin makes the same of what pods name (`ParseDockerRef`).
    fn from_str(text: &str) -> Result<Self, NoImageName> {
        let bare = text.strip_prefix("docker://").unwrap_or(text);
        let named: Reference = bare.parse().map_err(|_| NoImageName)?;
        let digest = named.digest().map(str::parse).transpose().map_err(|_| NoImageName)?;
        let repository = format!("{}/{}", named.registry(), named.repository());
        let reference = match (named.tag(), digest) {
            (Some(tag), _) => format!("{repository}:{tag}"),
            (None, Some(digest)) => format!("{repository}@{digest}"),
            (None, None) => return Err(NoImageName),
        };
        Ok(Self { reference: reference.parse().map_err(|_| NoImageName)?, digest })
    }
}
