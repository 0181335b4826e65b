//! `kbundle report`

mod origins;
mod page;
mod tables;

use std::path::Path;

use kbundle::diff::Topic;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_commands::input::Asked;
use kbundle_commands::small_file::SmallFile;
use kbundle_format::Digest;
use schemars::JsonSchema;
use serde::Serialize;

use self::page::{Contents, Predecessor, page};
use super::audit::judging::Judged;
use super::comparing::{Compared, Opened, differences};
use crate::cli::{JudgingArgs, ReportArgs};

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Reported")]
pub struct Report {
    schema: u32,
    bundle: String,
    list_digest: Digest,
    /// The policy allows the bundle.
    allowed: bool,
    /// The page, or `-` for standard output.
    page: String,
    size_bytes: u64,
    /// The older bundle that it was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<SinceReport>,
}

/// An older bundle, and how much differs from it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SinceReport {
    old: Compared,
    /// How many differences the page has; `kbundle diff` has them as JSON.
    differences: usize,
}

pub fn run(arguments: &ReportArgs, output: OutputFormat) -> anyhow::Result<()> {
    let file = SmallFile::prepare(&arguments.out, arguments.force.existing())?;
    let old = arguments.since.as_ref().map(|old| open_old(old, &arguments.judging)).transpose()?;
    let Judged { opened, provenance, report } = Judged::of(&arguments.judging)?;
    let since = old.map(|old| Predecessor::of(&old, &opened)).transpose()?;
    let html = page(&Contents {
        list: opened.bundle.list(),
        bom: opened.bom.as_ref().expect("what was judged was looked into"),
        report: &report,
        provenance: &provenance,
        since: since.as_ref(),
    });
    let name = file.name().to_owned();
    let size_bytes = file.write(html.as_bytes())?;
    let allowed = if report.allowed { "allows" } else { "REFUSES" };
    let text = format!("{name}: the policy {} {allowed} {}", report.policy.name, report.bundle);
    let done = Report {
        schema: SCHEMA,
        bundle: report.bundle,
        list_digest: report.list_digest,
        allowed: report.allowed,
        page: name,
        size_bytes,
        since: since.map(|since| SinceReport { old: since.old, differences: since.differences.len() }),
    };
    Ok(output::done(output, &text, &done)?)
}

/// Opened first: an error in its name is reported before a long audit.
fn open_old(old: &Path, judging: &JudgingArgs) -> anyhow::Result<Opened> {
    Opened::open(old, &Asked::of(&judging.trust)?)
}

impl Predecessor {
    fn of(old: &Opened, new: &Opened) -> anyhow::Result<Self> {
        Ok(Self { old: old.compared(), differences: differences(old, new, &Topic::ALL)? })
    }
}
