//! Why images could not be copied.

use kbundle_format::{Digest, EntryPath, ReadError};

use crate::fetch::{Breakdown, FetchError};

/// Why images could not be copied into a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The registry could not be asked.
    #[error(transparent)]
    Registry(FetchError),
    /// The registry refused.
    #[error("the registry refused {what}: {status}{}", said.as_ref().map(|said| format!(", {said}")).unwrap_or_default())]
    Refused {
        /// What it was asked for, such as `to store blob sha256:… in k8s/pause`.
        what: String,
        /// Its answer.
        status: reqwest::StatusCode,
        /// The code and message of the answer's first error.
        said: Option<String>,
    },
    /// The registry has other content under the digest.
    #[error("the registry calls {what} {actual} instead of {expected}")]
    OtherDigest {
        /// The name under which it was stored.
        what: String,
        /// The digest that was sent.
        expected: Digest,
        /// The registry's answer.
        actual: String,
    },
    /// Two images would get the same name.
    #[error("{first} and {second} would both be {name}")]
    Collision {
        /// An image.
        first: String,
        /// Another image.
        second: String,
        /// The name of both.
        name: String,
    },
    /// The bundle carries none of its images.
    #[error("the bundle carries no image")]
    NoImages,
    /// A document of an image cannot be read.
    #[error("image {reference}: {digest} {reason}")]
    Image {
        /// The image.
        reference: String,
        /// The document.
        digest: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry lacks content that the bundle lacks as well, as a differential bundle does.
    #[error("neither the bundle nor the registry has {path}")]
    Missing {
        /// The entry.
        path: EntryPath,
    },
    /// The bundle cannot be read.
    #[error("cannot read the bundle")]
    Bundle(#[from] ReadError),
}

impl From<FetchError> for PushError {
    fn from(error: FetchError) -> Self {
        Self::Registry(error)
    }
}

impl PushError {
    /// Whether the registry demands content that a document names.
    pub(super) fn is_for_missing_content(&self) -> bool {
        let codes = ["MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN", "MANIFEST_INVALID", "BLOB_UNKNOWN"];
        match self {
            Self::Refused { status, said, .. } => {
                matches!(status.as_u16(), 400 | 404 | 422)
                    && said.as_ref().is_some_and(|said| codes.iter().any(|code| said.starts_with(code)))
            }
            _ => false,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Registry(error) if error.fails_for(&Breakdown::NoTls) => {
                "if the registry is meant to work without TLS, give its address with http: `http://REGISTRY[/PREFIX]`"
            }
            Self::Registry(error) if error.is_breakdown() => {
                "what was uploaded is kept; run the same command again. HTTPS_PROXY, NO_PROXY, --ca-file and --certs-dir say how it is reached"
            }
            Self::Registry(error) => return error.hint(),
            Self::Refused { status, .. } if matches!(status.as_u16(), 401 | 403) => {
                "log in with `skopeo login` or `docker login`, or name the file of credentials with `--registry-config FILE`; the user must be allowed to write there"
            }
            Self::Refused { status, .. } if status.as_u16() == 404 => {
                "some registries want their project or repository made first; name it as PREFIX in `REGISTRY/PREFIX`"
            }
            Self::Collision { .. } => "`--scoped` puts the upstream registry into each name",
            Self::NoImages => "`kbundle inspect` shows what it carries",
            Self::Missing { .. } => {
                "push the bundle that it was made from first, or complete this one with `kbundle join`"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
