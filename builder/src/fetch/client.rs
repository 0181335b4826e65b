//! The HTTP client's settings, and the same for the registry client.
//!
//! Trusted: the system's certificate authorities, Mozilla's (compiled in, for hosts without any), and those of `--ca-file`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kbundle_format::text_file;
use oci_distribution::client::{Certificate as RegistryCertificate, CertificateEncoding, ClientConfig, ClientProtocol};
use reqwest::Certificate;
use reqwest::redirect::Policy;

use super::FetchError;
use crate::mirror::Mirrors;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const USER_AGENT: &str = concat!("kbundle/", env!("CARGO_PKG_VERSION"));
pub(super) const MOST_REDIRECTS: usize = 10;

/// How servers are reached.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Longest silence of a server, in the middle of an answer or before it.
    pub timeout: Duration,
    /// PEM certificates of additional authorities.
    pub ca_file: Option<PathBuf>,
}

pub(super) fn http_client(settings: &HttpSettings, redirects: Policy) -> Result<reqwest::Client, FetchError> {
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
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(settings.timeout)
        .redirect(redirects)
        .tls_certs_merge(authorities)
        .build()
        .map_err(|source| error(source.into()))
}

pub(super) fn registry_client(
    settings: &HttpSettings,
    mirrors: &Mirrors,
) -> Result<oci_distribution::Client, FetchError> {
    use_ring();
    let certificate = |data: Vec<u8>, encoding| RegistryCertificate { encoding, data };
    let mut authorities: Vec<_> = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|der| certificate(der.to_vec(), CertificateEncoding::Der))
        .collect();
    if let Some(path) = &settings.ca_file {
        authorities.extend(pem_certificates(path)?.into_iter().map(|pem| certificate(pem, CertificateEncoding::Pem)));
    }
    let config = ClientConfig {
        protocol: ClientProtocol::HttpsExcept(mirrors.plain_http_hosts()),
        extra_root_certificates: authorities,
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(settings.timeout),
        user_agent: USER_AGENT,
        ..ClientConfig::default()
    };
    oci_distribution::Client::try_from(config)
        .map_err(|source| FetchError::Client { ca_file: settings.ca_file.clone(), source: source.into() })
}

/// The certificates of a PEM file one by one, as the registry client wants them.
fn pem_certificates(path: &Path) -> Result<Vec<Vec<u8>>, FetchError> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = text_file::read(path)
        .map_err(|source| FetchError::Client { ca_file: Some(path.to_owned()), source: source.into() })?;
    Ok(text.split_inclusive(END).filter(|part| part.ends_with(END)).map(|part| part.as_bytes().to_vec()).collect())
}

/// TLS by ring: it builds without cmake, and into a static program.
fn use_ring() {
    // An error says that a provider was chosen before, by this very function.
    drop(rustls::crypto::ring::default_provider().install_default());
}
