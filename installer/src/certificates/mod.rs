//! The certificates that a cluster uses on a host: which there are, how each is, and how kubeadm makes another.
//!
//! [`place`] says where they lie, [`look`] judges what is there, [`aside`] puts another in place.

pub mod aside;
pub mod look;
pub mod place;

pub use look::{CertificateReport, State};
pub use place::Renewable;
