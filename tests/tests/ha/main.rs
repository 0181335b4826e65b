//! A cluster of several hosts, set up by `kinstall run --config cluster.yaml` over SSH, or host by host: `./ci/test ha`.
//!
//! The programs are the static ones of `./ci/dist`; hosts, network, SSH and bundle are real. kinstall runs on a management place that
//! reaches the hosts and nothing else. Tests that are ignored, each with its reason, are run by `./ci/test nightly`.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::print_stderr, reason = "what a test measured or leaves out is said loudly")]

mod addons;
mod apart;
mod audit;
mod cut;
mod cut_joins;
mod external_etcd;
mod families;
mod firewall;
mod front;
mod join;
mod life;
mod network_manager;
mod packages;
mod platform;
mod recover;
mod refusals;
mod restore;
mod site;
mod streams;
mod traffic;
mod troubles;
mod unlike;
mod upgrade;
