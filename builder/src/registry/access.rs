//! Access to registries: the answers to challenges, and how long they are kept.
//!
//! A credential is looked up for the requested host and repository. It goes to that host, or to the token server that the host names.
//! Source: CNCF distribution, "Token Authentication Specification" and "`OAuth2` Token Authentication".

use std::collections::HashMap;
use std::sync::Arc;

use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::address;
use super::challenge::{Bearer, Challenges};
use super::client::Clients;
use super::credential::{Credential, Secret};
use super::keyring::Keyring;
use crate::fetch::FetchError;
use crate::mirror::{Repository, Scheme};

/// An operation in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    /// Reading.
    Pull,
    /// Writing.
    Push,
}

impl Operation {
    fn actions(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

/// The authorization in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Authorization {
    Bearer(Secret),
    Basic(String, Secret),
}

impl Authorization {
    pub fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Bearer(Secret(token)) => request.bearer_auth(token),
            Self::Basic(user, Secret(password)) => request.basic_auth(user, Some(password)),
        }
    }
}

/// Answers challenges.
#[derive(Debug)]
pub(super) struct Authorizer {
    keyring: Arc<Keyring>,
    /// By origin, repository and operation.
    granted: Mutex<HashMap<(String, String, Operation), Authorization>>,
}

/// The answer of a token server.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Authorizer {
    pub fn new(keyring: Keyring) -> Self {
        Self { keyring: Arc::new(keyring), granted: Mutex::default() }
    }

    fn key(repository: &Repository, operation: Operation) -> (String, String, Operation) {
        (address::origin(repository), repository.path.clone(), operation)
    }

    /// The authorization that was granted before.
    pub async fn granted(&self, repository: &Repository, operation: Operation) -> Option<Authorization> {
        self.granted.lock().await.get(&Self::key(repository, operation)).cloned()
    }

    /// The authorization for the next attempt after `refusal`, in which `used` was not enough; `None` if the user has nothing that the
    /// registry demands.
    pub async fn answer(
        &self,
        clients: &Clients,
        (repository, operation): (&Repository, Operation),
        refusal: &Response,
        used: Option<&Authorization>,
    ) -> Result<Option<Authorization>, FetchError> {
        let key = Self::key(repository, operation);
        // Held during the request, so that many blobs of one image need only one request.
        let mut granted = self.granted.lock().await;
        if let Some(newer) = granted.get(&key).filter(|newer| Some(*newer) != used) {
            return Ok(Some(newer.clone()));
        }
        let asking = Asking { clients, keyring: &self.keyring, repository, operation };
        let answer = asking.answer(refusal).await?.filter(|answer| Some(answer) != used);
        match &answer {
            Some(answer) => granted.insert(key, answer.clone()),
            None => granted.remove(&key),
        };
        Ok(answer)
    }
}

/// One search for an answer.
struct Asking<'a> {
    clients: &'a Clients,
    keyring: &'a Arc<Keyring>,
    repository: &'a Repository,
    operation: Operation,
}

impl Asking<'_> {
    async fn answer(&self, refusal: &Response) -> Result<Option<Authorization>, FetchError> {
        let mut challenges = Challenges::of(refusal.headers());
        if challenges.is_empty() {
            challenges = self.challenges_of_registry().await?;
        }
        let credential = self.credential().await?;
        match (challenges, credential) {
            (Challenges { bearer: Some(_), .. }, Some(Credential::RegistryToken(token))) => {
                Ok(Some(Authorization::Bearer(token)))
            }
            (Challenges { bearer: Some(bearer), .. }, credential) => self.token(bearer, credential).await.map(Some),
            (Challenges { basic: true, .. }, Some(Credential::Password(user, password))) => {
                Ok(Some(Authorization::Basic(user, password)))
            }
            _ => Ok(None),
        }
    }

    /// The registry's demands at its root, for registries that state none elsewhere.
    async fn challenges_of_registry(&self) -> Result<Challenges, FetchError> {
        let root = format!("{}/v2/", address::origin(self.repository));
        let url = self.parsed(&root)?;
        let response =
            self.clients.of(&url)?.get(url).send().await.map_err(|error| FetchError::no_answer(&root, &error))?;
        Ok(Challenges::of(response.headers()))
    }

    /// Helpers are programs and may take a while: they run beside the network's only thread.
    async fn credential(&self) -> Result<Option<Credential>, FetchError> {
        let (keyring, host, path) =
            (Arc::clone(self.keyring), self.repository.host.clone(), self.repository.path.clone());
        let found = tokio::task::spawn_blocking(move || keyring.find(&host, &path)).await;
        found.map_err(|source| FetchError::Task { source })?.map_err(|source| FetchError::Credentials { source })
    }

    async fn token(&self, bearer: Bearer, credential: Option<Credential>) -> Result<Authorization, FetchError> {
        let server = bearer.realm.host_str().unwrap_or_default().to_owned();
        if credential.is_some() && bearer.realm.scheme() != "https" && self.repository.scheme == Scheme::Https {
            return Err(
                self.refused(format!("its token server {server} works without TLS, so no password is sent there"))
            );
        }
        let address = bearer.realm.to_string();
        let client = self.clients.of(&bearer.realm)?;
        let request = match credential {
            Some(Credential::IdentityToken(Secret(token))) => {
                let form = [("grant_type", "refresh_token"), ("refresh_token", &token), ("client_id", "kbundle")];
                let form = with_query(self.parsed("form:")?, &form, &self.questions(&bearer));
                let form = form.query().unwrap_or_default().to_owned();
                client.post(bearer.realm).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
            }
            credential => {
                let questions = self.questions(&bearer);
                let request = client.get(with_query(bearer.realm, &[], &questions));
                match credential {
                    Some(Credential::Password(user, Secret(password))) => request.basic_auth(user, Some(password)),
                    _ => request,
                }
            }
        };
        let response = request.send().await.map_err(|error| FetchError::no_answer(&address, &error))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(self.refused(format!("its token server {server} answered {status}")));
        }
        let text = response.bytes().await.map_err(|error| FetchError::no_answer(&address, &error))?;
        let answer = serde_json::from_slice::<TokenAnswer>(&text).ok();
        let token = answer.and_then(|answer| answer.token.or(answer.access_token)).filter(|token| !token.is_empty());
        token
            .map(|token| Authorization::Bearer(Secret(token)))
            .ok_or_else(|| self.refused(format!("its token server {server} gave no token")))
    }

    /// The scopes to ask a token for: those of the challenge or, if it has none, the operation in the repository.
    fn questions(&self, bearer: &Bearer) -> Vec<(&'static str, String)> {
        let usual = || format!("repository:{}:{}", self.repository.path, self.operation.actions());
        let scopes = bearer.scope.clone().unwrap_or_else(usual);
        let service = bearer.service.iter().map(|service| ("service", service.clone()));
        service.chain(scopes.split_whitespace().map(|scope| ("scope", scope.to_owned()))).collect()
    }

    fn refused(&self, reason: String) -> FetchError {
        let Repository { host, path, .. } = self.repository;
        FetchError::Authorization { registry: host.clone(), repository: path.clone(), reason }
    }

    fn parsed(&self, address: &str) -> Result<Url, FetchError> {
        Url::parse(address).map_err(|_| self.refused("its address is not valid".to_owned()))
    }
}

fn with_query(mut url: Url, first: &[(&str, &str)], then: &[(&str, String)]) -> Url {
    url.query_pairs_mut().extend_pairs(first).extend_pairs(then);
    url
}
