//! The program `kbundle`: what it is asked on the command line, done by the library.

mod cli;
mod commands;
mod failure;
mod output;
mod version;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use cli::{Arguments, Command};

fn main() -> ExitCode {
    // Progress is for people and goes its own way; the log is for looking closer, with RUST_LOG=info and finer.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    let result = match Arguments::parse().command {
        Command::Build(arguments) => commands::build::run(arguments),
        Command::Lock(arguments) => commands::lock::run(&arguments),
        Command::Config(command) => commands::config::run(command),
        Command::Keygen(arguments) => commands::keygen::run(&arguments),
        Command::Sign(arguments) => commands::sign::run(&arguments),
        Command::Verify(arguments) => commands::verify::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Extract(arguments) => commands::extract::run(&arguments),
        Command::Cat(arguments) => commands::cat::run(&arguments),
        Command::Export(arguments) => commands::export::run(&arguments),
        Command::Join(arguments) => commands::join::run(&arguments),
        Command::Subset(arguments) => commands::subset::run(&arguments),
        Command::Split(arguments) => commands::split::run(&arguments),
        Command::Repair(arguments) => commands::repair::run(&arguments),
        Command::Completion(arguments) => commands::documentation::completion(&arguments),
        Command::Man(arguments) => commands::documentation::man(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to be done about a closed stderr.
            drop(output::note(&failure::render(&error)));
            failure::exit_code(&error)
        }
    }
}
