//! Whether every host is as it was approved.

use kbundle_format::Digest;

use super::answers::{self, Answers};
use super::hosts::{Fleet, FleetOptions};
use super::session::first;
use super::shares::Shares;
use crate::agent::questions::AuditHost;
use crate::config::ClusterSpec;
use crate::host_audit::{HostAudit, ImageDepth};
use crate::stage::Stage;
use crate::trust::Trust;

/// What hosts are compared with.
pub struct AuditGoal<'a> {
    /// The keys to verify each host's part of the bundle with.
    pub trust: &'a Trust,
    /// The list of the bundle, if one was given.
    pub list: Option<Digest>,
    /// How deeply images are compared.
    pub depth: ImageDepth,
}

/// Compares every host with the part of the bundle that it keeps. `begun` gets the fleet before kinstall connects to any host.
pub fn audit(
    spec: &ClusterSpec,
    goal: &AuditGoal<'_>,
    options: &FleetOptions,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Answers<HostAudit>> {
    let mut fleet = answers::connect(spec, options, Stage::Audit, begun)?;
    let shares = Shares::led_by(spec, fleet.host(first(&fleet)).spec);
    let hosts = fleet.alive(|_| true);
    fleet.announce(hosts.len());
    let found = fleet.on_each(&hosts, usize::MAX, |fleet, index| {
        let spec = Box::new(shares.of(fleet.host(index).spec));
        fleet.ask(index, AuditHost { spec, trust: goal.trust.clone(), list: goal.list, depth: goal.depth })
    });
    fleet.withdraw();
    Ok(answers::by_host(&fleet, found))
}
