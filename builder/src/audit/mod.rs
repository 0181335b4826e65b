//! Whether a policy allows a bundle, with the evidence for each rule.
//!
//! Pure: [`Evidence`] is what was read of a bundle; [`judge`] compares it with a [`Policy`] and returns verdicts. `docs/how-to/audit.md` is
//! the page for users.

mod advisories;
mod contents;
mod input;
pub mod junit;
mod manifests;
mod packages;
mod policy;
mod rego;
pub mod sarif;

use std::collections::BTreeMap;

use kbundle_advisories::{Findings, covers};
use kbundle_format::audit_record::{BomSource, Looked, Outcome, Rule, Verdict, Waived};
use kbundle_format::key_notes::Day;
use kbundle_format::{BundleList, Digest, KeyId};
use kbundle_sbom::{Bom, PrivilegedFile};

pub use manifests::FoundObject;
pub use policy::{Advisories, ListOfPackages, Policy, PolicyError, Waiver};
pub use rego::RegoError;

/// What was read of a bundle.
pub struct Evidence<'a> {
    /// Its list.
    pub list: &'a BundleList,
    /// The digest of the list.
    pub list_digest: Digest,
    /// Trusted keys whose signatures were verified.
    pub signers: Vec<KeyId>,
    /// The first day of use of each signing key whose file states it.
    pub key_days: BTreeMap<KeyId, Day>,
    /// The packages in the bundle.
    pub bom: &'a Bom,
    /// Where these packages come from.
    pub bom_source: BomSource,
    /// The user of each image, by its manifest; empty if its config states none.
    pub users: BTreeMap<Digest, String>,
    /// Files that give rights, by the manifest of their image; `None` if files were not examined.
    pub privileged: Option<BTreeMap<Digest, Vec<PrivilegedFile>>>,
    /// Kubernetes objects of manifests; empty if manifests were not read.
    pub objects: Vec<FoundObject>,
    /// What advisories say, if a file of them was given.
    pub advisories: Option<AdvisoriesEvidence>,
    /// The day of the audit.
    pub today: Day,
}

/// What a file of advisories says about a bundle.
pub struct AdvisoriesEvidence {
    /// The name of the file.
    pub name: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// Trusted keys that signed it; empty if no signer was required.
    pub signers: Vec<KeyId>,
    /// The day of its data.
    pub day: Option<Day>,
    /// Ecosystems for which it has records.
    pub ecosystems: Vec<String>,
    /// Its findings about the bundle.
    pub findings: Findings,
}

/// The result of a rule.
struct Checked {
    rule: Rule,
    expected: String,
    /// What was found, if nothing breaks the rule.
    found: String,
    breaches: Vec<Breach>,
    /// The outcome if nothing breaks the rule.
    outcome: Outcome,
    /// The outcome of each breach.
    broken: Outcome,
}

/// A breach of a rule.
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
        let (outcome, broken) = (Outcome::Passed, Outcome::Refused);
        Self { rule, expected: expected.into(), found: found.into(), breaches, outcome, broken }
    }
}

impl Breach {
    fn of(subject: impl Into<String>, evidence: Vec<Looked>, found: impl Into<String>) -> Self {
        let subject = subject.into();
        Self { items: vec![subject.clone()], subject, evidence, found: found.into(), purl: None }
    }
}

impl Evidence<'_> {
    fn of_list(&self) -> Vec<Looked> {
        vec![Looked { name: "bundle.json".to_owned(), digest: self.list_digest }]
    }
}

/// Returns a verdict for each rule of the policy that is met, and for each breach of a rule. Also returns the waivers that allowed nothing.
///
/// # Errors
/// When a rule of the site's own fails.
pub fn judge<'a>(policy: &'a Policy, evidence: &Evidence<'_>) -> Result<(Vec<Verdict>, Vec<&'a Waiver>), RegoError> {
    let checked = contents::check(policy, evidence)
        .into_iter()
        .chain(packages::check(policy, evidence))
        .chain(manifests::check(policy, evidence))
        .chain(advisories::check(policy, evidence))
        .chain(rego::check(policy, evidence)?);
    let mut used = vec![false; policy.waivers.len()];
    let mut verdicts = Vec::new();
    for rule in checked {
        if rule.breaches.is_empty() {
            verdicts.push(Verdict {
                rule: rule.rule,
                outcome: rule.outcome,
                subject: "bundle".to_owned(),
                evidence: evidence.of_list(),
                expected: rule.expected.clone(),
                found: rule.found.clone(),
                waiver: None,
            });
        }
        for breach in rule.breaches {
            let waivers = policy.waivers.iter().zip(&mut used);
            verdicts.push(verdict(rule.rule, rule.broken, &rule.expected, breach, waivers, evidence.today));
        }
    }
    verdicts.sort_by_key(|verdict| (verdict.outcome, verdict.rule));
    let unused = policy.waivers.iter().zip(used).filter(|(_, used)| !used).map(|(waiver, _)| waiver).collect();
    Ok((verdicts, unused))
}

/// The verdict about a breach: `broken`, unless one of `waivers` allows it. Marks every waiver that concerns it.
fn verdict<'a>(
    rule: Rule,
    broken: Outcome,
    expected: &str,
    breach: Breach,
    waivers: impl Iterator<Item = (&'a Waiver, &'a mut bool)>,
    today: Day,
) -> Verdict {
    let (mut outcome, mut found, mut waived) = (broken, breach.found, None);
    let fits = |waiver: &Waiver| {
        let in_package = |package: &String| breach.purl.as_ref().is_some_and(|purl| covers(package, purl));
        waiver.rule == rule && breach.items.contains(&waiver.item) && waiver.package.as_ref().is_none_or(in_package)
    };
    for (waiver, used) in waivers.filter(|(waiver, _)| fits(waiver)) {
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
