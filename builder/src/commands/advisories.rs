//! `kbundle advisories`

use std::fmt::Write as _;
use std::path::PathBuf;

use kbundle_advisories::{AdvisoriesError, Manifest, PackError, Packer};
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::{Advise as _, Explained as _};
use kbundle_commands::destination::Destination;
use kbundle_commands::interrupt::{Interrupt, interrupted, nothing_written};
use kbundle_commands::signing_key::signing_key;
use kbundle_format::{KeyId, SigningKey};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::{AdvisoriesCommand, AdvisoriesPackArgs};

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AdvisoriesPacked")]
pub struct Report<'a> {
    schema: u32,
    /// The file, or `-` for standard output.
    advisories: String,
    size_bytes: u64,
    signers: Vec<KeyId>,
    /// What the file holds.
    manifest: &'a Manifest,
}

pub fn run(command: &AdvisoriesCommand, output: OutputFormat) -> anyhow::Result<()> {
    let AdvisoriesCommand::Pack(arguments) = command;
    let interrupt = Interrupt::watch()?;
    interrupted(&interrupt, pack(arguments, output, &interrupt), nothing_written)
}

fn pack(arguments: &AdvisoriesPackArgs, output: OutputFormat, interrupt: &Interrupt) -> anyhow::Result<()> {
    let read = |path: &PathBuf| signing_key(path, &arguments.passphrase);
    let keys = arguments.key.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let destination = Destination::find(&arguments.out, None, arguments.force.existing()).explained()?;
    let mut packer = Packer::default();
    for path in &arguments.osv {
        packing(packer.add(path))?;
        interrupt.check()?;
    }
    for path in &arguments.vex {
        packing(packer.add_vex(path))?;
    }
    let mut packed = packing(packer.finish(arguments.date))?;
    let mut writing = destination.start(interrupt).explained()?;
    packing(packed.write(&keys.iter().collect::<Vec<_>>(), &mut writing))?;
    let written = writing.commit().explained()?;
    let report = Report {
        schema: SCHEMA,
        advisories: arguments.out.display().to_string(),
        size_bytes: written.size_bytes,
        signers: keys.iter().map(SigningKey::verifying_key).map(|key| key.id()).collect(),
        manifest: &packed.manifest,
    };
    Ok(output::done(output, &text(&report), &report)?)
}

/// Exit code and hint for an error of packing.
fn packing<T>(result: Result<T, PackError>) -> anyhow::Result<T> {
    match result {
        Err(error) if error.is_failure() => Err(error.into()),
        Err(error @ PackError::Record { .. }) => {
            Err(error).usage().hint("give folders and zips that have nothing but OSV records")
        }
        Err(error @ PackError::Nothing) => {
            Err(error).usage().hint("give records of an ecosystem that `kbundle advisories pack --help` names")
        }
        result => result.usage(),
    }
}

/// Exit code and hint for an error of reading a file of advisories.
pub fn reading<T>(result: Result<T, AdvisoriesError>) -> anyhow::Result<T> {
    match result {
        Err(error @ AdvisoriesError::Open { .. }) => Err(error).usage(),
        Err(error @ AdvisoriesError::Untrusted { .. }) => {
            Err(error).refused().hint("name the key that signed them with `--advisories-key FILE`")
        }
        Err(error @ AdvisoriesError::Version { .. }) => {
            Err(error).refused().hint("make the file again with this kbundle, or read it with the one that made it")
        }
        result => result.refused().hint("copy the file again, or make it again with `kbundle advisories pack`"),
    }
}

fn text(report: &Report<'_>) -> String {
    let manifest = report.manifest;
    let mut text = format!("{}: {} advisories", report.advisories, manifest.records);
    let _ = match &manifest.day {
        Some(day) => write!(text, " of {day}"),
        None => write!(text, " without a date; name it with `--date`"),
    };
    // Writing to a string cannot fail.
    for (ecosystem, records) in &manifest.ecosystems {
        let _ = write!(text, "\n  {ecosystem:<16} {records}");
    }
    let _ = write!(
        text,
        "\n  left out         {} withdrawn, {} of other ecosystems",
        manifest.withdrawn, manifest.elsewhere
    );
    let _ = write!(text, "\n  VEX documents    {}", manifest.files.len().saturating_sub(1));
    for signer in &report.signers {
        let _ = write!(text, "\n  signed by        {signer}");
    }
    text
}
