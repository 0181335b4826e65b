//! `kbundle images`

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use kbundle::site::{self, FoundImage, FoundImages};
use kbundle_cli::Explained as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::{ImagesCommand, ImagesFindArgs};

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ImagesOfManifests")]
pub struct Report {
    schema: u32,
    #[serde(flatten)]
    images: FoundImages,
}

pub fn run(command: &ImagesCommand, output: OutputFormat) -> anyhow::Result<()> {
    match command {
        ImagesCommand::Find(arguments) => find(arguments, output),
    }
}

fn find(arguments: &ImagesFindArgs, output: OutputFormat) -> anyhow::Result<()> {
    let mut objects = Vec::new();
    let (stdin, paths): (Vec<_>, Vec<_>) = arguments.paths.iter().cloned().partition(|path| path == Path::new("-"));
    if !stdin.is_empty() {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        objects.extend(site::parse_objects(&text, Path::new("standard input")).explained()?);
    }
    for path in site::manifest_files(Path::new(""), &paths).explained()? {
        objects.extend(site::read_objects(&path).explained()?);
    }
    let report = Report { schema: SCHEMA, images: site::find(&objects) };
    output::result(output, &text(&report.images), &report)?;
    Ok(())
}

fn text(images: &FoundImages) -> String {
    let mut lines: Vec<String> = images.certain.iter().map(|found| found.image.clone()).collect();
    if !images.doubtful.is_empty() {
        lines.push("\nDOUBTFUL".to_owned());
        lines.extend(images.doubtful.iter().map(line));
    }
    lines.join("\n")
}

fn line(found: &FoundImage) -> String {
    let places: Vec<_> = found.places.iter().map(String::as_str).collect();
    format!("  {} ({})", found.image, places.join("; "))
}
