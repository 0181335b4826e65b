//! Whether a policy allows a bundle, with the evidence for each rule.
//!
//! Pure: [`Evidence`] is what was read of a bundle, [`judge`] makes verdicts of it and of a [`Policy`]. `docs/how-to/audit.md` is the page for users.

mod advisories;
mod contents;
pub mod junit;
mod packages;
mod policy;
pub mod sarif;

use std::collections::BTreeMap;

use kbundle_advisories::{Findings, covers};
use kbundle_format::audit_record::{BomSource, Looked, Outcome, Rule, Verdict, Waived};
use kbundle_format::key_notes::Day;
use kbundle_format::{BundleList, Digest, KeyId};
use kbundle_sbom::Bom;

pub use policy::{Advisories, ListOfPackages, Policy, PolicyError, Waiver};

/// What was read of a bundle.
pub struct Evidence<'a> {
    /// Its list.
    pub list: &'a BundleList,
    /// Of the list.
    pub list_digest: Digest,
    /// Trusted keys whose signatures were verified.
    pub signers: Vec<KeyId>,
    /// What is inside.
    pub bom: &'a Bom,
    /// Where that comes from.
    pub bom_source: BomSource,
    /// The user of each image, by its manifest; empty where its config states none.
    pub users: BTreeMap<Digest, String>,
    /// What advisories say, where a file of them was given.
    pub advisories: Option<AdvisoriesEvidence>,
    /// The day of the audit.
    pub today: Day,
}

/// What a file of advisories says of a bundle.
pub struct AdvisoriesEvidence {
    /// The file.
    pub name: String,
    /// Of its manifest.
    pub digest: Digest,
    /// Trusted keys that signed it; none where nobody asked.
    pub signers: Vec<KeyId>,
    /// The day that its data is of.
    pub day: Option<Day>,
    /// Ecosystems that it has records of.
    pub ecosystems: Vec<String>,
    /// What it says.
    pub findings: Findings,
}

/// What a rule found.
struct Checked {
    rule: Rule,
    expected: String,
    /// What is there where nothing breaks it.
    found: String,
    breaches: Vec<Breach>,
    outcome: Outcome,
}

/// What breaks a rule.
struct Breach {
    subject: String,
    evidence: Vec<Looked>,
    found: String,
    /// Names by which a waiver may mean it.
    items: Vec<String>,
    purl: Option<String>,
}

impl Checked {
    fn new(rule: Rule, expected: impl Into<String>, found: impl Into<String>, breaches: Vec<Breach>) -> Self {
        Self { rule, expected: expected.into(), found: found.into(), breaches, outcome: Outcome::Passed }
    }
}

impl Breach {
    fn of(subject: impl Into<String>, evidence: Vec<Looked>, found: impl Into<String>) -> Self {
        let subject = subject.into();
        Self { items: vec![subject.clone()], subject, evidence, found: found.into(), purl: None }
    }
}

impl Evidence<'_> {
    fn list(&self) -> Vec<Looked> {
        vec![Looked { name: "bundle.json".to_owned(), digest: self.list_digest }]
    }
}

/// A verdict for each rule of the policy that is kept, and for each thing that breaks one. Also the waivers that allow nothing.
#[must_use]
pub fn judge<'a>(policy: &'a Policy, evidence: &Evidence<'_>) -> (Vec<Verdict>, Vec<&'a Waiver>) {
    let checked = contents::check(policy, evidence)
        .into_iter()
        .chain(packages::check(policy, evidence))
        .chain(advisories::check(policy, evidence));
    let mut used = vec![false; policy.waivers.len()];
    let mut verdicts = Vec::new();
    for rule in checked {
        if rule.breaches.is_empty() {
            verdicts.push(Verdict {
                rule: rule.rule,
                outcome: rule.outcome,
                subject: "bundle".to_owned(),
                evidence: evidence.list(),
                expected: rule.expected.clone(),
                found: rule.found.clone(),
                waiver: None,
            });
        }
        for breach in rule.breaches {
            verdicts.push(verdict(rule.rule, &rule.expected, breach, policy, evidence.today, &mut used));
        }
    }
    verdicts.sort_by_key(|verdict| (verdict.outcome, verdict.rule));
    let unused = policy.waivers.iter().zip(used).filter(|(_, used)| !used).map(|(waiver, _)| waiver).collect();
    (verdicts, unused)
}

fn verdict(rule: Rule, expected: &str, breach: Breach, policy: &Policy, today: Day, used: &mut [bool]) -> Verdict {
    let (mut outcome, mut found, mut waived) = (Outcome::Refused, breach.found, None);
    let fits = |waiver: &Waiver| {
        let in_package = |package: &String| breach.purl.as_ref().is_some_and(|purl| covers(package, purl));
        waiver.rule == rule && breach.items.contains(&waiver.item) && waiver.package.as_ref().is_none_or(in_package)
    };
    for (waiver, used) in policy.waivers.iter().zip(used).filter(|(waiver, _)| fits(waiver)) {
        *used = true;
        let Waiver { name, reason, until, .. } = waiver.clone();
        if today <= until {
            outcome = Outcome::Waived;
            waived = Some(Waived { name, reason, until });
        } else if waived.is_none() {
            found = format!("{found}; the waiver of {name} ended on {until}");
        }
    }
    let (subject, evidence) = (breach.subject, breach.evidence);
    Verdict { rule, outcome, subject, evidence, expected: expected.to_owned(), found, waiver: waived }
}

#[cfg(test)]
mod tests;
