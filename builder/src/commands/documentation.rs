//! `kbundle completion` and `kbundle man`: from the definitions of the command line.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use fs_err as fs;

use crate::cli::{Arguments, CompletionArgs, ManArgs};

pub fn completion(arguments: &CompletionArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "kbundle", &mut script);
    Ok(io::stdout().lock().write_all(&script)?)
}

pub fn man(arguments: &ManArgs) -> anyhow::Result<()> {
    fs::create_dir_all(&arguments.directory)?;
    clap_mangen::generate_to(Arguments::command(), &arguments.directory)?;
    Ok(())
}
