//! Remarks upon lines of the files that a cluster is imported from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::ImportError;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceLine {
    /// The file's path below the folder of the imported file; empty for the imported file itself.
    pub file: Arc<str>,
    /// The line, counted from 1; 0 if the file's reader does not know lines.
    pub line: usize,
}

/// A message about lines of an imported file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The lines; empty if the remark is about something absent, or about the whole file.
    pub places: BTreeSet<SourceLine>,
    /// The message.
    pub message: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let mut files: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for place in self.places.iter().take(SHOWN) {
            let lines = files.entry(&place.file).or_default();
            if place.line > 0 {
                lines.push(place.line.to_string());
            }
        }
        let more = self.places.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let places: Vec<_> = files.iter().map(|(file, lines)| in_file(file, lines, !more.is_empty())).collect();
        let places = places.iter().filter(|place| !place.is_empty()).cloned().collect::<Vec<_>>().join(", ");
        if places.is_empty() { f.write_str(&self.message) } else { write!(f, "{places}{more}: {}", self.message) }
    }
}

fn in_file(file: &str, lines: &[String], more: bool) -> String {
    let word = if lines.len() > 1 || more { "lines" } else { "line" };
    match (file, lines) {
        (file, []) => file.to_owned(),
        ("", lines) => format!("{word} {}", lines.join(", ")),
        (file, lines) => format!("{file} {word} {}", lines.join(", ")),
    }
}

/// Remarks being gathered. The same remark on several lines appears once.
#[derive(Default)]
pub(crate) struct Remarks(BTreeMap<String, BTreeSet<SourceLine>>);

impl Remarks {
    /// Adds a remark on a line.
    pub(crate) fn add(&mut self, place: &SourceLine, message: impl Into<String>) {
        self.0.entry(message.into()).or_default().insert(place.clone());
    }

    /// Adds a remark on something absent, or on the whole file.
    pub(crate) fn add_whole(&mut self, message: impl Into<String>) {
        self.0.entry(message.into()).or_default();
    }

    /// The remarks in the order of their first lines.
    pub(crate) fn sorted(self) -> Vec<Remark> {
        let mut remarks: Vec<_> = self.0.into_iter().map(|(message, places)| Remark { places, message }).collect();
        remarks.sort_by_key(|remark| remark.places.first().cloned());
        remarks
    }

    /// Takes them as problems: fails if there are any.
    pub(crate) fn none(&mut self) -> Result<(), ImportError> {
        let problems = std::mem::take(self).sorted();
        if problems.is_empty() { Ok(()) } else { Err(ImportError::Problems { problems }) }
    }
}
