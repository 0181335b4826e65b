//! `kbundle subset`

use kbundle_format::{Entry, SignatureCheck};

use super::composed::{Composition, name_files};
use super::input::Input;
use crate::cli::SubsetArgs;

pub fn run(arguments: &SubsetArgs) -> anyhow::Result<()> {
    let bundle = Input::find(&arguments.bundle)?.open_indexed(SignatureCheck::Skipped)?;
    let split = arguments.split.split();
    let composition = Composition { head: bundle.head().into(), sources: &[&bundle], out: &arguments.out, split };
    let needed = |entry: &Entry| arguments.role.iter().any(|role| entry.roles.contains(role));
    name_files(&composition.write(needed)?)?;
    Ok(())
}
