//! Changed settings for a cluster of several hosts. The differences are shown and judged before anything is changed, and hosts on which
//! something restarts have their turn one after another.

use super::index::HostIndex;
use super::lead::Leader;
use crate::changes;
use crate::config::change::{self, Change, Scope};
use crate::join_material::JoinMaterial;
use crate::report::Event;

/// Why the others stop when a host fails in its turn.
pub(super) const IN_TURN: &str = "a host is changed only while the one before it is healthy";

impl Leader<'_> {
    /// Shows where cluster.yaml differs from the settings that the hosts have, and refuses what cannot be changed.
    pub(super) fn compare_settings(&mut self) -> anyhow::Result<()> {
        let mut all: Vec<Change> = Vec::new();
        // The first control plane knows all hosts, and comes first.
        let first = self.session.first;
        let others = self.alive(|_| true).into_iter().filter(|index| *index != first);
        for index in std::iter::once(first).chain(others) {
            let found = self.changes_of(index);
            if found.iter().any(Change::restarts_something) {
                self.restarting.insert(index);
            }
            all.extend(found.into_iter().filter(|change| !all.contains(change)).collect::<Vec<_>>());
        }
        if !all.is_empty() {
            self.session.fleet.console.event(&Event::SettingsDiffer { changes: all.clone() });
        }
        changes::refuse(&all)
    }

    /// Where the host's part of cluster.yaml differs from the settings that the host has.
    fn changes_of(&self, index: HostIndex) -> Vec<Change> {
        let host = self.host(index);
        let Some(standing) = host.reached.as_ref().and_then(|reached| reached.survey.standing.as_ref()) else {
            return Vec::new();
        };
        let scope = if index == self.session.first { Scope::AllHosts } else { Scope::HostsOfBoth };
        change::changes(standing, &self.session.shares.of(host.spec), scope)
    }

    /// Lets these hosts do their part of the current stage one after another. Returns whether all succeeded; the hosts after one that
    /// failed were not asked.
    pub(super) fn apply_in_turn(
        &mut self,
        hosts: &[HostIndex],
        material: impl Fn(HostIndex) -> JoinMaterial + Sync,
    ) -> bool {
        for &index in hosts {
            self.apply_quietly(&[index], &material);
            if !self.host(index).is_alive() {
                self.failed_in_turn = true;
                return false;
            }
        }
        true
    }
}
