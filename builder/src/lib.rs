//! The connected side: from a catalog to one signed bundle.
//!
//! Each step is a plain type to a plain type; only [`fetch`] talks to the network and only [`pack`](mod@pack) writes bundles:
//!
//! [`spec::BundleSpec`] → [`catalog::Catalog::resolve`] → [`resolve::Selection`] → [`fetch::Fetcher::pin`] → [`lock::Lock`]
//! → [`fetch::Fetcher::fetch`] → [`pack`](mod@pack) → a bundle file. Back from a bundle to files goes [`target`].
//!
//! [`destination`] has the rule for everything that is written, [`interrupt`] what a signal does to it.

mod advice;
pub mod catalog;
pub mod demand;
pub mod destination;
pub mod fetch;
pub mod interrupt;
pub mod lock;
pub mod mirror;
pub mod pack;
pub mod reproduce;
pub mod resolve;
pub mod spec;
pub mod target;
pub mod upstream;
pub mod version_request;
