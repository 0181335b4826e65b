//! Writes a bundle that is made from bundles; `join`, `subset` and `sign` share it.

use std::path::PathBuf;

use kbundle_cli::Explained as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_format::compose::{NewHead, compose};
use kbundle_format::{Entry, IndexedBundle};
use schemars::JsonSchema;
use serde::Serialize;

use crate::destination::{Destination, Written};
use crate::input::Opened;
use crate::interrupt::{Interrupt, interrupted, nothing_written};

/// A bundle to write, and its sources.
pub struct Composition<'a> {
    /// List, signatures and attestations of the new bundle.
    pub head: NewHead<'a>,
    /// Bundles that contain the content; an entry comes from the first that has it.
    pub sources: &'a [&'a Opened],
    /// The destination.
    pub destination: Destination,
}

impl Composition<'_> {
    /// Writes the bundle with the entries that `wanted` picks.
    ///
    /// The content is first compared with its digests, because frames are copied without being decoded.
    pub fn write(self, wanted: impl Fn(&Entry) -> bool) -> anyhow::Result<Written> {
        for source in self.sources {
            let carried = source.bundle.carried();
            let entries = self.head.list.entries.iter().filter(|entry| wanted(entry));
            let theirs: Vec<_> = entries.filter_map(|entry| carried.get(&entry.digest).copied()).collect();
            source.check(&theirs)?;
        }
        self.copy(wanted)
    }

    /// The same for a source whose content was checked already.
    pub fn copy(self, wanted: impl Fn(&Entry) -> bool) -> anyhow::Result<Written> {
        let interrupt = Interrupt::watch()?;
        let sources: Vec<&IndexedBundle> = self.sources.iter().map(|source| &source.bundle).collect();
        let write = || {
            let output = self.destination.start(&interrupt).explained()?;
            compose(self.head, wanted, &sources, output).explained()?.commit().explained()
        };
        interrupted(&interrupt, write(), nothing_written)
    }
}

/// What a command that writes a bundle made of others prints with `--output json`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Written")]
pub struct Report {
    schema: u32,
    /// The bundle or its volumes, in order; none for standard output.
    files: Vec<String>,
    /// Of all files.
    size_bytes: u64,
    /// Volumes of an earlier run under the same name, which were removed.
    removed: Vec<String>,
    /// Volumes of other bundles in the same folder.
    others: Vec<String>,
}

/// Lists the files that were written, one on each line, and those that were removed or are in the way.
pub fn report(written: &Written, output: OutputFormat) -> std::io::Result<()> {
    let report = Report {
        schema: SCHEMA,
        files: names(&written.files),
        size_bytes: written.size_bytes,
        removed: names(&written.removed),
        others: names(&written.others),
    };
    if output == OutputFormat::Json || !report.files.is_empty() {
        output::done(output, &report.files.join("\n"), &report)?;
    }
    note_beside(written)
}

/// Paths in the form of reports.
#[must_use]
pub fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

/// Lists files beside new volumes that were removed, and files that are in the way there.
pub fn note_beside(written: &Written) -> std::io::Result<()> {
    for path in &written.removed {
        output::note(&format!("{}: removed, a volume of an earlier run", path.display()))?;
    }
    if let [first, ..] = written.others.as_slice() {
        output::warning(&format!(
            "WARNING: the folder also holds volumes of another bundle: {}. Name a volume instead of the folder, such as {}, or move them away",
            names(&written.others).join(", "),
            written.files.first().unwrap_or(first).display()
        ))?;
    }
    Ok(())
}
