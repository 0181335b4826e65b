//! `kbundle subset`

use kbundle_cli::{Explained as _, OutputFormat};
use kbundle_commands::composed::{Composition, report};
use kbundle_commands::destination::Destination;
use kbundle_commands::input::Opened;
use kbundle_format::Entry;

use crate::cli::SubsetArgs;

pub fn run(arguments: &SubsetArgs, output: OutputFormat) -> anyhow::Result<()> {
    let source = Opened::of(&arguments.bundle)?;
    let head = source.bundle.head();
    let signed = !head.signatures.is_empty();
    let (split, existing) = (arguments.split.split(), arguments.force.existing());
    let destination = Destination::for_bundle(&arguments.out, split, existing, signed).explained()?;
    let composition = Composition { head: head.into(), sources: &[&source], destination };
    let needed = |entry: &Entry| arguments.role.iter().any(|role| entry.roles.contains(role));
    report(&composition.write(needed)?, output)?;
    Ok(())
}
