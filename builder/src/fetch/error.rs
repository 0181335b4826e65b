//! Why fetching failed, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use kbundle_commands::destination::DestinationError;
use kbundle_format::os_package::DistributionName;
use kbundle_format::{Digest, ImageRef, Platform};
use reqwest::Url;

use super::{Breakdown, RetryPolicy};
use crate::chart::ChartError;
use crate::os_packages::OsPackageError;
use crate::registry::CredentialError;
use crate::resolve::ResolveError;
use crate::upstream::{Server, origin};

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The content has another digest than its pin.
    #[error("{url} has digest {actual} instead of {expected}")]
    DigestMismatch {
        /// Where it came from.
        url: String,
        /// The pin.
        expected: Digest,
        /// The content's own digest.
        actual: Digest,
    },
    /// The content has another size than its descriptor or lock says.
    #[error("{url} has {actual} bytes or more instead of {expected}")]
    SizeMismatch {
        /// Where it came from.
        url: String,
        /// The size in the descriptor or lock.
        expected: u64,
        /// Bytes received when the difference was found.
        actual: u64,
    },
    /// The content exceeds its upper bound.
    #[error("{url} has more than {most} bytes")]
    TooLarge {
        /// Where it came from.
        url: String,
        /// The bound.
        most: u64,
    },
    /// The server answered with another status.
    #[error("{url} answered {status}{}", retry_after.map(|pause| format!(" and asks to wait {} s", pause.as_secs())).unwrap_or_default())]
    Status {
        /// The address.
        url: String,
        /// Code and name, such as `404 Not Found`.
        status: reqwest::StatusCode,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// An image file lacks content that the image needs.
    #[error("{file} lacks {}, which the image needs", digest.map_or_else(|| "its manifest".to_owned(), |digest| digest.to_string()))]
    NotInFile {
        /// The image file.
        file: String,
        /// The missing content.
        digest: Option<Digest>,
    },
    /// A text from a catalog or a server is not an address.
    #[error("`{url}` is not an address")]
    Address {
        /// The text.
        url: String,
    },
    /// No answer, or one that ended early.
    #[error("cannot fetch {url}{}{}", redirected.as_ref().map(|host| format!(", which redirects to {host}")).unwrap_or_default(), through(proxy.as_ref()))]
    Transport {
        /// The address.
        url: String,
        /// The host that failed, if redirects led to another host.
        redirected: Option<String>,
        /// The proxy in use, if the environment sets one for the address.
        proxy: Option<String>,
        /// The cause.
        source: Breakdown,
    },
    /// Servers that cannot be reached at all.
    #[error("cannot reach {}", failed_words(failed))]
    Unreachable {
        /// All of these servers.
        failed: Vec<(Server, Breakdown)>,
        /// The first error.
        source: Box<FetchError>,
    },
    /// The answer ended before its content did.
    #[error("{url} ended after {actual} bytes of {expected}")]
    ShortBody {
        /// The address.
        url: String,
        /// Bytes that were received.
        actual: u64,
        /// Bytes that were announced.
        expected: u64,
    },
    /// The server cannot resume a download.
    #[error("the server cannot resume {url} at byte {kept}; the download starts again from the beginning")]
    NotContinued {
        /// The address.
        url: String,
        /// Bytes that an earlier download left.
        kept: u64,
    },
    /// Every allowed attempt failed.
    #[error("gave up on {url} after {attempts} attempts")]
    GaveUp {
        /// The address.
        url: String,
        /// The number of attempts.
        attempts: u32,
        /// The last failure.
        source: Box<FetchError>,
    },
    /// No mirror gave the content.
    #[error("no mirror gave the content: {}", failed.iter().map(chain).collect::<Vec<_>>().join("; "))]
    NoMirror {
        /// The error of each, in the order of the mirrors.
        failed: Vec<FetchError>,
    },
    /// The registry gave no token.
    #[error("cannot get access to {repository} on registry {registry}: {reason}")]
    Authorization {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
        /// The reason.
        reason: String,
    },
    /// The user's credentials cannot be read.
    #[error("cannot use the credentials for registries")]
    Credentials {
        /// The reason.
        source: CredentialError,
    },
    /// The certificates of a host cannot be used.
    #[error("cannot use {} for TLS", path.display())]
    Certificates {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An index, manifest or config of an image that is not valid.
    #[error("image {reference}: {digest} {reason}")]
    Image {
        /// The image.
        reference: Box<ImageRef>,
        /// The document.
        digest: Digest,
        /// What is wrong.
        reason: String,
    },
    /// The index has no manifest for the platform.
    #[error("image {reference} has no manifest for {platform}; it has {}", known.join(", "))]
    NoPlatform {
        /// The image.
        reference: Box<ImageRef>,
        /// The wanted platform.
        platform: Platform,
        /// The platforms that it has.
        known: Vec<String>,
    },
    /// A chart of the site cannot be taken.
    #[error("cannot take the chart of {release}")]
    Chart {
        /// The release.
        release: String,
        /// Why.
        source: Box<ChartError>,
    },
    /// The images of a chart of the site cannot be selected.
    #[error("cannot take the chart of {release}")]
    ChartImages {
        /// The release.
        release: String,
        /// The reason.
        source: Box<ResolveError>,
    },
    /// Packages of a distribution cannot be taken.
    #[error("cannot take the packages for {distribution}")]
    OsPackages {
        /// The release of the distribution.
        distribution: DistributionName,
        /// The reason.
        source: Box<OsPackageError>,
    },
    /// A checksum file without a checksum.
    #[error("{url} does not begin with a SHA-256")]
    NoChecksum {
        /// The checksum file.
        url: String,
    },
    /// An answer does not state the length of its content.
    #[error("{url} does not tell its size")]
    NoLength {
        /// The address.
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
    /// The cache has too little free space.
    #[error("the cache has too little free space for the rest of the download")]
    NoRoom {
        /// How much space is free and how much is needed.
        source: DestinationError,
    },
    /// The HTTP client could not be set up.
    #[error("cannot set up the HTTP client{}", ca_file.as_ref().map(|path| format!(" with {}", path.display())).unwrap_or_default())]
    Client {
        /// The file of additional certificate authorities, if one was given.
        ca_file: Option<PathBuf>,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A task of the program panicked or was cancelled.
    #[error("a task of the fetch ended early")]
    Task {
        /// The cause.
        source: tokio::task::JoinError,
    },
}

impl FetchError {
    /// The error for an address that gave no answer, or an incomplete one.
    pub(crate) fn no_answer(url: &str, error: &reqwest::Error) -> Self {
        let host = |url: &Url| url.host_str().map(str::to_owned);
        let asked = Url::parse(url).ok();
        let asked_host = asked.as_ref().and_then(host);
        let redirected =
            error.url().and_then(host).filter(|last| asked_host.as_ref().is_some_and(|asked| asked != last));
        let proxy = error.url().or(asked.as_ref()).and_then(proxy_of);
        Self::Transport { url: url.to_owned(), redirected, proxy, source: Breakdown::of(error) }
    }

    /// Whether a later attempt may succeed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, retry_after, .. } => {
                let may_pass = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
                may_pass && retry_after.is_none_or(|pause| pause <= RetryPolicy::LONGEST_ASKED_FOR)
            }
            Self::Transport { source, .. } => source.may_pass(),
            Self::ShortBody { .. } | Self::NotContinued { .. } => true,
            _ => false,
        }
    }

    /// Whether every server that was asked said that it does not have the content. Object stores answer 403 if they do not list their
    /// content.
    #[must_use]
    pub fn is_not_there(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status.as_u16(), 403 | 404 | 410),
            Self::NoMirror { failed } => failed.iter().all(Self::is_not_there),
            _ => false,
        }
    }

    /// Whether a server gave no answer at all, as without a network.
    #[must_use]
    pub fn is_breakdown(&self) -> bool {
        match self {
            Self::Transport { .. } => true,
            Self::GaveUp { source, .. } => source.is_breakdown(),
            Self::NoMirror { failed } => failed.iter().all(Self::is_breakdown),
            _ => false,
        }
    }

    /// Whether the server could not be reached, so that another place should be asked first.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Transport { source, .. } => source.is_before_connection(),
            Self::GaveUp { source, .. } => source.is_unreachable(),
            _ => false,
        }
    }

    /// Whether the last attempt failed because of `why`.
    #[must_use]
    pub fn fails_for(&self, why: &Breakdown) -> bool {
        match self {
            Self::Transport { source, .. } => source == why,
            Self::GaveUp { source, .. } => source.fails_for(why),
            _ => false,
        }
    }

    /// How long the server asks to wait before the next attempt.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the content was refused, so that no part of it was kept.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        if let Self::NoMirror { failed } = self {
            return failed.iter().any(Self::is_refusal);
        }
        matches!(
            self,
            Self::DigestMismatch { .. }
                | Self::SizeMismatch { .. }
                | Self::TooLarge { .. }
                | Self::Image { .. }
                | Self::NoPlatform { .. }
                | Self::NoChecksum { .. }
                | Self::NotInFile { .. }
                | Self::NoRoom { .. }
        )
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        const CREDENTIALS: &str = "log in with `skopeo login` or `docker login`, or name the file of credentials with `--registry-config FILE`";
        let hint = match self {
            Self::DigestMismatch { .. } => {
                "the content was not kept; ask the operator of the server, or correct the catalog if upstream announced the change"
            }
            Self::Status { status, .. } if status.as_u16() == 404 => {
                "check the version in the catalog, and the mirror if one is set"
            }
            Self::Status { status, .. } if matches!(status.as_u16(), 401 | 403) => CREDENTIALS,
            Self::Status { status, .. } if status.as_u16() == 429 => {
                "what was fetched is kept; run the same command again later, log in to the registry, or use a mirror with `--mirror`"
            }
            Self::Transport { source: Breakdown::NoTls, url, .. } => {
                let asked = origin(url).unwrap_or(url);
                return Some(plain_http(asked, asked));
            }
            Self::Unreachable { failed, source } => {
                let mut failed = failed.iter();
                return match failed.find(|(_, why)| *why == Breakdown::NoTls) {
                    Some((server, _)) => Some(plain_http(&server.name, &server.origin)),
                    None => source.hint(),
                };
            }
            Self::Transport { source: Breakdown::ProxyAuthentication, .. } => {
                "give them in the proxy's address: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
            }
            Self::Transport { proxy: Some(_), .. } => {
                "the proxy is that of HTTPS_PROXY, HTTP_PROXY or ALL_PROXY; hosts in NO_PROXY are reached without it"
            }
            Self::GaveUp { source, .. } => return source.hint().or_else(|| Some(RESUMES.to_owned())),
            Self::Transport { .. } => RESUMES,
            Self::Authorization { .. } => CREDENTIALS,
            Self::Credentials { .. } => {
                "name another file with `--registry-config FILE`; one with `{}` in it has no credentials"
            }
            Self::NoMirror { failed } => return failed.iter().rev().find_map(Self::hint),
            Self::NotInFile { .. } => {
                "copy it with all platforms: `skopeo copy --all`; a lock and its image files stay together"
            }
            Self::Cache { .. } | Self::NoRoom { .. } => "choose another place with `--cache DIR`",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

const RESUMES: &str =
    "what was fetched is kept, and the next run resumes there; behind a proxy set HTTPS_PROXY, --mirror or --ca-file";

/// The environment's proxy for `url`, without user and password.
fn proxy_of(url: &Url) -> Option<String> {
    let intercepted = Matcher::from_env().intercept(&url.as_str().parse().ok()?)?;
    let proxy = intercepted.uri();
    let port = proxy.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{}{port}", proxy.scheme_str()?, proxy.host()?))
}

/// How to name a registry without TLS.
fn plain_http(name: &str, origin: &str) -> String {
    let host = |address: &str| address.split_once("://").map_or(address, |(_, host)| host).to_owned();
    format!(
        "if the server is meant to work without TLS, give its address with http: `--mirror {}=http://{}`",
        host(name),
        host(origin)
    )
}

/// ` through the proxy http://proxy.example:3128`
fn through(proxy: Option<&String>) -> String {
    proxy.map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default()
}

/// An error and its causes on one line.
fn chain(error: &FetchError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// `dl.k8s.io, github.com: no answer in time; quay.io: there is no route to the host`.
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
