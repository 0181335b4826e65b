//! One request to a web server or registry: through the right client, with the right answer to a challenge.

use reqwest::header::LOCATION;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use super::access::{Authorization, Authorizer, Operation};
use super::client::{Clients, HttpSettings};
use super::keyring::Keyring;
use crate::fetch::FetchError;
use crate::mirror::Repository;

/// Sends requests.
#[derive(Debug)]
pub(crate) struct Session {
    clients: Clients,
    authorizer: Authorizer,
}

impl Session {
    /// With the user's credentials.
    ///
    /// # Errors
    /// [`FetchError::Client`].
    pub fn new(settings: HttpSettings, keyring: Keyring) -> Result<Self, FetchError> {
        Ok(Self { clients: Clients::new(settings)?, authorizer: Authorizer::new(keyring) })
    }

    pub fn settings(&self) -> &HttpSettings {
        self.clients.settings()
    }

    /// Asks a web server for `url`. `request` makes the request.
    pub async fn web(
        &self,
        url: &str,
        request: impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<Response, FetchError> {
        self.send(url, None, &request).await
    }

    /// Asks a registry for `url`, which is within `repository`; the request that `request` makes may be sent twice.
    ///
    /// Answers of any status are returned; 401 only if the user has no credential for it.
    pub async fn registry(
        &self,
        url: &str,
        (repository, operation): (&Repository, Operation),
        request: impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<Response, FetchError> {
        let used = self.authorizer.granted(repository, operation).await;
        let first = self.send(url, used.as_ref(), &request).await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return Ok(first);
        }
        let answer = self.authorizer.answer(&self.clients, (repository, operation), &first, used.as_ref()).await?;
        match answer {
            Some(answer) => self.send(url, Some(&answer), &request).await,
            None => Ok(first),
        }
    }

    async fn send(
        &self,
        url: &str,
        authorization: Option<&Authorization>,
        request: &impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<Response, FetchError> {
        let address = Url::parse(url).map_err(|_| FetchError::Address { url: url.to_owned() })?;
        let first = request(&self.clients.of(&address)?, address);
        let first = match authorization {
            Some(granted) => granted.apply(first),
            None => first,
        };
        let response = first.send().await.map_err(|error| FetchError::no_answer(url, &error))?;
        // A client with a host's own certificates does not follow redirects to other hosts; these are asked without authorization.
        let elsewhere = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(elsewhere) = elsewhere.filter(|_| response.status().is_redirection()) else { return Ok(response) };
        let Ok(elsewhere) = response.url().join(elsewhere) else { return Ok(response) };
        request(&self.clients.of(&elsewhere)?, elsewhere)
            .send()
            .await
            .map_err(|error| FetchError::no_answer(url, &error))
    }
}
