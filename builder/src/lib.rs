//! The connected side: from a catalog to one signed bundle.
//!
//! Each step turns one plain type into another; only [`fetch`] and [`push`] talk to the network, by way of [`registry`], and only
//! [`pack`](mod@pack) writes bundles:
//!
//! [`spec::BundleSpec`] → [`catalog::Catalog::resolve`] → [`resolve::Selection`] → [`fetch::Fetcher::pin`] → [`lock::Lock`]
//! → [`fetch::Fetcher::fetch`] → [`pack`](mod@pack) → a bundle file.
//!
//! [`Arguments`] is the command line on top of it; its commands use the library by its name, as any other program would.

// The commands call the library `kbundle`.
extern crate self as kbundle;

mod advice;
pub mod audit;
pub mod catalog;
pub mod chart;
mod cli;
mod commands;
pub mod contents;
pub mod demand;
pub mod diff;
pub mod fetch;
pub mod image_file;
pub mod image_name;
pub mod lock;
pub mod mirror;
mod one_or_many;
pub mod os_packages;
pub mod pack;
mod program;
pub mod push;
pub mod registry;
pub mod reproduce;
pub mod resolve;
pub mod settings_file;
pub mod site;
pub mod spec;
pub mod upstream;
mod version;
pub mod version_request;

pub use cli::Arguments;
pub use commands::execute;
