//! How registries and web servers are asked: their addresses, what they are told of the user, and whom they are believed to be.
//!
//! | module | what it knows |
//! |---|---|
//! | `address` | where a registry has its indexes, manifests and blobs |
//! | `auth_file`, `helper`, `keyring` | users, passwords and tokens, as Docker and containers/image keep them |
//! | `challenge`, `access` | what a registry demands, and the answer to it |
//! | `certificates`, `client` | TLS: authorities and client certificates, for all and for one host |
//! | `session` | one request, with all of that |

mod access;
mod address;
mod auth_file;
mod certificates;
mod challenge;
mod client;
mod helper;
mod keyring;
mod session;

pub(crate) use access::Operation;
pub(crate) use address::{document_address, url};
pub use address::{manifest_url, registry_host};
pub use auth_file::CredentialError;
pub use client::HttpSettings;
pub(crate) use client::http_client;
pub use keyring::Keyring;
pub(crate) use session::{Session, no_answer};

use std::fmt;

/// A password or token. It never shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hidden")
    }
}

/// What a user is known by at a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// A name and a password.
    Password(String, Secret),
    /// An OAuth 2 refresh token, which Docker calls an identity token.
    IdentityToken(Secret),
    /// A bearer token to use as it is.
    RegistryToken(Secret),
}
