//! `kbundle licences`

mod list;
mod text;
mod texts;

use kbundle_cli::Explained as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_commands::destination::check_new_folder;
use kbundle_commands::input::{Asked, Input};
use kbundle_format::Digest;
use schemars::JsonSchema;
use serde::Serialize;

use self::list::{Item, Licence};
use super::sbom::{Source, carried_or_computed};
use crate::cli::LicencesArgs;

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LicencesOfBundle")]
pub struct Report {
    schema: u32,
    bundle: String,
    list_digest: Digest,
    /// Where the list of packages comes from.
    packages_from: Source,
    /// Licences with what has them, sorted by name.
    licences: Vec<Licence>,
    /// Files and packages that state no licence.
    unstated: Vec<Item>,
    /// Where packages may be that were not read, and why.
    not_read: Vec<String>,
    /// The texts that were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    texts: Option<Texts>,
}

/// The licence texts that were written.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Texts {
    directory: String,
    /// Texts that differ.
    files: usize,
    size_bytes: u64,
    /// What may be a text and was not read, and why.
    not_read: Vec<String>,
}

pub fn run(arguments: &LicencesArgs, output: OutputFormat) -> anyhow::Result<()> {
    let asked = Asked::of(&arguments.trust)?;
    if let Some(folder) = &arguments.texts {
        check_new_folder(folder).explained()?;
    }
    let input = Input::find(&arguments.bundle)?;
    let bundle = input.open_completed(asked.check(), &arguments.base)?;
    let (bom, packages_from) = carried_or_computed(&input, &bundle)?;
    let list::Licences { stated: licences, unstated, not_read } = list::of(&bom);
    let list_digest = Digest::of(&bundle.head().list_bytes);
    let name = input.name.clone();
    let mut report =
        Report { schema: SCHEMA, bundle: name, list_digest, packages_from, licences, unstated, not_read, texts: None };
    if let Some(folder) = &arguments.texts {
        report.texts = Some(texts::write(folder, &input, &bundle, &report)?);
    }
    input.warn_of_mended()?;
    Ok(output::result(output, &text::of(&report), &report)?)
}
