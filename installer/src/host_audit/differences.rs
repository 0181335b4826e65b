//! Compares hosts with each other.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::HostAudit;

/// Shown for a host that lacks what others have.
const NOTHING: &str = "nothing";

/// What kind of thing differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// The bundle that hosts were set up from. Counts as drift.
    Bundle,
    /// Files of hosts with the same roles and distribution. Counts as drift.
    File,
    /// The distribution or the kernel.
    System,
    /// A kernel setting. What a cluster requires of it is a finding of each host.
    KernelSetting,
}

impl DifferenceKind {
    /// Whether this difference counts as drift.
    #[must_use]
    pub fn is_drift(self) -> bool {
        matches!(self, Self::Bundle | Self::File)
    }
}

/// Something that is not alike on hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// What kind of thing it is.
    pub kind: DifferenceKind,
    /// Which one.
    pub subject: String,
    /// Each value, and the hosts that have it, by name.
    pub values: BTreeMap<String, Vec<String>>,
}

/// All differences between these hosts.
#[must_use]
pub fn between(hosts: &[(&str, &HostAudit)]) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut compare = |kind, subject: &str, values: Vec<(&str, String)>| {
        let mut by_value = BTreeMap::<_, Vec<_>>::new();
        for (host, value) in values {
            by_value.entry(value).or_default().push(host.to_owned());
        }
        if by_value.len() > 1 {
            found.push(Difference { kind, subject: subject.to_owned(), values: by_value });
        }
    };
    let of_all = |what: fn(&HostAudit) -> String| hosts.iter().map(|(name, audit)| (*name, what(audit))).collect();
    compare(DifferenceKind::Bundle, "list of the bundle", of_all(|audit| audit.list_digest.to_string()));
    compare(DifferenceKind::System, "distribution", of_all(|audit| audit.traits.distribution.clone()));
    compare(DifferenceKind::System, "kernel", of_all(|audit| audit.traits.kernel.clone()));
    let settings: BTreeSet<_> = hosts.iter().flat_map(|(_, audit)| audit.traits.kernel_settings.keys()).collect();
    for setting in settings {
        let value = |audit: &HostAudit| audit.traits.kernel_settings.get(setting).cloned();
        let values = hosts.iter().map(|(name, audit)| (*name, value(audit).unwrap_or_else(|| NOTHING.to_owned())));
        compare(DifferenceKind::KernelSetting, setting, values.collect());
    }
    for alike in alike(hosts) {
        let paths: BTreeSet<_> = alike.iter().flat_map(|(_, audit)| audit.traits.shared_files.keys()).collect();
        for path in paths {
            let digest = |audit: &HostAudit| audit.traits.shared_files.get(path).map(ToString::to_string);
            let values = alike.iter().map(|(name, audit)| (*name, digest(audit).unwrap_or_else(|| NOTHING.to_owned())));
            compare(DifferenceKind::File, path, values.collect());
        }
    }
    found
}

/// Groups of hosts with the same roles and distribution.
fn alike<'a>(hosts: &[(&'a str, &'a HostAudit)]) -> Vec<Vec<(&'a str, &'a HostAudit)>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for &(name, audit) in hosts {
        groups.entry((&audit.traits.roles, &audit.traits.distribution)).or_default().push((name, audit));
    }
    groups.into_values().collect()
}
