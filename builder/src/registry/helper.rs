//! Credential helpers: programs that keep credentials in a keychain. Source: docker/docker-credential-helpers.

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use serde_json::json;

use super::credential::{Credential, CredentialError, Secret};

/// Helpers print this for a registry that they do not know (`credentials/error.go`).
const NOT_FOUND: &str = "credentials not found in native keychain";

/// Asks `docker-credential-HELPER` for the credential of `server`.
///
/// # Errors
/// [`CredentialError::Helper`]. What the helper printed is left out: it may be a part of a credential.
pub(super) fn ask(helper: &str, server: &str) -> Result<Option<Credential>, CredentialError> {
    let one_helper = json!({ "credHelpers": { server: helper } }).to_string();
    match get_credential_from_reader(one_helper.as_bytes(), server) {
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Credential::IdentityToken(Secret(token)))),
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(Credential::Password(user, Secret(password))))
        }
        Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
            if stdout.contains(NOT_FOUND) || stderr.contains(NOT_FOUND) =>
        {
            Ok(None)
        }
        Err(error) => Err(CredentialError::Helper {
            helper: format!("docker-credential-{helper}"),
            registry: server.to_owned(),
            reason: reason(&error),
        }),
    }
}

fn reason(error: &CredentialRetrievalError) -> &'static str {
    match error {
        CredentialRetrievalError::HelperCommunicationError => "it cannot be run",
        CredentialRetrievalError::HelperFailure { .. } => "it failed",
        _ => "its answer has another form",
    }
}
