//! The state of every host.

use super::answers::{self, Answers};
use super::hosts::{Fleet, FleetOptions};
use super::session::first;
use super::shares::Shares;
use crate::agent::questions::ReadStatus;
use crate::config::ClusterSpec;
use crate::stage::Stage;
use crate::status::Status;

/// Asks every host for its state, and where it differs from `spec`. `begun` gets the fleet before kinstall connects to any host.
pub fn read_status(
    spec: &ClusterSpec,
    deep: bool,
    options: &FleetOptions,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Answers<Status>> {
    let mut fleet = answers::connect(spec, options, Stage::Status, begun)?;
    let shares = Shares::led_by(spec, fleet.host(first(&fleet)).spec);
    let hosts = fleet.alive(|_| true);
    let found = fleet.on_each(&hosts, usize::MAX, |fleet, index| {
        fleet.ask(index, ReadStatus { spec: Box::new(shares.of(fleet.host(index).spec)), deep })
    });
    fleet.withdraw();
    Ok(answers::by_host(&fleet, found))
}
