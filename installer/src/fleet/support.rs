//! Collects from every host what somebody elsewhere needs to find a fault.

use super::answers::{self, Answers};
use super::hosts::{Fleet, FleetOptions};
use crate::agent::questions::CollectSupport;
use crate::config::ClusterSpec;
use crate::stage::Stage;
use crate::support::HostSupport;

/// Collects from every host. `begun` gets the fleet before kinstall connects to any host.
pub fn collect_support(
    spec: &ClusterSpec,
    hours: u32,
    options: &FleetOptions,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Answers<HostSupport>> {
    let mut fleet = answers::connect(spec, options, Stage::Support, begun)?;
    let hosts = fleet.alive(|_| true);
    fleet.announce(hosts.len());
    let found = fleet.on_each(&hosts, usize::MAX, |fleet, index| fleet.ask(index, CollectSupport { hours }));
    fleet.withdraw();
    Ok(answers::by_host(&fleet, found))
}
