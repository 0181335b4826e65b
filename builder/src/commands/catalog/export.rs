//! `kbundle catalog export`

use std::io::Write as _;

use anyhow::Context as _;
use kbundle::spec::SpecFile;
use kbundle_cli::{Explained as _, OutputFormat};
use kbundle_commands::destination::Destination;
use kbundle_commands::interrupt::Interrupt;

use super::Report;
use crate::cli::CatalogExportArgs;
use crate::commands::source;

pub fn run(arguments: &CatalogExportArgs, output: OutputFormat) -> anyhow::Result<()> {
    let catalog = source::catalog(&arguments.catalogs, &SpecFile::default())?;
    let file = catalog.file(&arguments.kubernetes).explained()?;
    let destination = Destination::find(&arguments.out, None, arguments.force.existing()).explained()?;
    let interrupt = Interrupt::watch()?;
    let mut written = destination.start(&interrupt).explained()?;
    let text = serde_yaml::to_string(&file).context("cannot write the catalog as YAML")?;
    written.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", arguments.out.display()))?;
    written.commit().explained()?;
    Report::of(&arguments.out, &file).print(output, "")
}
