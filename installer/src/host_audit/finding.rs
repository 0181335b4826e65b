//! One finding of an audit.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of thing was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// What the host's record says of the cluster, compared with a cluster.yaml that was given.
    Settings,
    /// Whether a step of the installation would change anything: configuration, units, kernel settings, swap, add-ons.
    Steps,
    /// Files of the bundle's programs: content, mode, owner.
    Programs,
    /// Who may write to files that kinstall wrote.
    Files,
    /// Units of systemd, and drop-ins that change them.
    Units,
    /// What the bundle's programs have in memory.
    Processes,
    /// Manifests that the kubelet runs without the API.
    StaticPods,
    /// Images in containerd.
    Images,
    /// Containers in containerd.
    Containers,
    /// The kubelet's configuration and flags.
    Configuration,
    /// Objects of the API: of add-ons and the network by their manifests, of kubeadm by who wrote them.
    Objects,
    /// Certificates: by which authority, and until when.
    Certificates,
    /// Who may do everything in the cluster.
    Rights,
}

impl Group {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::Settings,
        Self::Steps,
        Self::Programs,
        Self::Files,
        Self::Units,
        Self::Processes,
        Self::StaticPods,
        Self::Images,
        Self::Containers,
        Self::Configuration,
        Self::Objects,
        Self::Certificates,
        Self::Rights,
    ];
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Settings => "settings",
            Self::Steps => "steps",
            Self::Programs => "programs",
            Self::Files => "files",
            Self::Units => "units",
            Self::Processes => "processes",
            Self::StaticPods => "static pods",
            Self::Images => "images",
            Self::Containers => "containers",
            Self::Configuration => "configuration",
            Self::Objects => "objects",
            Self::Certificates => "certificates",
            Self::Rights => "rights",
        })
    }
}

/// How a thing compares to what was approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
#[schemars(rename = "AuditVerdict")]
pub enum Verdict {
    /// It is what was approved.
    AsApproved,
    /// It is not.
    Drifted {
        /// What was approved.
        expected: String,
        /// What is there.
        found: String,
    },
    /// It could not be compared.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What kind of thing it is.
    pub group: Group,
    /// Which one: a step, a path, a unit, a process, an image.
    pub subject: String,
    /// How it compares.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Finding {
    /// A finding that is as approved.
    pub fn as_approved(group: Group, subject: impl Into<String>) -> Self {
        Self { group, subject: subject.into(), verdict: Verdict::AsApproved }
    }

    /// A finding that is not as approved.
    pub fn drifted(
        group: Group,
        subject: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        let verdict = Verdict::Drifted { expected: expected.into(), found: found.into() };
        Self { group, subject: subject.into(), verdict }
    }

    /// A subject that could not be compared.
    pub fn unknown(group: Group, subject: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { group, subject: subject.into(), verdict: Verdict::Unknown { reason: reason.into() } }
    }

    /// As approved if `found` is `None`, else drifted.
    pub fn compared(group: Group, subject: impl Into<String>, expected: &str, found: Option<String>) -> Self {
        match found {
            None => Self::as_approved(group, subject),
            Some(found) => Self::drifted(group, subject, expected, found),
        }
    }
}

/// All findings in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Overall {
    /// Every finding is as approved.
    AsApproved,
    /// At least one has drifted.
    Drifted,
    /// None has drifted, and at least one is unknown.
    Unknown,
}

impl Overall {
    /// Drift counts more than unknown. Unknown is never taken for approved.
    #[must_use]
    pub fn of(findings: &[Finding]) -> Self {
        let any = |is: fn(&Verdict) -> bool| findings.iter().any(|finding| is(&finding.verdict));
        if any(|verdict| matches!(verdict, Verdict::Drifted { .. })) {
            Self::Drifted
        } else if findings.is_empty() || any(|verdict| matches!(verdict, Verdict::Unknown { .. })) {
            Self::Unknown
        } else {
            Self::AsApproved
        }
    }
}

impl fmt::Display for Overall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsApproved => "as approved",
            Self::Drifted => "drifted",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_never_approved() {
        let approved = Finding::as_approved(Group::Files, "a");
        let unknown = Finding::unknown(Group::Files, "b", "it cannot be read");
        let drifted = Finding::drifted(Group::Files, "c", "x", "y");
        assert_eq!(Overall::of(std::slice::from_ref(&approved)), Overall::AsApproved);
        assert_eq!(Overall::of(&[approved, unknown.clone()]), Overall::Unknown);
        assert_eq!(Overall::of(&[unknown, drifted]), Overall::Drifted);
        assert_eq!(Overall::of(&[]), Overall::Unknown);
    }
}
