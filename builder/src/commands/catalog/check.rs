//! `kbundle catalog check`

use anyhow::bail;
use kbundle::catalog::check::Fault;
use kbundle::spec::SpecFile;
use kbundle_cli::output;
use kbundle_format::Source;
use serde::Serialize;

use crate::cli::CatalogCheckArgs;
use crate::commands::source;

/// What `--output json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    schema: u32,
    sources: &'a [Source],
    releases: usize,
    faults: &'a [Fault],
}

pub fn run(arguments: &CatalogCheckArgs) -> anyhow::Result<()> {
    let catalog = source::catalog(&arguments.catalogs, &SpecFile::default())?;
    let faults = catalog.faults();
    if !faults.is_empty() {
        let lines: Vec<_> =
            faults.iter().map(|Fault { kubernetes, message }| format!("  {kubernetes}: {message}")).collect();
        bail!("the catalog has faults:\n{}", lines.join("\n"));
    }
    let releases = catalog.releases.len();
    let report = Report { schema: 1, sources: &catalog.sources, releases, faults: &faults };
    output::result(arguments.output, &format!("{releases} Kubernetes versions, each can be built"), &report)?;
    Ok(())
}
