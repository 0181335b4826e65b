//! `kbundle diff`

use std::fmt::Write as _;
use std::process::ExitCode;

use kbundle::diff::{Change, Difference, Topic};
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_commands::input::Asked;
use schemars::JsonSchema;
use serde::Serialize;

use super::comparing::{Compared, Opened, differences};
use crate::cli::{DiffArgs, DiffFormat};

/// The exit code if something differs. A script can distinguish it from a failure.
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

pub fn run(arguments: &DiffArgs, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let asked = Asked::of(&arguments.trust)?;
    let (old, new) = (Opened::open(&arguments.old, &asked)?, Opened::open(&arguments.new, &asked)?);
    let topics = if arguments.only.is_empty() { Topic::ALL.to_vec() } else { arguments.only.clone() };
    let differences = differences(&old, &new, &topics)?;
    let report = Report {
        schema: SCHEMA,
        old: old.compared(),
        new: new.compared(),
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

fn sign(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Upgraded => "up",
        Change::Downgraded => "DOWN",
        Change::Changed => "changed",
    }
}

/// The old and the new value in one line.
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

/// Text of a bundle as a cell of a table: no part of it is interpreted as Markdown or HTML.
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
