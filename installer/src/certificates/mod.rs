//! The certificates that a cluster uses on a host: which there are, in what state each is, and how kubeadm makes a new one.
//!
//! [`place`] knows their paths, [`look`] judges what is there, [`aside`] puts a new one in place.

pub mod aside;
pub mod look;
pub mod place;

pub use look::{CertificateReport, State};
pub use place::Renewable;
