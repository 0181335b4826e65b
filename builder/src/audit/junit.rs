//! Verdicts as JUnit XML, which build servers read: a test case for each verdict.

use std::fmt::Write as _;

use super::{Outcome, Verdict};

/// The document about the bundle called `bundle`.
#[must_use]
pub fn document(bundle: &str, verdicts: &[Verdict]) -> String {
    let count = |outcome: Outcome| verdicts.iter().filter(|verdict| verdict.outcome == outcome).count();
    let failures = count(Outcome::Refused);
    let skipped = count(Outcome::Waived) + count(Outcome::Warned) + count(Outcome::Skipped);
    let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\"", verdicts.len());
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "<testsuites {counts}>\n  <testsuite name=\"{}\" {counts}>", escaped(bundle));
    for verdict in verdicts {
        let (class, name) = (verdict.rule.as_str(), escaped(&verdict.subject));
        let _ = write!(text, "    <testcase classname=\"{class}\" name=\"{name}\"");
        let found = escaped(&format!("expected {}; found {}", verdict.expected, verdict.found));
        let _ = match (verdict.outcome, &verdict.waiver) {
            (Outcome::Passed, _) => writeln!(text, "/>"),
            (Outcome::Refused, _) => {
                writeln!(text, "><failure message=\"{found}\">{}</failure></testcase>", evidence(verdict))
            }
            (_, Some(waiver)) => {
                let why = escaped(&format!("waived by {} until {}: {}", waiver.name, waiver.until, waiver.reason));
                writeln!(text, "><skipped message=\"{found}; {why}\"/></testcase>")
            }
            (Outcome::Warned, None) => {
                writeln!(text, "><skipped message=\"warning: {found}\"/></testcase>")
            }
            (_, None) => writeln!(text, "><skipped message=\"{found}\"/></testcase>"),
        };
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn evidence(verdict: &Verdict) -> String {
    let lines: Vec<_> = verdict.evidence.iter().map(|looked| format!("{} {}", looked.name, looked.digest)).collect();
    escaped(&lines.join("\n"))
}

/// Text in XML 1.0's form; characters that XML cannot contain become spaces.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push('\n'),
            letter if letter.is_control() || ['\u{FFFE}', '\u{FFFF}'].contains(&letter) => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
