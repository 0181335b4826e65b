//! Certificates of a standing cluster are renewed on a host, and get other names.
//!
//! [`renew`] makes new ones, [`restart`] has the programs that use them read them, [`sans`] adds names to the API server's. What is
//! under way is kept in [`pending`], so that a run that was cut off is completed by the next. All of it works from what the host has
//! on record ([`Standing`](crate::standing::Standing)); no bundle is needed.

mod pending;
pub mod renew;
mod restart;
pub mod sans;

pub use renew::{RenewalReport, Selection};
pub use restart::Component;
