//! The program `kinstall`; see the library for what it does.

use std::process::ExitCode;

use kinstall::cli::Cli;

fn main() -> ExitCode {
    kbundle_cli::program::main(|cli: Cli| kinstall::commands::execute(&cli))
}
