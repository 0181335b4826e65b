//! `repair`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use fs_err as fs;
use kbundle_cli::Explained as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_format::volume::{Repair, bundle_path, repair};
use schemars::JsonSchema;
use serde::Serialize;

use crate::composed::names;

/// Rebuild lost and damaged volumes from the others and parity
///
/// Writes lost and damaged volumes again, parity volumes included; writes nothing if there is too little parity. The rebuilt bundle is
/// compared with the digest in every volume. Damaged volumes in other folders are named and left alone; commands that read volumes prefer
/// the folder that is named first.
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// Folders with volumes, or single volumes
    #[arg(value_name = "PLACE", required = true)]
    pub places: Vec<PathBuf>,
    /// Write rebuilt volumes under this bundle's name [default: beside the first volume found]
    #[arg(short = 'o', long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Repaired")]
pub struct Report {
    schema: u32,
    /// Volumes that were rewritten.
    rebuilt: Vec<String>,
    /// Damaged volumes elsewhere, which were left alone.
    damaged: Vec<String>,
}

/// Does what the command line says.
pub fn run(arguments: &RepairArgs, output: OutputFormat) -> anyhow::Result<()> {
    // One of several sticks may be missing. If all are missing, their names are wrong.
    if let [first, ..] = arguments.places.as_slice()
        && !arguments.places.iter().any(|place| place.exists())
    {
        fs::metadata(first).explained().context("cannot look for volumes")?;
    }
    let bundle = match &arguments.out {
        Some(out) => out.clone(),
        None => bundle_path(&arguments.places).explained()?,
    };
    let Repair { rebuilt, damaged } = repair(&arguments.places, &bundle).explained()?;
    let report = Report { schema: SCHEMA, rebuilt: names(&rebuilt), damaged: names(&damaged) };
    let text = if rebuilt.is_empty() {
        "there is a whole volume of each number; nothing was done".to_owned()
    } else {
        report.rebuilt.join("\n")
    };
    output::done(output, &text, &report)?;
    for path in &report.damaged {
        output::note(&format!("{path} is damaged and was left alone; use the whole one, and remove this"))?;
    }
    Ok(())
}
