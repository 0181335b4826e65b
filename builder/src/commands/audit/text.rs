//! The report of an audit for people.

use std::fmt::Write as _;

use kbundle_format::KeyId;
use kbundle_format::audit_record::Outcome;

use super::Report;

/// How many places of a verdict are shown to people.
const SHOWN_PLACES: usize = 5;

/// The complete report.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let allowed = if report.allowed { "allowed" } else { "REFUSED" };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}: {allowed} by the policy {}", report.bundle, report.policy.name);
    let _ = writeln!(text, "  list       {}", report.list_digest);
    let _ = writeln!(text, "  policy     {}", report.policy.digest);
    for rego in &report.policy.rego {
        let _ = writeln!(text, "  rules      {} {}", rego.name, rego.digest);
    }
    if let Some(recorded) = &report.record {
        let _ = writeln!(text, "  record     {}, signed by {}", recorded.file, recorded.signer);
    }
    if let Some(advisories) = &report.advisories {
        let age = match (advisories.day, advisories.age_days) {
            (Some(day), Some(age)) => format!("of {day}, {age} days old"),
            _ => "of a day that is not known".to_owned(),
        };
        let compared: usize = advisories.compared.values().sum();
        let left: usize = advisories.uncompared.iter().map(|left| left.packages).sum();
        let _ = writeln!(text, "  advisories {}", advisories.digest);
        let _ = writeln!(text, "             data {age}; {compared} packages compared, {left} not");
        let _ = writeln!(text, "             {}", signed_by(&advisories.signers));
    }
    for verdict in &report.verdicts {
        let _ = writeln!(text, "\n{:<8} {:<15} {}", word(verdict.outcome), verdict.rule.as_str(), verdict.subject);
        let _ = writeln!(text, "  expected {}\n  found    {}", verdict.expected, verdict.found);
        if let Some(waiver) = &verdict.waiver {
            let _ = writeln!(text, "  waived   by {} until {}: {}", waiver.name, waiver.until, waiver.reason);
        }
        for looked in verdict.evidence.iter().take(SHOWN_PLACES) {
            let _ = writeln!(text, "  looked   {} {}", looked.name, looked.digest);
        }
        let more = verdict.evidence.len().saturating_sub(SHOWN_PLACES);
        if more > 0 {
            let _ = writeln!(text, "           and {more} more; `--output json` has all");
        }
    }
    for excluded in report.advisories.iter().flat_map(|advisories| &advisories.findings) {
        for out in &excluded.excluded {
            let _ = writeln!(
                text,
                "\nVEX      {} {}: {}, {}",
                excluded.id,
                out.place.name,
                out.status.as_str(),
                out.reason
            );
        }
    }
    for waiver in &report.unused_waivers {
        let _ = writeln!(text, "\nNOTE     the waiver of {waiver} allows nothing here");
    }
    text
}

/// Who signed the advisories.
fn signed_by(signers: &[KeyId]) -> String {
    let signers: Vec<_> = signers.iter().map(ToString::to_string).collect();
    if signers.is_empty() {
        "nobody asked who signed them".to_owned()
    } else {
        format!("signed by {}", signers.join(" and "))
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Refused => "REFUSED",
        Outcome::Warned => "WARNED",
        Outcome::Waived => "waived",
        Outcome::Skipped => "skipped",
        Outcome::Passed => "passed",
    }
}
