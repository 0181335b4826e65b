//! Rolls several hosts back from an upgrade that failed or was cut off: one host after another, in the reverse order of the upgrade.
//!
//! Workers come first, since no kubelet may be newer than its API server, and the first control plane comes last: with it kubeadm's objects
//! come back. etcd has to be able to read its data with the former version; a store that was migrated is not rolled back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use kbundle_format::{BundleList, KubeVersion, Role};

use super::answers;
use super::host::FleetHost;
use super::hosts::{Fleet, FleetOptions};
use super::index::HostIndex;
use super::shares::Shares;
use super::turns::drain;
use crate::agent::questions::{
    CheckEtcdMember, EndRollback, PreviewRollback, ReadStanding, ReopenNode, RollBackHost, RollbackPreview,
};
use crate::config::ClusterSpec;
use crate::failure::{Advise, FailureReport};
use crate::report::Event;
use crate::rollback::Act;
use crate::stage::Stage;
use crate::upgrade::standing::{Standing, Turn};

/// Why the other hosts do not continue after one that failed.
const UNHEALTHY: &str = "a host is rolled back only while those before it are healthy";
const FINISH: &str =
    "finish the upgrade with the same bundle: `kinstall upgrade BUNDLE --key KEY --config cluster.yaml`";

/// What to roll back, and how.
pub struct RollbackRequest<'a> {
    /// The cluster.
    pub spec: &'a ClusterSpec,
    /// Whether to show the plan and change nothing.
    pub dry_run: bool,
    /// How long the pods of a node may take to move.
    pub drain_within: Duration,
}

