//! The certificates that a cluster uses on a host: which there are, how each is, and how they are renewed.
//!
//! [`place`] says where they lie, [`look`] judges what is there, [`renew`] makes new ones and has the programs that use them read
//! them, [`sans`] adds names to the API server's. What is under way is kept in [`pending`], so that a run that was cut off is
//! completed by the next. All of it works from what the host has on record ([`standing`]); no bundle is needed.

pub mod aside;
pub mod look;
mod pending;
pub mod place;
pub mod renew;
pub mod restart;
pub mod sans;
pub mod standing;

pub use look::{CertificateReport, State};
pub use place::Renewable;
pub use renew::{RenewalReport, Selection};
pub use restart::{Component, remake_static_pod};
pub use standing::Standing;
