//! How a command fails. See [`kbundle_cli::failure`].

pub use kbundle_cli::failure::{Advise, Explained, FailureReport, message};
