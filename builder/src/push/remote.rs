//! Requests to the registry while images are copied. Source: OCI distribution-spec 1.1, "Push" and "Content Discovery".

use std::time::SystemTime;

use kbundle_format::Digest;
use kbundle_format::oci::DOCUMENT_TYPES;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::PushError;
use super::copies::RawDocument;
use crate::fetch::{FetchError, Insistence, RetryPolicy, retry_after};
use crate::mirror::Repository;
use crate::registry::{Operation, Session, url};
use crate::upstream::origin;

/// The header in which registries state the digest of content.
const CONTENT_DIGEST: &str = "Docker-Content-Digest";
/// Longest message of a registry that is shown, in characters.
const LONGEST_MESSAGE: usize = 200;

/// The registry.
#[derive(Debug)]
pub(super) struct Remote {
    pub session: Session,
    pub retry: RetryPolicy,
}

/// The body of a refusal. Source: OCI distribution-spec 1.1, "Error Codes".
#[derive(Deserialize)]
struct Refusal {
    errors: Vec<RefusalReason>,
}

#[derive(Deserialize)]
struct RefusalReason {
    code: String,
    message: Option<String>,
}

impl Remote {
    /// What the registry has under a tag or digest; `None` if it has nothing.
    pub async fn manifest(&self, repository: &Repository, name: &str) -> Result<Option<Digest>, PushError> {
        let address = url(repository, &format!("manifests/{name}"));
        let accept = DOCUMENT_TYPES.join(", ");
        let head = |client: &Client, url: Url| client.head(url).header(ACCEPT, &accept);
        let response = self.ask(repository, &address, head).await?;
        match response.status() {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::OK => {}
            _ => return Err(refused(response, format!("to say what {}:{name} is", repository.path)).await),
        }
        if let Some(digest) = content_digest(&response) {
            return Ok(digest.parse().ok());
        }
        let get = |client: &Client, url: Url| client.get(url).header(ACCEPT, &accept);
        let response = self.ask(repository, &address, get).await?;
        let body = response.bytes().await.map_err(|error| FetchError::no_answer(&address, &error))?;
        Ok(Some(Digest::of(&body)))
    }

    /// Whether a repository has a blob.
    pub async fn has_blob(&self, repository: &Repository, digest: &Digest) -> Result<bool, PushError> {
        let address = url(repository, &format!("blobs/{digest}"));
        let response = self.ask(repository, &address, Client::head).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(refused(response, format!("to say whether {} has blob {digest}", repository.path)).await),
        }
    }

    /// Stores a document under a tag or digest. The inner error is a refusal by the registry, the outer one everything else.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        name: &str,
        document: &RawDocument,
    ) -> Result<Result<(), PushError>, PushError> {
        let address = url(repository, &format!("manifests/{name}"));
        let put = |client: &Client, url: Url| {
            client.put(url).header(CONTENT_TYPE, &document.media_type).body(document.bytes.clone())
        };
        let response = self.ask(repository, &address, put).await?;
        let what = format!("{}:{name}", repository.path);
        if !response.status().is_success() {
            return Ok(Err(refused(response, format!("to store {what}")).await));
        }
        match content_digest(&response) {
            Some(actual) if actual != document.digest.to_string() => {
                Err(PushError::OtherDigest { what, expected: document.digest, actual })
            }
            _ => Ok(Ok(())),
        }
    }

    /// Sends a request, and repeats it after temporary failures. Answers of any other status are returned.
    pub async fn ask(
        &self,
        repository: &Repository,
        address: &str,
        request: impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<Response, PushError> {
        let attempt = || self.once(repository, address, &request);
        Ok(self.retry.run(address, Insistence::TriesAgain, attempt).await?)
    }

    /// Sends a request once; a temporary failure is an error.
    pub async fn once(
        &self,
        repository: &Repository,
        address: &str,
        request: &impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<Response, FetchError> {
        // Some registries have uploads on another host; only the registry itself gets its token or password.
        let response = if origin(address) == origin(&url(repository, "")) {
            self.session.registry(address, (repository, Operation::Push), request).await?
        } else {
            self.session.web(address, request).await?
        };
        let status = response.status();
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let error = FetchError::Status { url: address.to_owned(), status, retry_after };
        if error.may_pass() { Err(error) } else { Ok(response) }
    }
}

fn content_digest(response: &Response) -> Option<String> {
    Some(response.headers().get(CONTENT_DIGEST)?.to_str().ok()?.to_owned())
}

/// The error for an answer that refuses `what`.
pub(super) async fn refused(response: Response, what: String) -> PushError {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    let reasons = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.errors).unwrap_or_default();
    let said = reasons.into_iter().next().map(|RefusalReason { code, message }| match message {
        Some(message) => printable(&format!("{code}: {message}")),
        None => printable(&code),
    });
    PushError::Refused { what, status, said }
}

/// A server's message without characters that would disturb a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST_MESSAGE).collect()
}
