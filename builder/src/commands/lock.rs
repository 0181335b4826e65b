//! `kbundle lock`

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use kbundle::fetch::{keep_image_files, keep_local_files};
use kbundle::upstream::Upstream;
use kbundle_cli::Explained as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_commands::destination::Destination;
use kbundle_commands::interrupt::Interrupt;
use kbundle_format::KubeVersion;
use kbundle_format::shell::word;
use schemars::JsonSchema;
use serde::Serialize;

use super::plan::local_files;
use super::source::{self, Wishes};
use crate::cli::LockArgs;

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Locked")]
pub struct Report {
    schema: u32,
    /// The file, or `-` for standard output.
    lock: String,
    kubernetes_version: KubeVersion,
    /// How many files it pins.
    files: usize,
    /// How many images it pins.
    images: usize,
}

pub fn run(arguments: &LockArgs, output: OutputFormat) -> anyhow::Result<()> {
    let file = source::spec_file(&arguments.spec)?;
    let Wishes { spec, catalog, mirrors } = source::wishes(&arguments.spec, &file)?;
    let selection = catalog.resolve(&spec).explained()?;
    let upstream = Upstream::of_selection(&selection);
    source::check_mirrors(&mirrors, &upstream, Some(&catalog))?;
    let destination = Destination::find(&arguments.out, None, arguments.force.existing()).explained()?;
    source::tell_doubtful(&spec, &selection)?;
    let cache = source::cache(&arguments.fetch)?;
    // Charts are rendered from there.
    keep_local_files(local_files(&selection), &file.folder, &cache).explained()?;
    keep_image_files(selection.image_files(), &file.folder, &selection.platforms, &cache).explained()?;
    let (fetcher, _held, progress) = source::fetcher(&arguments.fetch, &file, mirrors, &cache)?;
    let interrupt = Interrupt::watch()?;
    let lock = source::online(&fetcher, &upstream, &interrupt, fetcher.pin(selection))?;
    progress.finish();
    let to_stdout = destination.is_stdout();
    let mut file = destination.start(&interrupt).explained()?;
    file.write_all(lock.to_yaml()?.as_bytes()).with_context(|| format!("cannot write {}", arguments.out.display()))?;
    file.commit().explained()?;
    let report = Report {
        schema: SCHEMA,
        lock: arguments.out.display().to_string(),
        kubernetes_version: lock.kubernetes,
        files: lock.artifacts.len(),
        images: lock.images.len(),
    };
    let text = format!(
        "{}: {} files and {} images of Kubernetes {}\n",
        if to_stdout { "standard output" } else { &report.lock },
        report.files,
        report.images,
        report.kubernetes_version,
    );
    // If the lock goes to standard output, its place is not known here.
    let next = if to_stdout { String::new() } else { next(&arguments.out) };
    output::done(output, &format!("{text}{next}"), &report)?;
    Ok(())
}

/// The next command, in a form that can be typed as it is.
fn next(lock: &Path) -> String {
    let keygen = if Path::new("signing.key").exists() { "" } else { "kbundle keygen && " };
    format!("next: {keygen}kbundle build --locked {} --key signing.key", word(lock))
}
