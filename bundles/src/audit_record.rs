//! The record of an audit: the verdicts of a policy on a bundle, as a signed statement about the bundle's list.
//!
//! `kbundle audit` writes it, and commands that require an audit read it. Statement and envelope are those of [`crate::attestation`]; the
//! page about the form is `docs/audit-record.md`. A record states what was true at its time; the bundle is not judged again when the record
//! is read. A record that says "passed" may have waivers, which are shown to those who rely on it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attestation::{AttestationError, Builder, Predicate, Statement};
use crate::key_notes::Day;
use crate::{Digest, KeyId, Moment, SigningKey, VerifyingKey};

/// The ending of a record's name, after the bundle's name.
pub const SUFFIX: &str = "audit.json";
const AUDITOR: &str = "urn:kbundle:auditor";

/// What a verdict is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Who signed.
    Signers,
    /// How long the keys of signers have been in use.
    KeyAge,
    /// How content was pinned.
    Pins,
    /// Where content came from.
    Origins,
    /// Whether all is known.
    Completeness,
    /// The user that images run as.
    ImageUsers,
    /// Tags of images.
    ImageTags,
    /// Files of images that give whoever runs them more rights.
    ImagePrivilegedFiles,
    /// Containers with all rights on the host.
    ManifestPrivileged,
    /// Volumes of the host's files.
    ManifestHostPath,
    /// Pods in the host's network.
    ManifestHostNetwork,
    /// Who may do everything in the cluster.
    ManifestClusterAdmin,
    /// Licences.
    Licences,
    /// Packages that are forbidden or too old.
    Packages,
    /// The file of advisories: there, recent, and about what the bundle has.
    AdvisoriesData,
    /// Known flaws.
    Advisories,
    /// Rules of the site's own.
    Rego,
}

impl Rule {
    /// The name in policies and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signers => "signers",
            Self::KeyAge => "key-age",
            Self::Pins => "pins",
            Self::Origins => "origins",
            Self::Completeness => "completeness",
            Self::ImageUsers => "image-users",
            Self::ImageTags => "image-tags",
            Self::ImagePrivilegedFiles => "image-privileged-files",
            Self::ManifestPrivileged => "manifest-privileged",
            Self::ManifestHostPath => "manifest-host-path",
            Self::ManifestHostNetwork => "manifest-host-network",
            Self::ManifestClusterAdmin => "manifest-cluster-admin",
            Self::Licences => "licences",
            Self::Packages => "packages",
            Self::AdvisoriesData => "advisories-data",
            Self::Advisories => "advisories",
            Self::Rego => "rego",
        }
    }
}

/// How a rule came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The rule is broken.
    Refused,
    /// A rule of the site's own warns. The bundle is allowed.
    Warned,
    /// The rule is broken, and a waiver allows that.
    Waived,
    /// The rule was not looked at, and the policy does not ask for it.
    Skipped,
    /// The rule is kept.
    Passed,
}

/// One answer of an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The rule.
    pub rule: Rule,
    /// How it came out.
    pub outcome: Outcome,
    /// What it is about: the bundle, an image, a file, a package.
    pub subject: String,
    /// What was looked at, each with its digest.
    pub evidence: Vec<Looked>,
    /// What the policy asks for.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// The waiver that allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<Waived>,
}

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Looked {
    /// The bundle's list, an image, a file, or the file of advisories.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
}

/// Who allowed something that a rule refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waived {
    /// Who answers for it.
    pub name: String,
    /// Why.
    pub reason: String,
    /// The last day on which it counts.
    pub until: Day,
}

/// Where a list of packages comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BomSource {
    /// The bundle carries it, and it was not compared with the content.
    Carried,
    /// The bundle carries it, and the content gives the same.
    MadeAgain,
    /// The bundle carries one that the content does not give; what the content gives was taken.
    Differs,
    /// The bundle carries none; it was made from the content.
    Computed,
}

