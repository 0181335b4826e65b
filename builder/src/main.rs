//! The program `kbundle`; see the library for what it does.

use std::process::ExitCode;

use kbundle::Arguments;

fn main() -> ExitCode {
    kbundle_cli::program::main(|arguments: Arguments| kbundle::execute(arguments))
}
