//! The part of an OSV record that is read. Source: ossf.github.io/osv-schema, 1.7.

use serde::Deserialize;
use serde_json::Value;

use crate::ecosystem::Ecosystem;
use crate::limits::MAX_TEXT_CHARS;
use crate::record::{Affected, Event, Record};
use crate::severity::Severity;

#[derive(Deserialize)]
struct Osv {
    id: String,
    modified: String,
    withdrawn: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    /// Records of distributions list here the vulnerabilities that they are about.
    #[serde(default)]
    upstream: Vec<String>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    details: String,
    #[serde(default)]
    severity: Vec<Score>,
    #[serde(default)]
    affected: Vec<OsvAffected>,
    #[serde(default)]
    database_specific: Value,
}

#[derive(Deserialize)]
struct Score {
    #[serde(rename = "type")]
    kind: String,
    score: String,
}

#[derive(Deserialize)]
struct OsvAffected {
    package: Option<OsvPackage>,
    #[serde(default)]
    severity: Vec<Score>,
    #[serde(default)]
    ranges: Vec<OsvRange>,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    ecosystem_specific: Value,
}

#[derive(Deserialize)]
struct OsvPackage {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct OsvRange {
    #[serde(rename = "type")]
    kind: String,
    events: Vec<Event>,
}

/// The kind of a record, for matching.
pub enum Parsed {
    /// It concerns packages that can be compared.
    Record(Box<Record>),
    /// The record of this name was withdrawn.
    Withdrawn(String),
    /// It concerns only other ecosystems.
    Elsewhere,
}

/// Reads a record.
///
/// # Errors
/// A text for people: it is not JSON, or does not match the schema.
pub fn parse(bytes: &[u8]) -> Result<Parsed, String> {
    let osv: Osv = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if !is_name(&osv.id) {
        return Err("`id` is not a name of plain letters, digits and signs".to_owned());
    }
    if osv.withdrawn.is_some() {
        return Ok(Parsed::Withdrawn(osv.id));
    }
    let affected: Vec<_> = osv.affected.into_iter().filter_map(affected).collect();
    if affected.is_empty() {
        return Ok(Parsed::Elsewhere);
    }
    let mut aliases = osv.aliases;
    // A notice about several vulnerabilities is not the same as any of them.
    if let [only] = osv.upstream.as_slice() {
        aliases.push(only.clone());
    }
    aliases.retain(|alias| is_name(alias) && *alias != osv.id);
    aliases.sort();
    aliases.dedup();
    let word = osv.database_specific.get("severity").and_then(Value::as_str).and_then(Severity::of_word);
    Ok(Parsed::Record(Box::new(Record {
        severity: severity(&osv.severity).or(word),
        summary: one_line(if osv.summary.is_empty() { &osv.details } else { &osv.summary }),
        id: osv.id,
        modified: osv.modified,
        aliases,
        affected,
    })))
}

fn affected(osv: OsvAffected) -> Option<Affected> {
    let package = osv.package?;
    let ecosystem = Ecosystem::of_osv(&package.ecosystem)?;
    let name = ecosystem.plain(package.name);
    let ranges = osv.ranges.into_iter().filter(|range| range.kind != "GIT").map(|range| range.events).collect();
    let urgency = osv.ecosystem_specific.get("urgency").and_then(Value::as_str).and_then(Severity::of_word);
    let severity = severity(&osv.severity).or(urgency);
    Some(Affected { ecosystem: ecosystem.key, name, ranges, versions: osv.versions, severity })
}

/// The highest severity that is stated.
fn severity(scores: &[Score]) -> Option<Severity> {
    let of = |score: &Score| {
        if score.kind.starts_with("CVSS") { Severity::of_vector(&score.score) } else { Severity::of_word(&score.score) }
    };
    scores.iter().filter_map(of).max()
}

/// Whether a report can show the name `text` as it is.
fn is_name(text: &str) -> bool {
    (1..=MAX_TEXT_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The first line, shortened and without a terminal's control characters.
fn one_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().chars().filter(|letter| !letter.is_control()).take(MAX_TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Record {
        match parse(text.as_bytes()) {
            Ok(Parsed::Record(record)) => *record,
            Ok(_) => panic!("left out"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_matching_needs_is_kept() {
        let read = record(
            r#"{"id":"DEBIAN-CVE-1","modified":"2026-01-02T00:00:00Z","upstream":["CVE-1"],"details":"\n a \u001b[31mred\nb","affected":[
                {"package":{"ecosystem":"Debian:12","name":"glibc"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2"}]},
                 {"type":"GIT","repo":"x","events":[{"introduced":"0"}]}],"ecosystem_specific":{"urgency":"low**"}},
                {"package":{"ecosystem":"Maven","name":"a:b"}}]}"#,
        );
        assert_eq!((read.aliases.as_slice(), read.summary.as_str()), (&["CVE-1".to_owned()][..], "a [31mred"));
        assert_eq!(read.affected.len(), 1);
        assert_eq!((read.affected[0].severity, read.affected[0].ranges.len()), (Some(Severity::Low), 1));
    }

    #[test]
    fn a_record_may_be_left_out_or_refused() {
        let of = |text: &str| parse(text.as_bytes());
        assert!(matches!(
            of(r#"{"id":"A","modified":"x","withdrawn":"2026-01-01T00:00:00Z"}"#),
            Ok(Parsed::Withdrawn(_))
        ));
        assert!(matches!(of(r#"{"id":"A","modified":"x"}"#), Ok(Parsed::Elsewhere)));
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"id":"A"}"#,
            r#"{"id":"a b","modified":"x"}"#,
            r#"{"id":"A","modified":"x","affected":7}"#,
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert!(of(&"[".repeat(100_000)).is_err());
    }
}
