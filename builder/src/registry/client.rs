//! HTTP clients: one for all hosts, and a separate one for each host with certificates of its own.
//!
//! Trusted: the system's certificate authorities, Mozilla's (compiled in, for hosts without any), and those of `--ca-file`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use kbundle_format::text_file;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Url};

use super::certificates::{self, HostCertificates};
use crate::fetch::FetchError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const USER_AGENT: &str = concat!("kbundle/", env!("CARGO_PKG_VERSION"));
pub(super) const MOST_REDIRECTS: usize = 10;

/// Settings for connections to servers.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Longest silence of a server, before an answer or in the middle of it.
    pub timeout: Duration,
    /// PEM certificates of additional authorities.
    pub ca_file: Option<PathBuf>,
    /// Folders that may contain a folder for a host, with authorities or a client certificate for it; in this order.
    pub certificate_folders: Vec<PathBuf>,
}

impl HttpSettings {
    /// `named` and then the usual folders. Source: containers-certs.d(5); Docker, "Verify repository client with certificates".
    #[must_use]
    pub fn certificate_folders(named: Option<PathBuf>) -> Vec<PathBuf> {
        let home = std::env::home_dir().map(|home| home.join(".config/containers/certs.d"));
        let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
        named.into_iter().chain(home).chain(system).collect()
    }

    /// Checks that the authorities can be read.
    ///
    /// # Errors
    /// [`FetchError::Client`].
    pub fn check(&self) -> Result<(), FetchError> {
        http_client(self, Policy::none()).map(drop)
    }
}

/// The clients.
#[derive(Debug)]
pub(super) struct Clients {
    settings: HttpSettings,
    /// For hosts without certificates of their own.
    usual: reqwest::Client,
    /// By `HOST[:PORT]`; `None` for hosts that use `usual`.
    of_hosts: Mutex<HashMap<String, Option<reqwest::Client>>>,
}

impl Clients {
    pub fn new(settings: HttpSettings) -> Result<Self, FetchError> {
        let usual = http_client(&settings, Policy::limited(MOST_REDIRECTS))?;
        Ok(Self { settings, usual, of_hosts: Mutex::default() })
    }

    /// The client for the host of `url`.
    pub fn of(&self, url: &Url) -> Result<reqwest::Client, FetchError> {
        let host = authority(url);
        let mut known = self.of_hosts.lock().expect("nothing panics while holding it");
        if !known.contains_key(&host) {
            let client = match certificates::of_host(&self.settings.certificate_folders, &host)? {
                Some(own) => Some(build(&self.settings, Policy::custom(within_the_host), Some(own))?),
                None => None,
            };
            known.insert(host.clone(), client);
        }
        Ok(known.get(&host).cloned().flatten().unwrap_or_else(|| self.usual.clone()))
    }

    pub fn settings(&self) -> &HttpSettings {
        &self.settings
    }
}

/// Follows redirects only on the same host: no other host gets the client certificate, or is trusted because of this one's authority.
fn within_the_host(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() > MOST_REDIRECTS {
        return attempt.error("too many redirects");
    }
    let stays = attempt.previous().first().is_some_and(|first| authority(first) == authority(attempt.url()));
    if stays { attempt.follow() } else { attempt.stop() }
}

/// `HOST`, or `HOST:PORT` if the address has a port.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A client without certificates for a single host.
pub(crate) fn http_client(settings: &HttpSettings, redirects: Policy) -> Result<reqwest::Client, FetchError> {
    build(settings, redirects, None)
}

fn build(
    settings: &HttpSettings,
    redirects: Policy,
    own: Option<HostCertificates>,
) -> Result<reqwest::Client, FetchError> {
    use_ring();
    let error = |source: Box<dyn std::error::Error + Send + Sync>| FetchError::Client {
        ca_file: settings.ca_file.clone(),
        source,
    };
    let mut authorities = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|der| Certificate::from_der(der))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| error(source.into()))?;
    if let Some(path) = &settings.ca_file {
        let pem = text_file::read(path).map_err(|source| error(source.into()))?;
        authorities.extend(Certificate::from_pem_bundle(pem.as_bytes()).map_err(|source| error(source.into()))?);
    }
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(settings.timeout)
        .redirect(redirects);
    if let Some(HostCertificates { authorities: own, identity }) = own {
        authorities.extend(own);
        if let Some(identity) = identity {
            builder = builder.identity(identity);
        }
    }
    builder.tls_certs_merge(authorities).build().map_err(|source| error(source.into()))
}

/// Uses ring for TLS: it builds without cmake, and into a static program.
fn use_ring() {
    // An error means that this function has chosen the provider before.
    drop(rustls::crypto::ring::default_provider().install_default());
}
