//! `kbundle diff`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use kbundle::diff::{Change, Difference, ImageSettings, Side, Topic, compare};
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_commands::input::{Asked, Input};
use kbundle_format::oci::Document;
use kbundle_format::{Digest, Entry, EntryPath, IndexedBundle, KeyId, KubeVersion};
use kbundle_sbom::{Bom, CYCLONEDX_PATH};
use schemars::JsonSchema;
use serde::Serialize;

use super::sbom;
use crate::cli::{DiffArgs, DiffFormat};

/// What the program exits with where something differs. A script so can tell it from a failure.
const DIFFERS: u8 = 4;

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "BundlesCompared")]
pub struct Report {
    schema: u32,
    old: Compared,
    new: Compared,
    /// Nothing that was compared differs.
    identical: bool,
    compared: Vec<Topic>,
    differences: Vec<Difference>,
}

/// One of the two bundles.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Compared {
    bundle: String,
    kubernetes_version: KubeVersion,
    list_digest: Digest,
}

/// A bundle that was opened.
struct Opened {
    input: Input,
    bundle: IndexedBundle,
}

pub fn run(arguments: &DiffArgs, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let asked = Asked::of(&arguments.trust)?;
    let open = |path: &Path| {
        let input = Input::find_file(path)?;
        let bundle = input.open_indexed(asked.check())?;
        anyhow::Ok(Opened { input, bundle })
    };
    let (old, new) = (open(&arguments.old)?, open(&arguments.new)?);
    let topics = if arguments.only.is_empty() { Topic::ALL.to_vec() } else { arguments.only.clone() };
    let differences = compare(&side(&old, &new, &topics)?, &side(&new, &old, &topics)?, &topics);
    let report = Report {
        schema: SCHEMA,
        old: compared(&old),
        new: compared(&new),
        identical: differences.is_empty(),
        compared: topics,
        differences,
    };
    let text = match arguments.format {
        DiffFormat::Text => text(&report),
        DiffFormat::Markdown => markdown(&report),
    };
    output::result(output, &text, &report)?;
    Ok(if report.identical { ExitCode::SUCCESS } else { DIFFERS.into() })
}

fn compared(Opened { input, bundle }: &Opened) -> Compared {
    Compared {
        bundle: input.name.clone(),
        kubernetes_version: bundle.list().kubernetes_version,
        list_digest: Digest::of(&bundle.head().list_bytes),
    }
}

/// What the topics need of a bundle. A differential one leaves out what the `other` has.
fn side<'a>(opened: &'a Opened, other: &Opened, topics: &[Topic]) -> anyhow::Result<Side<'a>> {
    let Opened { input, bundle } = opened;
    let asks = |wanted: &[Topic]| topics.iter().any(|topic| wanted.contains(topic));
    let bom = if asks(&[Topic::Packages, Topic::Licences]) { Some(bom(input, bundle)?) } else { None };
    let mut images = BTreeMap::new();
    if asks(&[Topic::Images, Topic::Settings]) {
        for image in &bundle.list().images {
            images.insert(image.manifest, settings(opened, other, &image.manifest)?);
        }
    }
    let signers = bundle
        .head()
        .signatures
        .iter()
        .filter_map(|file| file.name.as_str().strip_suffix(".sig")?.parse::<KeyId>().ok());
    Ok(Side { list: bundle.list(), signers: signers.collect(), bom, images })
}

fn bom(input: &Input, bundle: &IndexedBundle) -> anyhow::Result<Bom> {
    if let Some(bytes) = sbom::carried(input, bundle, CYCLONEDX_PATH)? {
        Bom::parse(&bytes).with_context(|| format!("cannot read {CYCLONEDX_PATH} of {}", input.name))
    } else {
        output::note(&format!("{} carries no list of packages; making it from its content", input.name))?;
        sbom::computed(input, bundle)
    }
}