/// The policy that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedPolicy {
    /// A profile, or the file.
    pub name: String,
    /// Of its text.
    pub digest: Digest,
    /// Its files with rules of the site's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rego: Vec<Looked>,
}

/// Whether the policy allows the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AuditResult {
    /// No rule is broken, but for what waivers allow.
    Passed,
    /// A rule is broken.
    Refused,
}

impl AuditResult {
    /// The result of all verdicts together.
    #[must_use]
    pub fn of(verdicts: &[Verdict]) -> Self {
        let refused = verdicts.iter().any(|verdict| verdict.outcome == Outcome::Refused);
        if refused { Self::Refused } else { Self::Passed }
    }
}

/// The file of advisories that packages were compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditedAdvisories {
    /// Of its manifest.
    pub digest: Digest,
    /// Trusted keys that signed it; none where nobody asked.
    pub signers: Vec<KeyId>,
    /// The day that its data is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<Day>,
    /// How old the data was on the day of the audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_days: Option<i64>,
}

/// What an audit found: the predicate of the statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// The program that judged.
    pub auditor: Builder,
    /// When, by the clock of its machine.
    pub time: Moment,
    /// Whether the policy allows the bundle.
    pub result: AuditResult,
    /// The policy.
    pub policy: AppliedPolicy,
    /// Trusted keys whose signatures of the bundle were verified; empty if no signatures were required.
    pub signers: Vec<KeyId>,
    /// Where the list of packages comes from.
    pub packages_from: BomSource,
    /// The advisories, if a file of them was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advisories: Option<AuditedAdvisories>,
    /// The verdicts, the worst first.
    pub verdicts: Vec<Verdict>,
}

impl Predicate for AuditRecord {
    const TYPE: &'static str = "urn:kbundle:audit:v1";
}

/// Why a record is not valid for a bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditRecordError {
    /// It is not trusted.
    #[error(transparent)]
    Attestation(#[from] AttestationError),
    /// It says that the policy refuses the bundle.
    #[error("{path} says that the policy {policy} refuses the bundle: {first}")]
    Refused {
        /// The record.
        path: String,
        /// The policy.
        policy: String,
        /// The first verdict that refuses, for people.
        first: String,
    },
}

/// The program that judges, with the version of kbundle.
#[must_use]
pub fn auditor(version: &str) -> Builder {
    Builder { id: AUDITOR.to_owned(), version: BTreeMap::from([("kbundle".to_owned(), version.to_owned())]) }
}

impl AuditRecord {
    /// The file with the record about the bundle with these list bytes, signed by `key`.
    #[must_use]
    pub fn sign(self, list_bytes: &[u8], key: &SigningKey) -> Vec<u8> {
        let mut file = Statement::about(list_bytes, self).sign(&[key]);
        file.push(b'\n');
        file
    }

    /// Reads a record that `key` signed, that is about the bundle with these list bytes, and that says "passed". Messages call it `path`.
    ///
    /// # Errors
    /// [`AuditRecordError`].
    pub fn read_passed(
        path: &str,
        file: &[u8],
        list_bytes: &[u8],
        key: &VerifyingKey,
    ) -> Result<Self, AuditRecordError> {
        let (statement, _) = Statement::<Self>::verify(path, file, list_bytes, std::slice::from_ref(key))?;
        let record = statement.predicate;
        // kbundle never writes "passed" together with a verdict that refuses.
        if record.result == AuditResult::Passed && AuditResult::of(&record.verdicts) == AuditResult::Passed {
            return Ok(record);
        }
        let refused = record.verdicts.iter().find(|verdict| verdict.outcome == Outcome::Refused);
        let first = refused.map_or_else(
            || "it names no verdict".to_owned(),
            |verdict| format!("{} of {}, {}", verdict.rule.as_str(), verdict.subject, verdict.found),
        );
        Err(AuditRecordError::Refused { path: path.to_owned(), policy: record.policy.name, first })
    }

