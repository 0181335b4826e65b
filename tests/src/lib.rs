//! The lab: an upstream mirror and real systemd hosts without a way out.
//!
//! [`Mirror`] serves what `tests/lab/mirror/fill` made, as the real hosts do. [`Lab`] boots Debian
//! machines in systemd-nspawn on a switch of their own that leads nowhere; [`Host`] is one of them.
//! Both need root and clean up when dropped. `./ci/lab` is the same for people.

pub mod backed_up;
pub mod benchmark;
mod cgroups;
pub mod cluster;
mod command;
pub mod conformance;
pub mod connected;
pub mod cut_off;
mod disk;
pub mod files;
mod host;
mod kernel;
mod launch;
pub mod load;
mod machine;
mod mirror;
mod network;
mod paths;
pub mod policy;
mod remote;
mod schema;
mod state;
mod topology;
mod virtual_machine;

pub use command::Output;
pub use host::Host;
pub use mirror::Mirror;
pub use paths::{cache, mirror_tree, repository};
pub use remote::Remote;
pub use schema::document_of;
pub use topology::Lab;
pub use virtual_machine::VirtualMachine;
