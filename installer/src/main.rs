//! The program `kinstall`; see the library for what it does.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use kinstall::cli::Cli;
use kinstall::{commands, failure};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("KINSTALL_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    commands::execute(&cli).unwrap_or_else(|error| failure::report(&error))
}
