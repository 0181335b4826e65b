//! `kinstall images`: looks after the images in containerd.

use std::process::ExitCode;

use anyhow::anyhow;
use kbundle_cli::output::{self, SCHEMA};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::{ImagesCommand, OutputFormat};
use crate::failure::Advise;
use crate::host::Host;
use crate::steps::images::{self, Restored};

/// What `images restore` prints with `--output json`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Restored")]
pub struct Report {
    schema: u32,
    /// Images that were removed and are there again.
    put_back: Vec<String>,
    /// Images whose content is gone as well.
    lost: Vec<String>,
}

/// Does what the command line says.
pub fn images(command: ImagesCommand, output: OutputFormat) -> anyhow::Result<ExitCode> {
    match command {
        ImagesCommand::Restore => restore(output),
    }
}

fn restore(output: OutputFormat) -> anyhow::Result<ExitCode> {
    super::require_root()?;
    let Restored { put_back, lost } = images::restore(&Host::local()?)?;
    let report = Report { schema: SCHEMA, put_back, lost };
    let lines: Vec<_> =
        report.put_back.iter().map(|image| format!("put back {image}, which had been removed")).collect();
    let is_shown = match output {
        OutputFormat::Text => !lines.is_empty(),
        // As JSON, a failure contains the images.
        OutputFormat::Json => report.lost.is_empty(),
    };
    if is_shown {
        output::result(output, &lines.join("\n"), &report)?;
    }
    if report.lost.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(anyhow!("the content of these images is missing too: {}", report.lost.join(", ")))
        .details(&report)
        .hint("`kinstall run` loads them from the bundle again")
}
