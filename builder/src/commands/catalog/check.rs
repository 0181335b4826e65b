//! `kbundle catalog check`

use anyhow::anyhow;
use kbundle::catalog::check::Fault;
use kbundle::spec::SpecFile;
use kbundle_cli::Advise as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_format::Source;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::CatalogCheckArgs;
use crate::commands::source;

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CheckedCatalog")]
pub struct Report<'a> {
    schema: u32,
    sources: &'a [Source],
    releases: usize,
    faults: &'a [Fault],
}

pub fn run(arguments: &CatalogCheckArgs, output: OutputFormat) -> anyhow::Result<()> {
    let catalog = source::catalog(&arguments.catalogs, &SpecFile::default())?;
    let faults = catalog.faults();
    let releases = catalog.releases.len();
    let report = Report { schema: SCHEMA, sources: &catalog.sources, releases, faults: &faults };
    if !faults.is_empty() {
        let lines: Vec<_> =
            faults.iter().map(|Fault { kubernetes, message }| format!("  {kubernetes}: {message}")).collect();
        return Err(anyhow!("the catalog has faults:\n{}", lines.join("\n"))).details(&report);
    }
    output::result(output, &format!("{releases} Kubernetes versions, each can be built"), &report)?;
    Ok(())
}
