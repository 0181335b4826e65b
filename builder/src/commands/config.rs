//! `kbundle config`

use std::path::Path;

use kbundle::spec::{EXAMPLE, SpecFile, schema};
use kbundle_cli::{Explained as _, OutputFormat, output};
use kbundle_format::KubeVersion;
use serde::Serialize;

use super::source::wishes_of_file;
use crate::cli::ConfigCommand;

pub fn run(command: ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Init => output::result(OutputFormat::Text, EXAMPLE, &())?,
        ConfigCommand::Schema => output::result(OutputFormat::Json, "", &schema())?,
        ConfigCommand::Validate { file, output } => validate(&file, output)?,
    }
    Ok(())
}

/// What a good `bundle.yaml` asks for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Validation {
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
        schema: 1,
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
