//! The names of images as people write them, and as the bundle has them.

use std::str::FromStr;

use kbundle_format::{Digest, ImageRef};
use oci_spec::distribution::Reference;

/// A name in the form for a look-up.
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

    /// Reads the names that Docker, Podman and skopeo read, also with a leading `docker://`. A name without a registry is Docker Hub's,
    /// whose names of one part are in `library/`: containerd's CRI plugin does the same with the names in pods (`ParseDockerRef`).
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
