//! Why fetching failed, and what to do about it.

use std::io;
use std::path::PathBuf;

use kbundle_commands::destination::DestinationError;
use kbundle_format::{Digest, ImageRef, Platform};

use super::Breakdown;
use crate::upstream::Server;

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The server gave other content than the pin says.
    #[error("{url} has digest {actual} instead of {expected}")]
    DigestMismatch {
        /// Where it came from.
        url: String,
        /// The pin.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The content has another size than its descriptor or lock says.
    #[error("{url} has {actual} bytes or more instead of {expected}")]
    SizeMismatch {
        /// Where it came from.
        url: String,
        /// What was announced.
        expected: u64,
        /// Bytes that had come when it was noticed.
        actual: u64,
    },
    /// More bytes than such content may have.
    #[error("{url} has more than {most} bytes")]
    TooLarge {
        /// Where it came from.
        url: String,
        /// The bound.
        most: u64,
    },
    /// The server answered, but not with the content.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked.
        url: String,
        /// Code and name, such as `404 Not Found`.
        status: reqwest::StatusCode,
    },
    /// No answer, or one that broke off.
    #[error("cannot fetch {url}{}", redirected.as_ref().map(|host| format!(", which redirects to {host}")).unwrap_or_default())]
    Transport {
        /// What was asked.
        url: String,
        /// The host that failed, where redirects led to another one.
        redirected: Option<String>,
        /// The cause.
        source: Breakdown,
    },
    /// Servers that cannot be reached at all.
    #[error("cannot reach {}", failed_words(failed))]
    Unreachable {
        /// All of them.
        failed: Vec<(Server, Breakdown)>,
        /// What failed first.
        source: Box<FetchError>,
    },
    /// The answer ended before its content did.
    #[error("{url} ended after {actual} bytes of {expected}")]
    ShortBody {
        /// What was asked.
        url: String,
        /// Bytes that came.
        actual: u64,
        /// Bytes that were announced.
        expected: u64,
    },
    /// The server does not continue a download where its beginning ends.
    #[error("the server does not continue {url} at byte {kept}, where an earlier download ended; it has to start over")]
    NotContinued {
        /// What was asked.
        url: String,
        /// Bytes that were there.
        kept: u64,
    },
    /// It failed as often as it may.
    #[error("gave up on {url} after {attempts} attempts")]
    GaveUp {
        /// What was asked.
        url: String,
        /// How often.
        attempts: u32,
        /// The last failure.
        source: Box<FetchError>,
    },
    /// The registry gave no token.
    #[error("cannot get access to {repository} on registry {registry}")]
    Authorization {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
        /// What it said.
        source: Box<oci_distribution::errors::OciDistributionError>,
    },
    /// A document of an image that is not what it should be.
    #[error("image {reference}: {digest} {reason}")]
    Image {
        /// The image.
        reference: Box<ImageRef>,
        /// The document.
        digest: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// The index has nothing for the platform.
    #[error("image {reference} has nothing for {platform}; it has {}", known.join(", "))]
    NoPlatform {
        /// The image.
        reference: Box<ImageRef>,
        /// What was asked for.
        platform: Platform,
        /// What there is.
        known: Vec<String>,
    },
    /// A checksum file without a checksum.
    #[error("{url} does not begin with a SHA-256")]
    NoChecksum {
        /// The checksum file.
        url: String,
    },
    /// The cache could not be used.
    #[error("cannot use the cache at {}", path.display())]
    Cache {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The cache has too little room.
    #[error("the cache has too little room for what is still to be fetched")]
    NoRoom {
        /// How much is free and how much is needed.
        source: DestinationError,
    },
    /// The HTTP client could not be set up.
    #[error("cannot set up HTTP{}", ca_file.as_ref().map(|path| format!(" with {}", path.display())).unwrap_or_default())]
    Client {
        /// The file of additional certificate authorities, where one was given.
        ca_file: Option<PathBuf>,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The program's own tasks broke.
    #[error("a task of the fetch ended early")]
    Task {
        /// The cause.
        source: tokio::task::JoinError,
    },
}

impl FetchError {
    /// Whether a later attempt may succeed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => status.is_server_error() || matches!(status.as_u16(), 408 | 429),
            Self::Transport { source, .. } => source.may_pass(),
            Self::ShortBody { .. } | Self::NotContinued { .. } => true,
            _ => false,
        }
    }

    /// Whether a server gave no answer at all, as without a network.
    #[must_use]
    pub fn is_breakdown(&self) -> bool {
        match self {
            Self::Transport { .. } => true,
            Self::GaveUp { source, .. } => source.is_breakdown(),
            _ => false,
        }
    }

    /// Whether content was refused: nothing was written that another run would have to undo.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::DigestMismatch { .. }
                | Self::SizeMismatch { .. }
                | Self::TooLarge { .. }
                | Self::Image { .. }
                | Self::NoPlatform { .. }
                | Self::NoChecksum { .. }
                | Self::NoRoom { .. }
        )
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::DigestMismatch { .. } => {
                "nothing of it was kept; ask whoever runs the server, or correct the catalog if upstream announced the change"
            }
            Self::Status { status, .. } if status.as_u16() == 404 => {
                "check the version in the catalog, and the mirror if one is set"
            }
            Self::Status { status, .. } if matches!(status.as_u16(), 401 | 403) => {
                "for a registry, log in with `docker login` or `skopeo login`; credentials are read from `~/.docker/config.json`"
            }
            Self::GaveUp { .. } | Self::Transport { .. } | Self::Unreachable { .. } => {
                "what was fetched is kept, and the next run resumes there; behind a proxy set HTTPS_PROXY, --mirror or --ca-file"
            }
            Self::Authorization { .. } => {
                "credentials are read from `~/.docker/config.json` (or `$DOCKER_CONFIG`), field `auths`"
            }
            Self::Cache { .. } | Self::NoRoom { .. } => "choose another place with `--cache DIR`",
            _ => return None,
        })
    }
}

/// `dl.k8s.io, github.com: no answer in time; quay.io: there is no route to it`.
fn failed_words(failed: &[(Server, Breakdown)]) -> String {
    let mut groups: Vec<(Vec<String>, &Breakdown)> = Vec::new();
    for (server, why) in failed {
        match groups.iter_mut().find(|(_, known)| *known == why) {
            Some((servers, _)) => servers.push(server.to_string()),
            None => groups.push((vec![server.to_string()], why)),
        }
    }
    let groups: Vec<_> = groups.into_iter().map(|(servers, why)| format!("{}: {why}", servers.join(", "))).collect();
    groups.join("; ")
}
