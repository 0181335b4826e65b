//! One file of credentials: Docker's `config.json`, or `auth.json` of Podman, skopeo and Buildah.
//!
//! Source: containers-auth.json(5); Docker CLI, `cli/config/configfile` and `cli/config/types`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kbundle_format::text_file;
use serde::Deserialize;

use super::credential::{Credential, CredentialError, Secret};
use super::helper;

/// Docker's name for its own registry in its configuration and for helpers.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
const DOCKER_HUB_HOST: &str = "index.docker.io";

/// The content of one file.
#[derive(Debug)]
pub(super) struct AuthFile {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    /// By host, or by host and the beginning of a path.
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    /// The helper for all registries.
    creds_store: Option<String>,
    /// Helpers by host.
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
}

/// The entry of Docker and Podman for a registry. `docker login` leaves an empty one if a helper has the rest.
#[derive(Deserialize)]
struct Entry {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry(hidden)")
    }
}

impl Entry {
    /// The credential in the entry; `None` if it has none.
    fn credential(&self) -> Result<Option<Credential>, ()> {
        let said = |secret: &Option<Secret>| secret.clone().filter(|Secret(text)| !text.is_empty());
        if let Some(token) = said(&self.identitytoken) {
            return Ok(Some(Credential::IdentityToken(token)));
        }
        if let Some(token) = said(&self.registrytoken) {
            return Ok(Some(Credential::RegistryToken(token)));
        }
        if let Some(Secret(auth)) = said(&self.auth) {
            return decode(&auth).map(Some).ok_or(());
        }
        let named = self.username.clone().filter(|user| !user.is_empty());
        Ok(named.zip(said(&self.password)).map(|(user, password)| Credential::Password(user, password)))
    }
}

