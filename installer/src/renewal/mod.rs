//! Renews the certificates of an existing cluster on a host, and adds names to them.
//!
//! [`renew`] makes new certificates, [`restart`] makes programs read them, and [`sans`] adds names to the API server's certificate.
//! Unfinished work is recorded in [`pending`], so that the next run completes one that was cut off. All of it works from the host's records
//! ([`Standing`](crate::standing::Standing)); no bundle is needed.

mod pending;
pub mod renew;
mod restart;
pub mod sans;

pub use renew::{RenewalReport, Selection};
pub use restart::Component;
