//! Access to registries: tokens by way of the registry client, credentials from Docker's configuration file.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kbundle_format::{Digest, ImageRef, text_file};
use oci_distribution::client::Client;
use oci_distribution::errors::OciDistributionError;
use oci_distribution::secrets::RegistryAuth;
use oci_distribution::{Reference, RegistryOperation};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::FetchError;
use super::http::no_answer;
use crate::mirror::{Mirrors, Repository, Scheme};

/// A token is used for this long; registries give them for 60 seconds at least (distribution's token specification).
const TOKEN_LIFE: Duration = Duration::from_secs(50);

/// Gets tokens and keeps them for a while.
pub(super) struct Authorizer {
    client: Client,
    credentials: Credentials,
    tokens: Mutex<HashMap<String, (Instant, Option<Token>)>>,
}

impl std::fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authorizer(hidden)")
    }
}

/// What a request to a registry carries.
#[derive(Clone)]
pub(super) enum Token {
    Bearer(String),
    Basic(String, String),
}

impl Token {
    pub fn apply(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self {
            Self::Bearer(token) => request.bearer_auth(token),
            Self::Basic(user, password) => request.basic_auth(user, Some(password)),
        }
    }
}

/// Users and passwords by registry.
#[derive(Default)]
pub struct Credentials(BTreeMap<String, (String, String)>);

/// Docker's `config.json`, as far as it concerns us.
#[derive(Default, Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, DockerAuth>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct DockerAuth {
    auth: Option<String>,
}

impl Credentials {
    /// Reads `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`; nothing there means no credentials.
    ///
    /// # Errors
    /// Reading failed, or the file is not JSON of that shape.
    pub fn from_docker_config() -> io::Result<Self> {
        let directory = std::env::var_os("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
        match directory.map(|directory| text_file::read(&directory.join("config.json"))) {
            Some(Ok(text)) => Self::parse(text.as_bytes()).map_err(io::Error::from),
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Self::default()),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let config: DockerConfig = serde_json::from_slice(bytes)?;
        if config.store.is_some() || !config.helpers.is_empty() {
            tracing::warn!("credential helpers of Docker's configuration are not used, only its field `auths`");
        }
        let pairs = config.auths.into_iter().filter_map(|(registry, entry)| {
            let decoded = String::from_utf8(BASE64.decode(entry.auth?).ok()?).ok()?;
            let (user, password) = decoded.split_once(':')?;
            Some((host_of(&registry), (user.to_owned(), password.to_owned())))
        });
        Ok(Self(pairs.collect()))
    }

    fn of(&self, host: &str) -> RegistryAuth {
        match self.0.get(host) {
            Some((user, password)) => RegistryAuth::Basic(user.clone(), password.clone()),
            None => RegistryAuth::Anonymous,
        }
    }
}

/// `https://index.docker.io/v1/` is how Docker writes its own registry; others are plain hosts.
fn host_of(registry: &str) -> String {
    let bare = registry.trim_start_matches("https://").trim_start_matches("http://");
    bare.split('/').next().unwrap_or(bare).to_owned()
}

impl Authorizer {
    pub fn new(client: Client, credentials: Credentials) -> Self {
        Self { client, credentials, tokens: Mutex::default() }
    }

    /// What requests for `repository` have to carry; `None` where nothing is needed.
    pub async fn authorization(&self, repository: &Repository) -> Result<Option<Token>, FetchError> {
        let key = format!("{}/{}", repository.host, repository.path);
        // Held while asking, so that many blobs of one image ask once.
        let mut tokens = self.tokens.lock().await;
        if let Some((since, token)) = tokens.get(&key)
            && since.elapsed() < TOKEN_LIFE
        {
            return Ok(token.clone());
        }
        let token = self.ask(repository).await?;
        tokens.insert(key, (Instant::now(), token.clone()));
        Ok(token)
    }

    async fn ask(&self, repository: &Repository) -> Result<Option<Token>, FetchError> {
        let reference = reference(repository);
        let auth = self.credentials.of(reference.resolve_registry());
        let token = self.client.auth(&reference, &auth, RegistryOperation::Pull).await;
        match (token, auth) {
            (Ok(Some(token)), _) => Ok(Some(Token::Bearer(token))),
            (Ok(None), RegistryAuth::Basic(user, password)) => Ok(Some(Token::Basic(user, password))),
            (Ok(None), _) => Ok(None),
            (Err(OciDistributionError::RequestError(error)), _) => Err(no_answer(&url(repository, ""), &error)),
            (Err(source), _) => Err(FetchError::Authorization {
                registry: repository.host.clone(),
                repository: repository.path.clone(),
                source: Box::new(source),
            }),
        }
    }
}

fn reference(repository: &Repository) -> Reference {
    // The tag plays no part in authorization.
    Reference::with_tag(repository.host.clone(), repository.path.clone(), "latest".to_owned())
}

/// Where the index or manifest of `image` is asked for: by its digest where that is known, or by its tag.
#[must_use]
pub fn manifest_url(mirrors: &Mirrors, image: &ImageRef, digest: Option<&Digest>) -> String {
    let tag_or_digest = digest.map_or_else(|| image.tag().to_owned(), ToString::to_string);
    url(&mirrors.repository(image), &format!("manifests/{tag_or_digest}"))
}

/// The host that answers for the registry `name`; Docker's own goes by another name.
#[must_use]
pub fn registry_host(name: &str) -> String {
    let repository = Repository { scheme: Scheme::Https, host: name.to_owned(), path: "any".to_owned() };
    reference(&repository).resolve_registry().to_owned()
}

/// The address of `resource` (`manifests/…` or `blobs/…`) of a repository. Source: OCI distribution-spec, "Endpoints".
pub(super) fn url(repository: &Repository, resource: &str) -> String {
    let reference = reference(repository);
    let host = reference.resolve_registry();
    format!("{}://{host}/v2/{}/{resource}", repository.scheme.as_str(), repository.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dockers_configuration() {
        let json = br#"{"auths": {"https://index.docker.io/v1/": {"auth": "dXNlcjpwYXNzOndvcmQ="}, "quay.io": {}}, "other": 1}"#;
        let credentials = Credentials::parse(json).unwrap();
        assert_eq!(credentials.of("index.docker.io"), RegistryAuth::Basic("user".into(), "pass:word".into()));
        assert_eq!(credentials.of("quay.io"), RegistryAuth::Anonymous);
    }

    #[test]
    fn docker_hub_is_asked_where_it_is() {
        let at = |host: &str| {
            url(&Repository { scheme: Scheme::Https, host: host.to_owned(), path: "calico/cni".to_owned() }, "blobs/x")
        };
        assert_eq!(at("docker.io"), "https://index.docker.io/v2/calico/cni/blobs/x");
        assert_eq!(at("quay.io"), "https://quay.io/v2/calico/cni/blobs/x");
    }
}
