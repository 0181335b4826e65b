//! The connected side: from a catalog to one signed bundle.
//!
//! Each step is a plain type to a plain type; only [`fetch`] talks to the network and only [`pack`](mod@pack) writes bundles:
//!
//! [`spec::BundleSpec`] → [`catalog::Catalog::resolve`] → [`resolve::Selection`] → [`fetch::Fetcher::pin`] → [`lock::Lock`]
//! → [`fetch::Fetcher::fetch`] → [`pack`](mod@pack) → a bundle file.

mod advice;
pub mod catalog;
pub mod demand;
pub mod fetch;
pub mod lock;
pub mod mirror;
pub mod pack;
pub mod reproduce;
pub mod resolve;
pub mod site;
pub mod spec;
pub mod upstream;
pub mod version_request;
