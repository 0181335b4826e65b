//! One air-gapped host, from pinned upstream files to a cluster that answers: `./ci/test one-host`.
//!
//! The programs are the static ones of `./ci/dist`; the mirror and the hosts are real. One bundle is built for all tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod audit;
mod backup;
mod certificates;
mod changes;
mod hardening;
mod install;
mod interrupted;
mod minors;
mod networks;
mod os_packages;
mod refusals;
mod repeated;
mod settings;
mod site;
mod support;
mod upgrade;
