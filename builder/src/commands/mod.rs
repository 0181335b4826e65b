//! What each command does, in the order of its steps.

pub mod advisories;
pub mod audit;
pub mod build;
pub mod cat;
pub mod catalog;
pub mod check;
mod comparing;
pub mod config;
pub mod diff;
mod documents;
pub mod dry_run;
pub mod export;
pub mod images;
pub mod keygen;
pub mod layout;
pub mod licences;
pub mod lock;
mod new_folder;
pub mod plan;
pub mod provenance;
pub mod push;
pub mod report;
pub mod reproduce;
pub mod revocations;
pub mod sbom;
pub mod seal;
pub mod sign;
pub mod source;
pub mod split;
pub mod subset;
pub mod timestamp;

use std::process::ExitCode;

use kbundle_cli::{completion, documentation};
use kbundle_commands::{extract, inspect, join, repair, verify};

pub use self::documents::documents;
use crate::cli::{Arguments, Command};

/// Does what the command line says.
///
/// # Errors
/// Whatever the command fails with.
pub fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let output = arguments.common.output;
    let done = match arguments.command {
        Command::Diff(arguments) => return diff::run(&arguments, output),
        Command::Check(arguments) => check::run(&arguments, output),
        Command::Advisories(command) => advisories::run(&command, output),
        Command::Revocations(command) => revocations::run(&command, output),
        Command::Timestamp(command) => timestamp::run(&command, output),
        Command::Audit(arguments) => audit::run(&arguments, output),
        Command::Report(arguments) => report::run(&arguments, output),
        Command::Build(arguments) => match &arguments.reproduce {
            Some(bundle) => reproduce::run(&arguments, bundle, output),
            None => build::run(&arguments, output),
        },
        Command::Lock(arguments) => lock::run(&arguments, output),
        Command::Catalog(command) => catalog::run(&command, output),
        Command::Images(command) => images::run(&command, output),
        Command::Config(command) => config::run(&command, output),
        Command::Keygen(arguments) => keygen::run(&arguments, output),
        Command::Seal(arguments) => seal::run(&arguments, output),
        Command::Sign(arguments) => sign::run(&arguments, output),
        Command::Verify(arguments) => verify::run(&arguments, output),
        Command::Inspect(arguments) => inspect::run(&arguments, output),
        Command::Extract(arguments) => extract::run(&arguments, output),
        Command::Cat(arguments) => cat::run(&arguments),
        Command::Sbom(arguments) => sbom::run(&arguments, output),
        Command::Licences(arguments) => licences::run(&arguments, output),
        Command::Export(arguments) => export::run(&arguments, output),
        Command::Join(arguments) => join::run(&arguments, output),
        Command::Subset(arguments) => subset::run(&arguments, output),
        Command::Split(arguments) => split::run(&arguments, output),
        Command::Repair(arguments) => repair::run(&arguments, output),
        Command::Push(arguments) => push::run(&arguments, output),
        Command::Completion(arguments) => completion::completion::<Arguments>(arguments, output),
        Command::Man(arguments) => documentation::man::<Arguments>(&arguments, output),
    };
    done.map(|()| ExitCode::SUCCESS)
}
