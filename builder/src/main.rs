//! The program `kbundle`: what it is asked on the command line, done by the library.

mod cli;
mod commands;
mod version;

use std::process::ExitCode;

use cli::Arguments;

fn main() -> ExitCode {
    kbundle_cli::program::main(|arguments: Arguments| commands::execute(arguments.command).map(|()| ExitCode::SUCCESS))
}