fn decode(auth: &str) -> Option<Credential> {
    let decoded = String::from_utf8(BASE64.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    // Docker's own client removes zero bytes from the end.
    Some(Credential::Password(user.to_owned(), Secret(password.trim_end_matches('\0').to_owned())))
}

impl AuthFile {
    /// Reads `path`.
    ///
    /// # Errors
    /// [`CredentialError::Read`] or [`CredentialError::Syntax`].
    pub fn read(path: &Path) -> Result<Self, CredentialError> {
        let text = text_file::read(path).map_err(|source| CredentialError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, CredentialError> {
        let path = path.to_owned();
        match serde_json::from_str(text) {
            Ok(content) => Ok(Self { path, content }),
            Err(error) => Err(CredentialError::Syntax { path, line: error.line(), column: error.column() }),
        }
    }

    /// The credential for `repository` on `host`: that of the longest namespace with one in the file, or that of the host.
    ///
    /// # Errors
    /// [`CredentialError::Entry`] or [`CredentialError::Helper`].
    pub fn find(&self, host: &str, repository: &str) -> Result<Option<Credential>, CredentialError> {
        let whole = format!("{host}/{repository}");
        let namespaces = std::iter::successors(Some(whole.as_str()), |key| Some(key.rsplit_once('/')?.0));
        for key in namespaces.take_while(|key| key.len() > host.len()) {
            if let Some(credential) = self.entry(key)? {
                return Ok(Some(credential));
            }
        }
        self.of_host(host)
    }

    fn of_host(&self, host: &str) -> Result<Option<Credential>, CredentialError> {
        let Content { auths, creds_store, cred_helpers } = &self.content;
        let same_host = |key: &&String| host_of(key) == host_of(host);
        if let Some((_, helper)) = cred_helpers.iter().find(|(key, _)| same_host(key)) {
            return helper::ask(helper, &server_name(host));
        }
        if let Some(credential) = self.entry(host)? {
            return Ok(Some(credential));
        }
        for key in auths.keys().filter(same_host) {
            if let Some(credential) = self.entry(key)? {
                return Ok(Some(credential));
            }
        }
        match creds_store {
            Some(helper) => helper::ask(helper, &server_name(host)),
            None => Ok(None),
        }
    }

    fn entry(&self, key: &str) -> Result<Option<Credential>, CredentialError> {
        let Some(entry) = self.content.auths.get(key) else { return Ok(None) };
        entry.credential().map_err(|()| CredentialError::Entry { path: self.path.clone(), key: key.to_owned() })
    }
}

/// The host of a key. A key with a path and no scheme is for a namespace, and equals no host.
fn host_of(key: &str) -> &str {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let host = match bare {
        Some(bare) => bare.split('/').next().unwrap_or(bare),
        None => key,
    };
    match host {
        "docker.io" | "registry-1.docker.io" => DOCKER_HUB_HOST,
        host => host,
    }
}

/// The name of a registry for helpers.
fn server_name(host: &str) -> String {
    if host_of(host) == DOCKER_HUB_HOST { DOCKER_HUB_KEY.to_owned() } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(json: &str) -> Result<AuthFile, CredentialError> {
        AuthFile::parse(Path::new("auth.json"), json)
    }

    fn password(user: &str, password: &str) -> Credential {
        Credential::Password(user.to_owned(), Secret(password.to_owned()))
    }

    #[test]
    fn reads_all_ways_to_state_a_password() {
        let file = file(
            r#"{"auths": {"https://index.docker.io/v1/": {"auth": "dXNlcjpwYXNzOndvcmQ="}, "quay.io": {}, "http://old.example/v2/": {"username": "old", "password": "p"},
                "plain.example": {"username": "user", "password": "secret"}, "identity.example": {"auth": "Ojo=", "identitytoken": "refresh"}}, "other": 1}"#,
        )
        .unwrap();
        for hub in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
            assert_eq!(file.find(hub, "library/nginx").unwrap(), Some(password("user", "pass:word")), "{hub}");
        }
        assert_eq!(file.find("quay.io", "a").unwrap(), None);
        assert_eq!(file.find("old.example", "a").unwrap(), Some(password("old", "p")));
        assert_eq!(file.find("plain.example", "a").unwrap(), Some(password("user", "secret")));
        let token = Credential::IdentityToken(Secret("refresh".to_owned()));
        assert_eq!(file.find("identity.example", "a").unwrap(), Some(token));
    }

    #[test]
    fn the_longest_namespace_wins_and_others_get_nothing() {
        let file = file(
            r#"{"auths": {"r.io:5000/a/b": {"username": "ab", "password": "1"}, "r.io:5000/a": {"username": "a", "password": "2"},
                "r.io:5000/a/bc": {"username": "abc", "password": "3"}, "docker.io/team": {"username": "team", "password": "4"}}}"#,
        )
        .unwrap();
        for (repository, user) in [("a/b", "ab"), ("a/b/c", "ab"), ("a/x", "a"), ("a", "a"), ("a/bc", "abc")] {
            let Some(Credential::Password(found, _)) = file.find("r.io:5000", repository).unwrap() else { panic!() };
            assert_eq!(found, user, "{repository}");
        }
        for (host, repository) in [("r.io:5000", "b"), ("r.io:5000", "ab"), ("r.io", "a/b"), ("docker.io", "library/a")]
        {
            assert_eq!(file.find(host, repository).unwrap(), None, "{host}/{repository}");
        }
        assert!(file.find("docker.io", "team/app").unwrap().is_some());
    }

    #[test]
    fn a_mistake_in_the_file_shows_nothing_of_it() {
        let secret = "dXNlcjpzZWNyZXQ";
        let wrong = file(&format!(r#"{{"auths": {{"r.io": "{secret}"}}}}"#)).unwrap_err();
        insta::assert_snapshot!(wrong, @"auth.json does not hold credentials for registries: JSON of another form at line 1 column 36");
        let wrong = file(&format!(r#"{{"auths": {{"r.io": {{"auth": "{secret}"}}}}}}"#)).unwrap();
        let error = wrong.find("r.io", "a").unwrap_err();
        insta::assert_snapshot!(error, @"auth.json: `auth` of `r.io` is not USER:PASSWORD in base64");
        assert!(!format!("{wrong:?} {error:?}").contains(secret));
    }
}
