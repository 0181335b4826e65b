//! kube-bench on a host of a cluster, and what it may find: `tests/hardening/exceptions.yaml`.
//!
//! The list has to be exact: a check that fails but is not in it is reported, and so is one that is in it but does not fail. Each exception
//! has a command that shows on the host that the aim of the check is met, wherever it is.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::paths::{kube_bench, repository};
use crate::remote::Remote;

/// The version that the tests run.
const VERSION: &str = "0.12.0";
/// Its folder on a host.
const FOLDER: &str = "/root/kube-bench";

/// What kube-bench says of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// It passes.
    Pass,
    /// It fails.
    Fail,
    /// A person has to look.
    Warn,
    /// It is for people to read.
    Info,
}

/// The verdict on each check, by its id.
pub type Verdicts = BTreeMap<CheckId, Verdict>;

/// The number of a check, such as `1.2.10`, in the order of its parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct CheckId(Vec<u8>);

impl TryFrom<String> for CheckId {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.split('.').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        out.write_str(&parts.join("."))
    }
}

/// A check that fails on purpose.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Exception {
    /// The check.
    pub id: CheckId,
    /// The profiles of kube-bench in which it fails.
    pub profiles: Vec<String>,
    /// What the check requires.
    pub check: String,
    /// Why it fails, and what is true instead.
    pub reason: String,
    /// A shell command that succeeds on the host if the reason is true.
    pub shown_by: String,
}

/// The exceptions of all profiles.
pub fn exceptions() -> anyhow::Result<Vec<Exception>> {
    let path = repository().join("tests/hardening/exceptions.yaml");
    let text = fs_err::read_to_string(&path)?;
    serde_yaml::from_str(&text).with_context(|| format!("while reading {}", path.display()))
}

/// Runs kube-bench on `host` by one of its profiles.
pub fn run(host: &Remote, profile: &str) -> anyhow::Result<Verdicts> {
    host.sh(&format!("rm -rf {FOLDER}"))?;
    host.copy_in(&kube_bench(VERSION)?, FOLDER)?;
    // Its checks call jq, and need a shell with `[[`.
    host.sh("ln -sf bash /bin/sh")?;
    let command = format!("./kube-bench --config-dir cfg --benchmark {profile} --json");
    let said = host.sh(&format!("cd {FOLDER} && PATH={FOLDER}:$PATH {command}"))?;
    fs_err::write(repository().join(format!("target/kube-bench-{profile}.json")), &said)?;
    let found = verdicts(&said)?;
    ensure!(found.len() > 80, "kube-bench looked at {} checks only: {said}", found.len());
    Ok(found)
}

#[derive(Deserialize)]
struct Report {
    #[serde(rename = "Controls")]
    controls: Vec<Control>,
}

#[derive(Deserialize)]
struct Control {
    tests: Vec<Section>,
}

#[derive(Deserialize)]
struct Section {
    results: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    test_number: CheckId,
    status: Verdict,
}

/// The verdicts in the document of `kube-bench --json`.
fn verdicts(document: &str) -> anyhow::Result<Verdicts> {
    let report: Report = serde_json::from_str(document).with_context(|| format!("kube-bench said {document}"))?;
    let results = report.controls.into_iter().flat_map(|control| control.tests).flat_map(|section| section.results);
    Ok(results.map(|outcome| (outcome.test_number, outcome.status)).collect())
}

/// What differs between `found` and the `exceptions` of `profile`, one sentence each.
#[must_use]
pub fn surprises(found: &Verdicts, exceptions: &[Exception], profile: &str) -> Vec<String> {
    let mut listed = exceptions.iter().filter(|exception| exception.profiles.iter().any(|name| name == profile));
    let is_listed = |id: &CheckId| listed.clone().any(|exception| exception.id == *id);
    let failed = found.iter().filter(|(_, verdict)| **verdict == Verdict::Fail);
    let unlisted: Vec<_> =
        failed.filter(|(id, _)| !is_listed(id)).map(|(id, _)| format!("{id} fails, and is no exception")).collect();
    let stale = listed.by_ref().filter(|exception| found.get(&exception.id) != Some(&Verdict::Fail));
    let stale: Vec<_> = stale.map(|exception| format!("{} is an exception, and does not fail", exception.id)).collect();
    [unlisted, stale].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = r#"{"Controls": [{"id": "1", "tests": [{"section": "1.1", "results": [
        {"test_number": "1.1.1", "test_desc": "x", "status": "PASS"},
        {"test_number": "1.1.10", "status": "FAIL"},
        {"test_number": "1.1.9", "status": "WARN"}]}]}], "Totals": {"total_pass": 1}}"#;

    fn exception(check: &str) -> Exception {
        let text = format!("{{id: '{check}', profiles: [cis-1.10], check: c, reason: r, shown-by: 'true'}}");
        serde_yaml::from_str(&text).unwrap()
    }

    #[test]
    fn verdicts_are_read_and_ordered_by_number() {
        let found = verdicts(SAID).unwrap();
        let all: Vec<_> = found.iter().map(|(id, verdict)| (id.to_string(), *verdict)).collect();
        let wanted = [("1.1.1", Verdict::Pass), ("1.1.9", Verdict::Warn), ("1.1.10", Verdict::Fail)];
        assert_eq!(all, wanted.map(|(id, verdict)| (id.to_owned(), verdict)));
        assert!(verdicts("no JSON").is_err());
    }

    #[test]
    fn a_failure_without_an_exception_and_an_exception_without_a_failure_are_told() {
        let found = verdicts(SAID).unwrap();
        assert_eq!(surprises(&found, &[exception("1.1.10")], "cis-1.10"), [""; 0]);
        assert_eq!(surprises(&found, &[], "cis-1.10"), ["1.1.10 fails, and is no exception"]);
        let stale = [exception("1.1.10"), exception("1.1.1"), exception("4.1.1")];
        let told = surprises(&found, &stale, "cis-1.10");
        assert_eq!(told, ["1.1.1 is an exception, and does not fail", "4.1.1 is an exception, and does not fail"]);
        assert_eq!(surprises(&found, &stale, "cis-1.7"), ["1.1.10 fails, and is no exception"]);
    }

    /// The page has one row for each exception, with the reason, and no other.
    #[test]
    fn the_manual_has_every_exception() {
        let page = fs_err::read_to_string(repository().join("docs/benchmark.md")).unwrap();
        let (_, table) = page.split_once("## What fails").unwrap();
        let is_row = |line: &&str| line.starts_with("| ") && line.as_bytes().get(2).is_some_and(u8::is_ascii_digit);
        let rows: Vec<_> = table.lines().filter(is_row).collect();
        let wanted: Vec<_> = exceptions()
            .unwrap()
            .iter()
            .map(|exception| {
                let Exception { id, profiles, check, reason, .. } = exception;
                format!("| {id} | {check} | {} | {reason} |", profiles.join(", "))
            })
            .collect();
        assert_eq!(rows, wanted);
        assert!(exceptions().unwrap().is_sorted_by_key(|exception| exception.id.clone()));
    }
}
