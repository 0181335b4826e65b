//! Runs the program as users do: a command line in, text and exit code out.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod audit;
mod bundles;
mod config;
mod files;
mod fixtures;
mod fleet;
mod folder;
mod help;
mod hints;
mod host;
mod join;
mod json;
mod manual;
mod mistakes;
mod reference;
mod volumes;
