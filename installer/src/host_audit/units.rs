//! Units of systemd: where their files are, which drop-ins change them, and whether they start at boot.

use std::collections::BTreeSet;

use kbundle_format::Role;

use super::{Finding, Group};
use crate::backup::schedule;
use crate::etcd_layout;
use crate::host::{Change, Host, UnitFiles, UnitState};
use crate::inputs::Inputs;
use crate::kubeadm::KUBELET_UNIT;
use crate::steps::{containerd, kubelet};

/// Where kinstall writes units.
const DIRECTORY: &str = "/etc/systemd/system";
/// Drop-ins for every service, such as Fedora's own time-out, belong to the distribution if they are in one of these directories.
const OF_DISTRIBUTION: [&str; 2] = ["/usr/lib/systemd/system/service.d/", "/lib/systemd/system/service.d/"];

/// Checks the units of the cluster, and other units that kinstall enabled.
pub(super) fn look(host: &Host, inputs: &Inputs<'_>, of_site: &BTreeSet<&str>) -> anyhow::Result<Vec<Finding>> {
    let own = of_cluster(inputs);
    let enabled = host.ledger().changes().iter().filter_map(|change| match change {
        // A timer that was stopped by hand is not missed.
        Change::Unit { name, .. } if name != schedule::TIMER => Some(name.as_str()),
        _ => None,
    });
    let units: BTreeSet<&str> = own.iter().copied().chain(enabled).collect();
    if units.is_empty() {
        return Ok(Vec::new());
    }
    let units: Vec<&str> = units.into_iter().collect();
    let (states, files) = (host.unit_states(&units)?, host.unit_files(&units)?);
    let mut findings = Vec::new();
    for unit in units {
        let (Some(state), Some(files)) = (states.get(unit), files.get(unit)) else {
            findings.push(Finding::drifted(Group::Units, unit, "a unit that systemd knows", "none"));
            continue;
        };
        let is_own = own.contains(unit) || host.ledger().knows(&format!("{DIRECTORY}/{unit}"));
        findings.extend(differences(unit, is_own, state, files, of_site));
    }
    Ok(findings)
}

/// The units that this host has by its roles.
fn of_cluster(inputs: &Inputs<'_>) -> BTreeSet<&'static str> {
    let this = inputs.topology.this();
    let of_node: &[&str] = if this.is_node() { &[containerd::UNIT, KUBELET_UNIT] } else { &[] };
    let has_etcd = this.has(Role::Etcd) && inputs.spec.etcd.external.is_none();
    of_node.iter().copied().chain(has_etcd.then_some(etcd_layout::UNIT)).collect()
}

/// How a unit differs from what kinstall wrote and enabled. A unit of others is only checked for being enabled.
fn differences(
    unit: &str,
    is_own: bool,
    state: &UnitState,
    files: &UnitFiles,
    of_site: &BTreeSet<&str>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut drifted = |expected: String, what: String| {
        found.push(Finding::drifted(Group::Units, unit, expected, what));
    };
    let path = format!("{DIRECTORY}/{unit}");
    if is_own && files.fragment != path {
        drifted(path, files.fragment.clone());
    }
    let is_approved = |drop_in: &str| {
        drop_in == kubelet::DROP_IN_PATH
            || of_site.contains(drop_in)
            || OF_DISTRIBUTION.iter().any(|place| drop_in.starts_with(place))
    };
    for drop_in in files.drop_ins.iter().filter(|drop_in| is_own && !is_approved(drop_in)) {
        drifted("no drop-in of others".to_owned(), drop_in.clone());
    }
    if !state.is_enabled() {
        drifted("enabled".to_owned(), state.file.clone());
    }
    if state.needs_reload {
        drifted("systemd has read its files".to_owned(), "they changed since".to_owned());
    }
    if found.is_empty() { vec![Finding::as_approved(Group::Units, unit)] } else { found }
}
