//! Verdicts as SARIF 2.1.0, which code review tools read.
//!
//! Source: OASIS, "Static Analysis Results Interchange Format" 2.1.0. A waived verdict is a suppressed result.

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Outcome, Verdict};

/// Characters that a path in a URI cannot contain unescaped (RFC 3986, sections 3.3 and 4.2).
const NOT_IN_PATHS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b':')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The document about the bundle called `bundle`.
#[must_use]
pub fn document(bundle: &str, verdicts: &[Verdict]) -> Value {
    let rules: BTreeSet<_> = verdicts.iter().map(|verdict| verdict.rule.as_str()).collect();
    let rules: Vec<_> = rules.into_iter().map(|rule| json!({ "id": rule })).collect();
    let results: Vec<_> = verdicts.iter().map(|verdict| result(bundle, verdict)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "kbundle", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "results": results,
        }],
    })
}

fn result(bundle: &str, verdict: &Verdict) -> Value {
    let (kind, level) = match verdict.outcome {
        Outcome::Refused | Outcome::Waived => ("fail", "error"),
        Outcome::Warned => ("fail", "warning"),
        Outcome::Passed => ("pass", "none"),
        Outcome::Skipped => ("notApplicable", "none"),
    };
    let evidence: Vec<_> = verdict
        .evidence
        .iter()
        .map(|looked| json!({ "fullyQualifiedName": looked.name, "kind": "resource", "properties": { "digest": looked.digest } }))
        .collect();
    let uri = utf8_percent_encode(bundle, NOT_IN_PATHS).to_string();
    let text = format!("{}: expected {}; found {}", verdict.subject, verdict.expected, verdict.found);
    let mut result = json!({
        "ruleId": verdict.rule.as_str(),
        "kind": kind,
        "level": level,
        "message": { "text": text },
        "locations": [{ "physicalLocation": { "artifactLocation": { "uri": uri } }, "logicalLocations": evidence }],
    });
    if let Some(waiver) = &verdict.waiver {
        let justification = format!("{} until {}: {}", waiver.name, waiver.until, waiver.reason);
        result["suppressions"] = json!([{ "kind": "external", "justification": justification }]);
    }
    result
}
