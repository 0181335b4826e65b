//! Credentials of a user at a registry, and why they cannot be read.

use std::path::PathBuf;
use std::{fmt, io};

use serde::Deserialize;

/// A password or token. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hidden")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// What authenticates a user at a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    /// A name and a password.
    Password(String, Secret),
    /// An OAuth 2 refresh token, which Docker calls an identity token.
    IdentityToken(Secret),
    /// A bearer token to use as it is.
    RegistryToken(Secret),
}

/// Why credentials cannot be read. No variant contains a part of a credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file could not be read.
    #[error("cannot read credentials for registries from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file does not have the right shape. serde's own message would show its content.
    #[error("{} does not hold credentials for registries: JSON of another form at line {line} column {column}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// An entry whose `auth` cannot be decoded.
    #[error("{}: `auth` of `{key}` is not USER:PASSWORD in base64", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The registry or namespace.
        key: String,
    },
    /// A credential helper failed.
    #[error("the credential helper `{helper}` has no credential for {registry}: {reason}")]
    Helper {
        /// The helper's program.
        helper: String,
        /// The registry that it was asked about.
        registry: String,
        /// The reason.
        reason: &'static str,
    },
}
