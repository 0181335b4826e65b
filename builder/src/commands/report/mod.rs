//! `kbundle report`

mod page;
mod tables;

use std::io::Write as _;

use anyhow::Context as _;
use kbundle_cli::Explained as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_commands::destination::Destination;
use kbundle_commands::interrupt::{Interrupt, interrupted, nothing_written};
use kbundle_format::Digest;
use schemars::JsonSchema;
use serde::Serialize;

use self::page::{Contents, page};
use super::audit::judging::Judged;
use crate::cli::ReportArgs;

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Reported")]
pub struct Report {
    schema: u32,
    bundle: String,
    list_digest: Digest,
    /// The policy allows the bundle.
    allowed: bool,
    /// The page, or `-` for standard output.
    page: String,
    size_bytes: u64,
}

pub fn run(arguments: &ReportArgs, output: OutputFormat) -> anyhow::Result<()> {
    let destination = Destination::find(&arguments.out, None, arguments.force.existing()).explained()?;
    let Judged { bundle, bom, provenance, report } = Judged::of(&arguments.judging)?;
    let html = page(&Contents { list: bundle.list(), bom: &bom, report: &report, provenance: &provenance });
    let name = arguments.out.display().to_string();
    let interrupt = Interrupt::watch()?;
    let write = |destination: Destination| {
        let mut writing = destination.start(&interrupt).explained()?;
        writing.write_all(html.as_bytes()).with_context(|| format!("cannot write {name}"))?;
        writing.commit().explained()
    };
    let written = interrupted(&interrupt, write(destination), nothing_written)?;
    let allowed = if report.allowed { "allows" } else { "REFUSES" };
    let text = format!("{name}: the policy {} {allowed} {}", report.policy.name, report.bundle);
    let done = Report {
        schema: SCHEMA,
        bundle: report.bundle,
        list_digest: report.list_digest,
        allowed: report.allowed,
        page: name,
        size_bytes: written.size_bytes,
    };
    Ok(output::done(output, &text, &done)?)
}
