//! The host's record of cluster.yaml, compared with the one that was given.

use super::{Finding, Group};
use crate::config::ClusterSpec;
use crate::records::Records;

/// Compares the settings that the host was set up with. Without this, what is expected of a host follows from its own record alone.
pub(super) fn look(records: &Records, given: &ClusterSpec) -> Vec<Finding> {
    let changes = records.changes_to(given);
    if changes.is_empty() {
        return vec![Finding::as_approved(Group::Settings, "cluster.yaml")];
    }
    let finding = |change: crate::config::change::Change| {
        Finding::drifted(Group::Settings, change.setting, change.wanted, change.standing)
    };
    changes.into_iter().map(finding).collect()
}
