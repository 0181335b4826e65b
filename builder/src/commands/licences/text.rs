//! The licences of a bundle for people.

use std::fmt::Write as _;

use super::Report;
use super::list::{Item, Told};

/// How many places of an item are shown to people.
const SHOWN_PLACES: usize = 2;

/// The complete report, with a few places of each item.
pub fn of(report: &Report) -> String {
    let mut text = inventory(report, SHOWN_PLACES);
    if let Some(texts) = &report.texts {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\n{}: {} licence texts, and NOTICE, which says what they are of",
            texts.directory, texts.files
        );
        for reason in &texts.not_read {
            let _ = writeln!(text, "  NOT READ {}", printable(reason));
        }
    }
    text
}

/// The files and packages under each licence, with at most `places` places of each item.
pub fn inventory(report: &Report, places: usize) -> String {
    let mut text = String::new();
    for licence in &report.licences {
        let note = if licence.spdx { "" } else { "  (not an SPDX expression)" };
        let _ = writeln!(text, "{}{note}", licence.name);
        licence.items.iter().for_each(|item| line(&mut text, item, places));
        text.push('\n');
    }
    if !report.unstated.is_empty() {
        text.push_str("NO LICENCE STATED\n");
        report.unstated.iter().for_each(|item| line(&mut text, item, places));
    }
    for reason in &report.not_read {
        let _ = writeln!(text, "NOT READ {}", printable(reason));
    }
    text
}

/// A reason may repeat bytes of a broken archive.
fn printable(reason: &str) -> String {
    reason.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn line(text: &mut String, item: &Item, places: usize) {
    let version = item.version.as_deref().unwrap_or("-");
    let _ = writeln!(text, "  {:<8} {} {version}", item.kind, item.name);
    for place in item.places.iter().take(places) {
        let _ = writeln!(text, "           {}", told(place));
    }
    let more = item.places.len().saturating_sub(places);
    if more > 0 {
        let _ = writeln!(text, "           and {more} more; `--output json` has all");
    }
}

fn told(place: &Told) -> String {
    match &place.path {
        Some(path) => format!("{}: {path}", place.subject),
        None => place.subject.clone(),
    }
}
