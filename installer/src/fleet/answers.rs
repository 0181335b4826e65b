//! Commands that ask every host of a cluster something: connecting, and what each answered.

use std::collections::BTreeMap;

use super::hosts::{Fleet, FleetOptions};
use super::index::HostIndex;
use super::teardown::survey;
use crate::config::{ClusterSpec, DnsName};
use crate::failure::FailureReport;
use crate::stage::Stage;

/// What each host answered, or why it did not.
pub type Answers<T> = BTreeMap<DnsName, Result<T, FailureReport>>;

/// Connects to all hosts, for this stage. `begun` gets the fleet before kinstall connects to any host.
pub(super) fn connect<'a>(
    spec: &'a ClusterSpec,
    options: &FleetOptions,
    stage: Stage,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Fleet<'a>> {
    let mut fleet = Fleet::new(spec, spec.hosts.iter().collect(), options)?;
    begun(&fleet)?;
    fleet.connect(spec, options.password.as_ref(), survey)?;
    fleet.enter(stage);
    Ok(fleet)
}

/// The answers by host name, with the reason for each host that did not answer.
pub(super) fn by_host<T>(fleet: &Fleet<'_>, found: Vec<(HostIndex, T)>) -> Answers<T> {
    let failed =
        fleet.hosts().filter_map(|(_, host)| Some((host.name().clone(), Err(host.failure.as_ref()?.report.clone()))));
    failed.chain(found.into_iter().map(|(index, answer)| (fleet.host(index).name().clone(), Ok(answer)))).collect()
}