/// Rolls back every host that an upgrade has begun to change, and returns the version of Kubernetes that runs again. `begun` gets the fleet
/// before kinstall connects to any host.
///
/// # Errors
/// When the rollback was refused and nothing was changed, or when a host failed; the hosts after it keep what they have.
pub fn lead_rollback(
    request: &RollbackRequest<'_>,
    options: &FleetOptions,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<KubeVersion> {
    let started = Instant::now();
    let mut fleet = answers::connect(request.spec, options, Stage::Rollback, begun)?;
    let decided = WayBack::decide(&mut fleet, request);
    let way_back = match decided {
        Ok(way_back) if !request.dry_run => way_back,
        decided => {
            fleet.withdraw();
            let way_back = decided?;
            way_back.show(&fleet);
            return Ok(way_back.to);
        }
    };
    way_back.take(&mut fleet)?;
    fleet.report_end(started);
    Ok(way_back.to)
}

/// Everything that is decided before anything is changed.
struct WayBack {
    /// The control plane that moves pods.
    first: HostIndex,
    /// The version of Kubernetes that will run again.
    to: KubeVersion,
    /// Hosts with something to do, in the order of their turns.
    order: Vec<HostIndex>,
    turns: BTreeMap<HostIndex, (Turn, RollbackPreview)>,
    /// Whether other nodes can take the pods of a drained one.
    has_others: bool,
    drain_within: Duration,
}

impl WayBack {
    fn decide(fleet: &mut Fleet<'_>, request: &RollbackRequest<'_>) -> anyhow::Result<Self> {
        fleet.refuse_absent()?;
        let first = fleet.find(FleetHost::is_control_plane);
        let first = first.or_else(|| fleet.find(|host| host.has(Role::ControlPlane)));
        let Some(first) = first else {
            return Err(anyhow!("cluster.yaml has no control plane; nothing was changed")).refused();
        };
        let standings = read_standings(fleet, request.spec, first)?;
        refuse_finished(fleet, &standings)?;
        let begun: Vec<_> =
            standings.iter().filter(|(_, standing)| standing.target.is_some()).map(|(index, _)| *index).collect();
        let previews = fleet.on_each(&begun, usize::MAX, |fleet, index| fleet.ask(index, PreviewRollback {}));
        fleet.summary(Some("all hosts are rolled back or none; nothing was changed")).refused()?;
        refuse_migrated_store(fleet, &previews)?;
        let to = previews.first().map(|(_, preview)| preview.to);
        let to = to.unwrap_or(BundleList::parse(standings[&first].list.as_bytes())?.kubernetes_version);
        let turns: BTreeMap<_, _> =
            previews.into_iter().map(|(index, preview)| (index, (standings[&index].turn, preview))).collect();
        let has_others = fleet.alive(|host| is_node(host)).len() > 1;
        let order = order(fleet, first, turns.keys().copied());
        Ok(Self { first, to, order, turns, has_others, drain_within: request.drain_within })
    }

    /// Shows what is done on which host, in order.
    fn show(&self, fleet: &Fleet<'_>) {
        for index in &self.order {
            let (host, (_, preview)) = (fleet.host(*index), &self.turns[index]);
            for act in &preview.acts {
                let reason = format!("the upgrade to Kubernetes {} has begun to change this host", preview.from);
                let (step, title) = (act.id().to_owned(), act.title().to_owned());
                let planned = Event::StepPlanned { step, title, reason: Some(reason) };
                fleet.console.event_of(host.name(), Stage::Rollback, &planned);
            }
            if preview.acts.is_empty() {
                fleet.console.line(&format!("{}: only what the upgrade prepared is removed", host.name()));
            }
        }
    }

    /// Rolls back one host after another, and none after one that failed.
    fn take(&self, fleet: &mut Fleet<'_>) -> anyhow::Result<()> {
        for &index in &self.order {
            fleet.announce(1);
            let done = fleet.on_each(&[index], 1, |fleet, index| self.take_one(fleet, index));
            for (index, acts) in done {
                fleet.host_mut(index).changed.extend(acts);
            }
            fleet.summary(Some(UNHEALTHY))?;
        }
        Ok(())
    }

    fn take_one(&self, fleet: &Fleet<'_>, index: HostIndex) -> Result<Vec<String>, FailureReport> {
        let (host, (turn, preview)) = (fleet.host(index), &self.turns[&index]);
        let name = host.name();
        if preview.acts.contains(&Act::Etcd) {
            refuse_loss_of_majority(fleet, index)?;
        }
        // A host whose turn was cut off has no pods any more.
        if self.has_others && is_node(host) && *turn == Turn::Done {
            drain(fleet, self.first, index, self.drain_within)?;
        }
        let acts = fleet.ask(index, RollBackHost {})?;
        if is_node(host) {
            fleet.ask(self.first, ReopenNode { name: name.clone() })?;
        }
        // Last: until here the host can be rolled back once more.
        fleet.ask(index, EndRollback {})?;
        Ok(acts)
    }
}

fn is_node(host: &FleetHost<'_>) -> bool {
    host.has(Role::ControlPlane) || host.has(Role::Worker)
}

/// The reverse order of an upgrade. An unhealthy member of etcd comes before the others: none of them may stop while it is down.
fn order(fleet: &Fleet<'_>, first: HostIndex, begun: impl DoubleEndedIterator<Item = HostIndex>) -> Vec<HostIndex> {
    let mut order: Vec<_> = begun.rev().collect();
    let is_ill = |index: HostIndex| fleet.host(index).has(Role::Etcd) && etcd_illness(fleet, index).is_some();
    order.sort_by_cached_key(|&index| {
        let host = fleet.host(index);
        let serves = host.has(Role::ControlPlane) || host.has(Role::Etcd);
        (serves, serves && !is_ill(index), index == first)
    });
    order
}

fn etcd_illness(fleet: &Fleet<'_>, index: HostIndex) -> Option<String> {
    match fleet.ask(index, CheckEtcdMember { here: fleet.host(index).spec.address }) {
        Ok(illness) => illness,
        Err(report) => Some(report.error),
    }
}

fn refuse_loss_of_majority(fleet: &Fleet<'_>, index: HostIndex) -> Result<(), FailureReport> {
    let others = fleet.alive(|host| host.has(Role::Etcd)).into_iter().filter(|&other| other != index);
    for other in others {
        if let Some(said) = etcd_illness(fleet, other) {
            return Err(FailureReport {
                error: format!(
                    "the member of etcd on {} is not healthy, and no other may stop",
                    fleet.host(other).name()
                ),
                causes: vec![said],
                hint: Some("`journalctl -u etcd` on that host says more".to_owned()),
            });
        }
    }
    Ok(())
}

fn read_standings(
    fleet: &mut Fleet<'_>,
    spec: &ClusterSpec,
    first: HostIndex,
) -> anyhow::Result<BTreeMap<HostIndex, Standing>> {
    let shares = Shares::led_by(spec, fleet.host(first).spec);
    let all = fleet.alive(|_| true);
    let found = fleet.on_each(&all, usize::MAX, |fleet, index| {
        let host = fleet.host(index);
        fleet.ask(index, ReadStanding { host: host.name().clone(), spec: Box::new(shares.of(host.spec)) })
    });
    fleet.summary(Some("all hosts are rolled back or none; nothing was changed")).refused()?;
    Ok(found.into_iter().collect())
}

/// Refuses if nothing is unfinished, or if a host has already completed the upgrade.
fn refuse_finished(fleet: &Fleet<'_>, standings: &BTreeMap<HostIndex, Standing>) -> anyhow::Result<()> {
    let Some((_, begun)) = standings.iter().find(|(_, standing)| standing.target.is_some()) else {
        return Err(anyhow!("no host of the cluster has an unfinished upgrade: there is nothing to roll back"))
            .refused()
            .hint("a finished upgrade cannot be rolled back; `kinstall status` on a host shows its state");
    };
    let finished = standings.iter().find(|(_, standing)| standing.target.is_none() && standing.list != begun.list);
    let Some((index, _)) = finished else { return Ok(()) };
    let name = fleet.host(*index).name();
    Err(anyhow!("{name} has finished the upgrade, and cannot be rolled back; nothing was changed"))
        .refused()
        .hint(FINISH)
}

fn refuse_migrated_store(fleet: &Fleet<'_>, previews: &[(HostIndex, RollbackPreview)]) -> anyhow::Result<()> {
    let migrated = previews.iter().find(|(_, preview)| preview.acts.contains(&Act::Store));
    let Some((index, _)) = migrated else { return Ok(()) };
    let name = fleet.host(*index).name();
    Err(anyhow!(
        "etcd of another minor has run on the data on {name}, and kinstall brings the snapshot back on clusters of one host alone; nothing was \
         changed"
    ))
    .refused()
    .hint(FINISH)
}
