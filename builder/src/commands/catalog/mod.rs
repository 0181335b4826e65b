//! `kbundle catalog`

mod add;
mod check;
mod export;
mod list;
mod show;

use std::path::Path;

use kbundle_cli::Documents;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_format::KubeVersion;
use schemars::JsonSchema;
use serde::Serialize;

use crate::catalog::CatalogFile;
use crate::catalog::overview::{Overview, ReleaseDetail};
use crate::cli::CatalogCommand;

pub fn run(command: &CatalogCommand, output: OutputFormat) -> anyhow::Result<()> {
    match command {
        CatalogCommand::List(arguments) => list::run(arguments, output),
        CatalogCommand::Show(arguments) => show::run(arguments, output),
        CatalogCommand::Export(arguments) => export::run(arguments, output),
        CatalogCommand::Add(arguments) => add::run(arguments, output),
        CatalogCommand::Check(arguments) => check::run(arguments, output),
    }
}

/// The documents of each of them for `--output json`, in the order of the help.
pub fn documents() -> [Documents; 5] {
    [
        Documents::of("catalog list").with::<Overview>(),
        Documents::of("catalog show").with::<ReleaseDetail>(),
        Documents::of("catalog export").with::<Report>(),
        Documents::of("catalog check").with::<check::Report<'_>>().with_details::<check::Report<'_>>(),
        Documents::of("catalog add").with::<Report>(),
    ]
}

/// What a command that writes a catalog prints with `--output json`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WrittenCatalog")]
struct Report {
    schema: u32,
    /// The file, or `-` for standard output.
    catalog: String,
    /// The releases in it.
    releases: Vec<KubeVersion>,
}

impl Report {
    fn of(path: &Path, file: &CatalogFile) -> Self {
        let catalog = path.display().to_string();
        Self { schema: SCHEMA, catalog, releases: file.releases.keys().copied().collect() }
    }

    /// Prints it for programs, and `note` for people.
    fn print(&self, output: OutputFormat, note: &str) -> anyhow::Result<()> {
        if output == OutputFormat::Json || !note.is_empty() {
            output::done(output, note, self)?;
        }
        Ok(())
    }
}
