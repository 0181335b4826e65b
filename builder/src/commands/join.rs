//! `kbundle join`

use kbundle::destination::Destination;
use kbundle_cli::{Explained as _, OutputFormat};
use kbundle_format::bases::without_bases;
use kbundle_format::compose::NewHead;
use kbundle_format::{IndexedBundle, SignatureCheck};

use super::composed::{Composition, report};
use super::input::Input;
use crate::cli::JoinArgs;

pub fn run(arguments: &JoinArgs, output: OutputFormat) -> anyhow::Result<()> {
    // The result bears the signatures of the differential bundle; whoever uses it checks them.
    let bundle = Input::find(&arguments.bundle)?.open_indexed(SignatureCheck::Skipped)?;
    let mut bases = Vec::new();
    for path in &arguments.bases {
        bases.push(Input::find_file(path)?.open_indexed(SignatureCheck::Skipped)?);
    }
    let sources: Vec<&IndexedBundle> = [&bundle].into_iter().chain(&bases).collect();
    let signed = !bundle.head().signatures.is_empty();
    let (split, existing) = (arguments.split.split(), arguments.force.existing());
    let destination = Destination::for_bundle(&arguments.out, split, existing, signed).explained()?;
    let attestations = without_bases(&bundle.head().attestations);
    let head = NewHead { attestations: &attestations, ..bundle.head().into() };
    let composition = Composition { head, sources: &sources, destination };
    report(&composition.write(|_| true)?, output)?;
    Ok(())
}
