//! Tests of the program `kbundle` as a whole, against a small upstream on loopback.

#![expect(clippy::unwrap_used, reason = "clippy.toml's allowance reaches test functions, not their helpers")]

mod audit;
mod audit_record;
mod audit_rules;
mod catalog;
mod charts;
mod check;
mod cli;
mod completion;
mod composing;
mod diff;
mod fetch;
mod files;
mod fixtures;
mod hostile;
mod image_files;
mod json;
mod licences;
mod mistakes;
mod offline;
mod os_packages;
mod outputs;
mod plan;
mod reading;
mod reference;
mod registry;
mod report;
mod revocations;
mod sbom;
mod sealing;
mod server;
mod signing;
mod site;
mod timestamps;
mod tls;
mod upstream;