fn settings(opened: &Opened, other: &Opened, manifest: &Digest) -> anyhow::Result<ImageSettings> {
    let parsed = Document::parse(&blob(opened, other, manifest)?);
    let Ok(Document::Manifest { config, layers, .. }) = parsed else {
        return Err(anyhow!("{} has an image whose manifest {manifest} is not an image manifest", opened.input.name));
    };
    let layers = layers.into_iter().map(|layer| layer.digest).collect();
    Ok(ImageSettings::of(layers, &blob(opened, other, &config.digest)?))
}

/// A small blob of a bundle, from the bundle itself or from the other one.
fn blob(opened: &Opened, other: &Opened, digest: &Digest) -> anyhow::Result<Vec<u8>> {
    let path = EntryPath::blob(digest);
    let entry_of = |bundle: &IndexedBundle| -> Option<Entry> {
        bundle.list().entry(path.as_str()).filter(|entry| bundle.carries(entry)).cloned()
    };
    for Opened { input, bundle } in [opened, other] {
        if let Some(entry) = entry_of(bundle) {
            return bundle.read_entry(&entry).map_err(|error| input.refusal(error));
        }
    }
    Err(anyhow!("{} does not carry {path}, and neither does {}", opened.input.name, other.input.name))
}

fn sign(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Upgraded => "up",
        Change::Downgraded => "DOWN",
        Change::Changed => "changed",
    }
}

/// What was and what is, in one line.
fn values(difference: &Difference) -> String {
    match (&difference.old, &difference.new) {
        (Some(old), Some(new)) => format!("{old} -> {new}"),
        (Some(only), None) | (None, Some(only)) => only.clone(),
        (None, None) => String::new(),
    }
}

fn title(report: &Report) -> String {
    let Report { old, new, .. } = report;
    format!(
        "{} (Kubernetes {}) -> {} (Kubernetes {})",
        old.bundle, old.kubernetes_version, new.bundle, new.kubernetes_version
    )
}

fn text(report: &Report) -> String {
    let mut text = format!("{}\n", title(report));
    if report.identical {
        text.push_str("  nothing differs\n");
    }
    let (mut topic, mut within) = (None, None);
    // Writing to a string cannot fail.
    for difference in &report.differences {
        if topic != Some(difference.topic) {
            (topic, within) = (Some(difference.topic), None);
            let _ = writeln!(text, "\n{}", difference.topic.heading().to_uppercase());
        }
        if within != difference.within.as_deref() {
            within = difference.within.as_deref();
            let _ = writeln!(text, "  {}", within.unwrap_or_default());
        }
        let indent = if within.is_some() { "    " } else { "  " };
        let _ = writeln!(text, "{indent}{:<8} {:<48} {}", sign(difference.change), difference.name, values(difference));
    }
    text
}

fn markdown(report: &Report) -> String {
    let mut text = format!("# {}\n\n", cell(&title(report)));
    let _ = writeln!(text, "Lists: `{}` and `{}`", report.old.list_digest, report.new.list_digest);
    if report.identical {
        text.push_str("\nNothing differs.\n");
    }
    let mut topic = None;
    for difference in &report.differences {
        if topic != Some(difference.topic) {
            topic = Some(difference.topic);
            let _ = writeln!(
                text,
                "\n## {}\n\n| | in | what | old | new |\n|---|---|---|---|---|",
                difference.topic.heading()
            );
        }
        let within = difference.within.as_deref().unwrap_or_default();
        let (old, new) = (difference.old.as_deref().unwrap_or_default(), difference.new.as_deref().unwrap_or_default());
        let cells = [sign(difference.change), within, &difference.name, old, new].map(cell);
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

/// Text of a bundle as a cell of a table: none of it is Markdown or HTML.
fn cell(text: &str) -> String {
    let mut cell = String::new();
    for letter in text.chars() {
        match letter {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' => cell.extend(['\\', letter]),
            '<' => cell.push_str("&lt;"),
            '&' => cell.push_str("&amp;"),
            letter if letter.is_control() => cell.push(' '),
            letter => cell.push(letter),
        }
    }
    cell
}
