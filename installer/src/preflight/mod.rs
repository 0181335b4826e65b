//! Whether this host is fit for a cluster: a list of checks over its facts. All checks run and all results are shown. Each says what
//! was found, what is required, which source requires it, and what to do.

pub mod between;
pub mod firewall;
pub mod front;
#[cfg(test)]
mod hardened;
mod hardening;
mod kube_proxy;
mod machine;
mod network;
#[cfg(test)]
mod recorded;
mod system;

use std::borrow::Cow;
use std::fmt;

use kbundle_cli::similar::nearest;
use kbundle_format::{KubeVersion, Role};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::ClusterSpec;
use crate::facts::HostFacts;
use crate::os_packages::BroughtPackages;
use crate::topology::Topology;
use crate::version_rules::Rule;

/// The input of a check.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The cluster as cluster.yaml describes it.
    pub spec: &'a ClusterSpec,
    /// The facts of the host.
    pub facts: &'a HostFacts,
    /// The host's place among several; `None` for a single host, which has every role.
    pub topology: Option<&'a Topology>,
    /// The Kubernetes version to install; `None` without a bundle.
    pub kubernetes: Option<KubeVersion>,
    /// The packages of distributions that the bundle brings; `None` without a bundle.
    pub brought: Option<&'a BroughtPackages>,
}

/// Whether a rule by version applies to this installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Applies {
    Yes,
    No,
    /// It depends on the version, and no bundle was given.
    DependsOnVersion,
}

impl Subject<'_> {
    fn has(&self, role: Role) -> bool {
        self.topology.is_none_or(|topology| topology.this().has(role))
    }

    /// Whether the bundle brings `package` for the host's distribution, so that kinstall installs it.
    fn brings(&self, package: &str) -> bool {
        self.brought.is_some_and(|brought| brought.has(self.facts, package))
    }

    fn applies(&self, rule: &Rule<KubeVersion>) -> Applies {
        match self.kubernetes.map(|version| rule.holds(version)) {
            Some(true) => Applies::Yes,
            Some(false) => Applies::No,
            None => Applies::DependsOnVersion,
        }
    }
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "CheckVerdict")]
pub enum Verdict {
    /// Fit, or kinstall will make it fit.
    Pass,
    /// Rejected, and the user passed `--ignore`.
    Ignored,
    /// The host gave no answer.
    Unknown,
    /// Works, but needs attention.
    Warn,
    /// The cluster cannot work on this host.
    Reject,
}

/// A check with its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The check's id, which `--ignore` takes.
    pub check: CheckId,
    /// The result.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What is required, and the source that requires it.
    pub wanted: Cow<'static, str>,
    /// What to do; empty when there is nothing to do.
    pub advice: String,
}

impl Finding {
    /// Whether to show it to the user.
    #[must_use]
    pub fn is_notable(&self) -> bool {
        self.verdict != Verdict::Pass
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Pass => "pass",
            Verdict::Ignored => "ignored",
            Verdict::Unknown => "unknown",
            Verdict::Warn => "warn",
            Verdict::Reject => "reject",
        };
        write!(f, "{verdict:8} {:16} {}", self.check, self.found)?;
        if self.is_notable() {
            write!(f, "\n         required: {}", self.wanted)?;
        }
        if !self.advice.is_empty() {
            write!(f, "\n         do: {}", self.advice)?;
        }
        Ok(())
    }
}

/// The part of a finding that depends on the host.
struct Answer {
    verdict: Verdict,
    found: String,
    advice: String,
}

impl Answer {
    fn pass(found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Pass, found: found.into(), advice: String::new() }
    }

    fn unknown(found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, found: found.into(), advice: String::new() }
    }

    fn warn(found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, found: found.into(), advice: advice.into() }
    }

    fn reject(found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Reject, found: found.into(), advice: advice.into() }
    }
}

/// A check. It reads facts and nothing else.
struct Check {
    id: &'static str,
    wanted: &'static str,
    look: fn(&Subject<'_>) -> Answer,
}

const CHECKS: [&[Check]; 6] =
    [machine::CHECKS, system::CHECKS, hardening::CHECKS, firewall::CHECKS, network::CHECKS, kube_proxy::CHECKS];

/// The id of a check, such as `memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct CheckId(&'static str);

impl CheckId {
    /// All checks of a single host.
    pub fn all() -> impl Iterator<Item = Self> {
        CHECKS.into_iter().flatten().map(|check| Self(check.id))
    }

