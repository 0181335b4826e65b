//! What each command does, in the order of its steps.

pub mod build;
pub mod cat;
pub mod catalog;
pub mod composed;
pub mod config;
pub mod dry_run;
pub mod export;
pub mod extract;
pub mod input;
pub mod inspect;
pub mod join;
pub mod keygen;
pub mod keys;
pub mod layout;
pub mod lock;
pub mod plan;
pub mod provenance;
pub mod repair;
pub mod reproduce;
pub mod sign;
pub mod source;
pub mod split;
pub mod subset;
pub mod unpack;
pub mod verify;

use kbundle_cli::documentation;

use crate::cli::{Arguments, Command};

/// Does what the command line says.
pub fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Build(arguments) => build::run(&arguments),
        Command::Lock(arguments) => lock::run(&arguments),
        Command::Catalog(command) => catalog::run(&command),
        Command::Config(command) => config::run(command),
        Command::Keygen(arguments) => keygen::run(&arguments),
        Command::Sign(arguments) => sign::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Extract(arguments) => extract::run(&arguments),
        Command::Cat(arguments) => cat::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Join(arguments) => join::run(&arguments),
        Command::Subset(arguments) => subset::run(&arguments),
        Command::Split(arguments) => split::run(&arguments),
        Command::Repair(arguments) => repair::run(&arguments),
        Command::Completion(arguments) => documentation::completion::<Arguments>(arguments),
        Command::Man(arguments) => documentation::man::<Arguments>(&arguments),
    }
}
