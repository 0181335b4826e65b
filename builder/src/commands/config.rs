//! `kbundle config`

use std::path::Path;

use kbundle::spec::{EXAMPLE, SpecFile, schema};
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::{Explained as _, documentation};
use kbundle_format::KubeVersion;
use schemars::JsonSchema;
use serde::Serialize;

use super::source::wishes_of_file;
use crate::cli::{Arguments, ConfigCommand};

pub fn run(command: &ConfigCommand, output: OutputFormat) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Init => Ok(output::text(output, EXAMPLE)?),
        ConfigCommand::Schema(arguments) => documentation::schema::<Arguments>(arguments, schema),
        ConfigCommand::Validate { file } => validate(file, output),
    }
}

/// What a good `bundle.yaml` asks for.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    schema: u32,
    valid: bool,
    kubernetes: KubeVersion,
    platforms: Vec<String>,
    files: usize,
    images: usize,
}

fn validate(path: &Path, format: OutputFormat) -> anyhow::Result<()> {
    let wishes = wishes_of_file(&SpecFile::read(path).explained()?)?;
    let selection = wishes.catalog.resolve(&wishes.spec).explained()?;
    let validation = Validation {
        schema: SCHEMA,
        valid: true,
        kubernetes: selection.kubernetes,
        platforms: selection.platforms.iter().map(ToString::to_string).collect(),
        files: selection.artifacts.len(),
        images: selection.images.len(),
    };
    let Validation { kubernetes, files, images, .. } = &validation;
    let platforms = validation.platforms.join(", ");
    let text = format!(
        "{} is good: Kubernetes {kubernetes} for {platforms}, {files} files and {images} images",
        path.display()
    );
    Ok(output::result(format, &text, &validation)?)
}
