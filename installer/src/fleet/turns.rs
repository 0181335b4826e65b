//! The turn of a host in an upgrade: its pods move to other nodes, all that runs on it changes, and it takes pods again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::hosts::Fleet;
use super::index::HostIndex;
use super::lead::work;
use super::shares::Shares;
use crate::agent::questions::{ApplyPart, DrainNode, Origin, ReopenNode};
use crate::drain::Purpose;
use crate::failure::FailureReport;
use crate::join_material::JoinMaterial;
use crate::trust::Trust;
use crate::upgrade::part::Part;
use crate::upgrade::standing::Turn;

/// What all turns of hosts share.
pub(super) struct Turns<'a> {
    /// The control plane that moves pods.
    pub first: HostIndex,
    /// What each host is told about the cluster.
    pub shares: &'a Shares,
    /// The keys that hosts verify the bundle with.
    pub trust: &'a Trust,
    /// How long the pods of a node may take to move.
    pub drain_within: Duration,
    /// The hosts whose pods are moved.
    pub drained: &'a BTreeSet<HostIndex>,
    /// How far each host got in earlier runs.
    pub before: BTreeMap<HostIndex, Turn>,
}

impl Turns<'_> {
    /// Gives hosts their turns, at most `at_once` at the same time; none begins after one that failed. Returns the steps that changed
    /// something.
    pub fn take(&self, fleet: &mut Fleet<'_>, hosts: &[HostIndex], at_once: usize) -> Vec<(HostIndex, Vec<String>)> {
        let has_failed = AtomicBool::new(false);
        fleet.on_each(hosts, at_once, |fleet, index| {
            if has_failed.load(Ordering::SeqCst) {
                return Ok(Vec::new());
            }
            self.take_one(fleet, index).inspect_err(|_| has_failed.store(true, Ordering::SeqCst))
        })
    }

    fn take_one(&self, fleet: &Fleet<'_>, index: HostIndex) -> Result<Vec<String>, FailureReport> {
        let host = fleet.host(index);
        let (name, is_drained) = (host.name(), self.drained.contains(&index));
        let mut changed = Vec::new();
        let before = self.before.get(&index).copied().unwrap_or_default();
        if before != Turn::Done {
            // A host that was cut off has no pods any more, and the unfinished work on it may keep the API from answering.
            if is_drained && before == Turn::NotBegun {
                drain(fleet, self.first, index, self.drain_within)?;
            }
            let work = work(host.spec, self.shares, Origin::Installation, self.trust, JoinMaterial::default());
            changed = fleet.ask(index, ApplyPart { part: Part::Node, work }).map_err(|mut report| {
                if is_drained {
                    report.error =
                        format!("{}; the node {name} takes no pods until the upgrade is resumed", report.error);
                }
                report
            })?;
        }
        if is_drained {
            fleet.ask(self.first, ReopenNode { name: name.clone() })?;
        }
        Ok(changed)
    }
}

/// Lets the control plane `first` move the pods of a node away. If that fails, nothing on the host was changed, and it takes pods again.
pub(super) fn drain(
    fleet: &Fleet<'_>,
    first: HostIndex,
    index: HostIndex,
    within: Duration,
) -> Result<(), FailureReport> {
    let name = fleet.host(index).name();
    fleet.console.line(&format!("moving the pods of {name} to other nodes"));
    let timeout_seconds = within.as_secs();
    let question = DrainNode { name: name.clone(), purpose: Purpose::Upgrade, timeout_seconds };
    fleet.ask(first, question).map_err(|mut report| {
        let reopened = fleet.ask(first, ReopenNode { name: name.clone() });
        report.causes.extend(reopened.err().map(|failure| format!("it still takes no pods: {}", failure.error)));
        report.hint.get_or_insert_with(|| {
            format!("see which PodDisruptionBudget allows no eviction: `kubectl get poddisruptionbudgets -A`; or give more time: `--drain-timeout {}s`", timeout_seconds * 4)
        });
        report
    })
}
