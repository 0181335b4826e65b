//! `join`

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use kbundle_cli::{Explained as _, OutputFormat, progress};
use kbundle_format::Entry;
use kbundle_format::bases::without_bases;
use kbundle_format::compose::NewHead;

use crate::arguments::{BundleArgs, ForceArgs, SplitArgs};
use crate::composed::{Composition, report};
use crate::destination::{Destination, Written};
use crate::input::Opened;
use crate::interrupt::{Interrupt, interrupted, nothing_written};

/// Join volumes, or a differential bundle and its base, into one bundle
///
/// From volumes it writes the bundle that was split, byte for byte; from a differential bundle and its bases the full bundle, with the
/// signatures of the differential one. Content is compared with the list before it is written. This joins files, not hosts to a cluster.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The bundle.
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Older bundles that hold what a differential bundle leaves out
    #[arg(value_name = "BASE")]
    pub bases: Vec<PathBuf>,
    /// Write the full bundle to this file, or - for standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    pub out: PathBuf,
    /// What may be replaced.
    #[command(flatten)]
    pub force: ForceArgs,
    /// How to cut it.
    #[command(flatten)]
    pub split: SplitArgs,
}

/// Does what the command line says.
pub fn run(arguments: &JoinArgs, output: OutputFormat) -> anyhow::Result<()> {
    // The result has the signatures of the first bundle; its users verify them.
    let bundle = Opened::of(&arguments.bundle)?;
    let signed = !bundle.bundle.head().signatures.is_empty();
    let (split, existing) = (arguments.split.split(), arguments.force.existing());
    let destination = Destination::for_bundle(&arguments.out, split, existing, signed).explained()?;
    let entries = &bundle.bundle.list().entries;
    let written = if entries.iter().all(|entry| bundle.bundle.carries(entry)) {
        copy(&bundle, destination)?
    } else {
        let mut sources = vec![bundle];
        for path in &arguments.bases {
            sources.push(Opened::file(path)?);
        }
        complete(&sources, destination)?
    };
    report(&written, output)?;
    Ok(())
}

/// Copies a bundle that has all of its content.
fn copy(source: &Opened, destination: Destination) -> anyhow::Result<Written> {
    let Opened { input, bundle } = source;
    bundle.check_layout().map_err(|error| input.refusal(error))?;
    source.check(&bundle.list().entries.iter().collect::<Vec<&Entry>>())?;
    let interrupt = Interrupt::watch()?;
    let bar = progress::bar("joining", bundle.source().size_bytes());
    let write = || {
        let mut output = destination.start(&interrupt).explained()?;
        io::copy(&mut bar.wrap_read(bundle.source().reader()), &mut output)
            .with_context(|| format!("while joining {}", input.name))?;
        output.commit().explained()
    };
    let written = interrupted(&interrupt, write(), nothing_written)?;
    bar.finish_and_clear();
    Ok(written)
}

/// Writes the first of `sources` with all of its content; the others have the rest.
fn complete(sources: &[Opened], destination: Destination) -> anyhow::Result<Written> {
    let head = sources[0].bundle.head();
    let attestations = without_bases(&head.attestations);
    let head = NewHead { attestations: &attestations, ..head.into() };
    Composition { head, sources: &sources.iter().collect::<Vec<_>>(), destination }.write(|_| true)
}
