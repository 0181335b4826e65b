//! `kbundle subset`

use kbundle::destination::Destination;
use kbundle_cli::{Explained as _, OutputFormat};
use kbundle_format::{Entry, SignatureCheck};

use super::composed::{Composition, report};
use super::input::Input;
use crate::cli::SubsetArgs;

pub fn run(arguments: &SubsetArgs, output: OutputFormat) -> anyhow::Result<()> {
    let bundle = Input::find(&arguments.bundle)?.open_indexed(SignatureCheck::Skipped)?;
    let signed = !bundle.head().signatures.is_empty();
    let (split, existing) = (arguments.split.split(), arguments.force.existing());
    let destination = Destination::for_bundle(&arguments.out, split, existing, signed).explained()?;
    let composition = Composition { head: bundle.head().into(), sources: &[&bundle], destination };
    let needed = |entry: &Entry| arguments.role.iter().any(|role| entry.roles.contains(role));
    report(&composition.write(needed)?, output)?;
    Ok(())
}