    /// Every check of one host, and those between hosts.
    pub fn every() -> impl Iterator<Item = Self> {
        Self::all().chain(between::ids()).chain(front::ids())
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

// A derived implementation would borrow from its input.
impl<'de> Deserialize<'de> for CheckId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl std::str::FromStr for CheckId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::every().find(|id| id.0 == text).ok_or_else(|| {
            let known: Vec<_> = Self::every().map(|id| id.0).collect();
            match nearest(text, known.iter().copied()) {
                Some(near) => format!("unknown check; did you mean `{near}`?"),
                None => format!("unknown check; the checks are {}", known.join(", ")),
            }
        })
    }
}

/// Runs every check, in the order of the list. If a check in `ignored` rejects, the verdict is [`Verdict::Ignored`].
#[must_use]
pub fn examine(subject: &Subject<'_>, ignored: &[CheckId]) -> Vec<Finding> {
    let look = |check: &Check| finding(check.id, check.wanted, (check.look)(subject), ignored);
    CHECKS.into_iter().flatten().map(look).collect()
}

fn finding(check: &'static str, wanted: &'static str, answer: Answer, ignored: &[CheckId]) -> Finding {
    let Answer { verdict, found, advice } = answer;
    let ignore = verdict == Verdict::Reject && ignored.contains(&CheckId(check));
    let verdict = if ignore { Verdict::Ignored } else { verdict };
    Finding { check: CheckId(check), verdict, found, wanted: Cow::Borrowed(wanted), advice }
}

/// The checks that reject.
#[must_use]
pub fn rejections(findings: &[Finding]) -> Vec<CheckId> {
    findings.iter().filter(|finding| finding.verdict == Verdict::Reject).map(|finding| finding.check).collect()
}

/// What to do about checks that reject. The advice never says to ignore `root`: without root every step fails.
#[must_use]
pub fn hint(rejected: impl IntoIterator<Item = CheckId>) -> String {
    let may_be_ignored = rejected.into_iter().filter(|check| check.0 != "root");
    let flags: Vec<_> = may_be_ignored.map(|check| format!("--ignore {check}")).collect();
    if flags.is_empty() {
        return "fix what each check reports".to_owned();
    }
    format!("fix what each check reports, or ignore it with `{}`", flags.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    /// The verdicts other than `pass` on a host after `change`.
    pub(super) fn verdicts(change: impl FnOnce(&mut HostFacts)) -> Vec<String> {
        verdicts_for("1.25.2", change)
    }

    /// The same for a version of Kubernetes; for no version if it is empty.
    pub(super) fn verdicts_for(version: &str, change: impl FnOnce(&mut HostFacts)) -> Vec<String> {
        let mut facts = fixture::facts();
        change(&mut facts);
        let (spec, kubernetes) = (ClusterSpec::default(), version.parse().ok());
        examine(&Subject { spec: &spec, facts: &facts, topology: None, kubernetes, brought: None }, &[])
            .into_iter()
            .filter(|finding| finding.verdict != Verdict::Pass)
            .map(|finding| {
                let advice = if finding.advice.is_empty() { "-" } else { &finding.advice };
                format!("{} {:?}: {} | {advice}", finding.check, finding.verdict, finding.found)
            })
            .collect()
    }

    #[test]
    fn a_plain_host_passes() {
        for version in ["1.25.2", "1.36.3", ""] {
            assert_eq!(verdicts_for(version, |_| ()), Vec::<String>::new(), "{version}");
        }
    }

    #[test]
    fn nobody_is_told_to_ignore_root() {
        let checks = |names: &[&str]| names.iter().map(|name| name.parse::<CheckId>().unwrap()).collect::<Vec<_>>();
        assert_eq!(hint(checks(&["root"])), "fix what each check reports");
        let several = hint(checks(&["root", "memory", "cpus"]));
        assert_eq!(several, "fix what each check reports, or ignore it with `--ignore memory --ignore cpus`");
    }

    #[test]
    fn ids_are_unique_and_known_by_name() {
        let ids: Vec<_> = CheckId::all().map(|id| id.0).collect();
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(ids.len(), distinct.len());
        assert!(ids.iter().all(|id| id.parse::<CheckId>().is_ok()));
        assert!("memroy".parse::<CheckId>().unwrap_err().contains("memory"));
    }

    #[test]
    fn what_is_ignored_is_said_and_does_not_reject() {
        let mut facts = fixture::facts();
        facts.memory.total_bytes = Some(1 << 30);
        let spec = ClusterSpec::default();
        let findings = examine(
            &Subject { spec: &spec, facts: &facts, topology: None, kubernetes: None, brought: None },
            &["memory".parse().unwrap()],
        );
        assert!(rejections(&findings).is_empty());
        assert!(findings.iter().any(|finding| finding.check.0 == "memory" && finding.verdict == Verdict::Ignored));
    }
}
