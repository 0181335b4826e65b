//! Requests to registries and web servers: their addresses, the user's credentials, and the certificates that are trusted.
//!
//! | module | what it knows |
//! |---|---|
//! | `address` | where a registry has its indexes, manifests and blobs |
//! | `credential`, `auth_file`, `helper`, `keyring` | users, passwords and tokens, as Docker and containers/image keep them |
//! | `challenge`, `access` | the demands of a registry, and the answers to them |
//! | `certificates`, `client` | TLS: authorities and client certificates, for all and for one host |
//! | `session` | one request, with all of that |

mod access;
mod address;
mod auth_file;
mod certificates;
mod challenge;
mod client;
mod credential;
mod helper;
mod keyring;
mod session;

pub(crate) use access::Operation;
pub(crate) use address::{document_address, url};
pub use address::{manifest_url, registry_host};
pub use client::HttpSettings;
pub(crate) use client::http_client;
pub use credential::CredentialError;
pub use keyring::Keyring;
pub(crate) use session::Session;