    /// The verdicts that waivers allow, each with its waiver.
    pub fn waived(&self) -> impl Iterator<Item = (&Verdict, &Waived)> {
        self.verdicts.iter().filter_map(|verdict| Some((verdict, verdict.waiver.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Algorithm;

    fn verdict(outcome: Outcome) -> Verdict {
        let until = "2026-12-31".parse().unwrap();
        Verdict {
            rule: Rule::Pins,
            outcome,
            subject: "bin/haproxy".to_owned(),
            evidence: vec![Looked { name: "bin/haproxy".to_owned(), digest: Digest::of(b"haproxy") }],
            expected: "catalog".to_owned(),
            found: "trust-on-first-use".to_owned(),
            waiver: (outcome == Outcome::Waived).then(|| Waived { name: "A".into(), reason: "b".into(), until }),
        }
    }

    fn record(outcomes: &[Outcome]) -> AuditRecord {
        let verdicts: Vec<_> = outcomes.iter().copied().map(verdict).collect();
        AuditRecord {
            auditor: auditor("1.0.0"),
            time: "2026-11-28T07:00:00Z".parse().unwrap(),
            result: AuditResult::of(&verdicts),
            policy: AppliedPolicy { name: "strict".to_owned(), digest: Digest::of(b"policy"), rego: vec![] },
            signers: Vec::new(),
            packages_from: BomSource::MadeAgain,
            advisories: None,
            verdicts,
        }
    }

    fn read(record: AuditRecord, list: &[u8]) -> Result<AuditRecord, String> {
        let key = SigningKey::generate(Algorithm::EcdsaP256).unwrap();
        let file = record.sign(b"list", &key);
        AuditRecord::read_passed("a.audit.json", &file, list, &key.verifying_key()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_record_is_read_as_it_was_written_waivers_included() {
        let written = record(&[Outcome::Waived, Outcome::Skipped, Outcome::Passed]);
        let read = read(written.clone(), b"list").unwrap();
        assert_eq!(read, written);
        let waived: Vec<_> = read.waived().map(|(verdict, waiver)| (&verdict.subject, &waiver.name)).collect();
        assert_eq!(waived, [(&"bin/haproxy".to_owned(), &"A".to_owned())]);
    }

    #[test]
    fn a_record_stands_for_a_bundle_that_passed_only() {
        let error = read(record(&[Outcome::Refused, Outcome::Passed]), b"list").unwrap_err();
        assert_eq!(
            error,
            "a.audit.json says that the policy strict refuses the bundle: pins of bin/haproxy, trust-on-first-use"
        );
        let contradicting = AuditRecord { result: AuditResult::Passed, ..record(&[Outcome::Refused]) };
        assert!(read(contradicting, b"list").unwrap_err().contains("refuses the bundle"));
        let without_verdicts = AuditRecord { result: AuditResult::Refused, ..record(&[]) };
        assert!(read(without_verdicts, b"list").unwrap_err().contains("it names no verdict"));
        assert!(read(record(&[]), b"another list").unwrap_err().contains("is not about this bundle"));
    }

    #[test]
    fn provenance_is_no_record() {
        use crate::attestation::{BuildDefinition, Provenance, RunDetails};

        let key = SigningKey::generate(Algorithm::EcdsaP256).unwrap();
        let build_definition = BuildDefinition {
            build_type: String::new(),
            external_parameters: BTreeMap::new(),
            resolved_dependencies: vec![],
        };
        let provenance = Provenance { build_definition, run_details: RunDetails { builder: auditor("1") } };
        let file = Statement::about(b"list", provenance).sign(&[&key]);
        let error = AuditRecord::read_passed("a", &file, b"list", &key.verifying_key()).unwrap_err();
        assert!(matches!(error, AuditRecordError::Attestation(AttestationError::Shape { .. })), "{error}");
    }
}
