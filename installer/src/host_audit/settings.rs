//! The host's record of cluster.yaml, compared with the one that was given.

use std::borrow::Cow;

use kbundle_format::BundleList;

use super::{Finding, Group};
use crate::config::{ClusterSpec, Cni};
use crate::records::Records;

/// Compares the settings that the host was set up with. Without this, only the host's own record would say what is expected of it.
///
/// A file that names no network means the bundle's network, which the record may name.
pub(super) fn look(records: &Records, given: &ClusterSpec, list: &BundleList) -> Vec<Finding> {
    let mut given = Cow::Borrowed(given);
    if given.network.cni.is_none() && records.spec.network.cni.is_some() {
        given.to_mut().network.cni = Some(Cni::brought_by(list).unwrap_or(Cni::Bridge));
    }
    let changes = records.changes_to(&given);
    if changes.is_empty() {
        return vec![Finding::as_approved(Group::Settings, "cluster.yaml")];
    }
    let finding = |change: crate::config::change::Change| {
        Finding::drifted(Group::Settings, change.setting, change.wanted, change.standing)
    };
    changes.into_iter().map(finding).collect()
}
