//! Leads the upgrade of a cluster of several hosts. The bundle, the new programs and the images are put onto all hosts before anything that
//! runs is changed. Then hosts have their turn in the order that Kubernetes demands. After the first failure no other host is touched. In
//! its turn, each host runs the same steps as a single host.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kbundle_format::Role;

use super::hosts::{Fleet, FleetOptions};
use super::index::HostIndex;
use super::lead::{InstallRequest, Leader, Outcome, work};
use super::turns::Turns;
use crate::agent::questions::{ApplyPart, CheckEtcdMember, Origin};
use crate::failure::FailureReport;
use crate::join_material::JoinMaterial;
use crate::stage::Stage;
use crate::upgrade::part::Part;
use crate::upgrade::standing::Standing;

/// Why the other hosts stop while nothing that runs was changed.
const NOT_PRELOADED: &str =
    "every host has to have the new programs and images, and etcd to be saved, before anything that runs is changed";
/// Why the other hosts stop later.
const UNHEALTHY: &str = "a host is upgraded only while those before it are healthy";

/// What to upgrade, and how.
#[derive(Clone, Copy)]
pub struct UpgradeRequest<'a> {
    /// The cluster and the new bundle.
    pub install: InstallRequest<'a>,
    /// How many workers are upgraded at the same time.
    pub max_unavailable: usize,
    /// How long the pods of a node may take to move.
    pub drain_within: Duration,
}

/// Upgrades a cluster. `begun` gets the fleet before kinstall connects to any host.
///
/// # Errors
/// When the upgrade was refused and nothing was changed, or when a host failed; the hosts after it were left as they are.
pub fn lead_upgrade(
    request: &UpgradeRequest<'_>,
    options: &FleetOptions,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let leader = Leader::begin(&request.install, options, begun)?;
    Upgrade { leader, request: *request, pending: BTreeMap::new(), drained: BTreeSet::new() }.run(started)
}

/// One upgrade.
pub(super) struct Upgrade<'a> {
    pub(super) leader: Leader<'a>,
    pub(super) request: UpgradeRequest<'a>,
    /// The state, before the upgrade, of each host that has something to do.
    pub(super) pending: BTreeMap<HostIndex, Standing>,
    /// Hosts whose pods are moved before their turn.
    pub(super) drained: BTreeSet<HostIndex>,
}

impl Upgrade<'_> {
    fn run(&mut self, started: Instant) -> anyhow::Result<Outcome> {
        let decided = self.decide();
        if decided.is_err() || self.request.install.dry_run {
            self.leader.session.fleet.withdraw();
            decided?;
            return Ok(Outcome { changed: BTreeMap::new(), seconds: started.elapsed().as_secs_f64() });
        }
        let stopped = if self.pending.is_empty() { None } else { self.upgrade() };
        self.leader.conclude(stopped, started)
    }

    /// Goes through the stages. Returns the reason why hosts that did not fail stopped, if they did.
    fn upgrade(&mut self) -> Option<&'static str> {
        for stage in Stage::UPGRADE {
            self.leader.session.fleet.enter(stage);
            match stage {
                Stage::Bundle => self.leader.send_bundle(),
                Stage::Preload => self.apply(&self.members(|_| true), Part::Preload, &JoinMaterial::default()),
                Stage::Snapshot => {
                    self.apply(
                        &self.members(|roles| roles.contains(&Role::Etcd)),
                        Part::Snapshot,
                        &JoinMaterial::default(),
                    );
                }
                Stage::Etcd => self.etcd(),
                Stage::FirstControlPlane => self.take_turns(&self.first(), 1),
                Stage::ControlPlanes => self.take_turns(&self.other_servers(), 1),
                Stage::Workers => self.take_turns(&self.workers(), self.request.max_unavailable),
                Stage::Network => self.network(),
                Stage::Finish => self.finish(),
                _ => {}
            }
            if self.leader.session.fleet.hosts().any(|(_, host)| !host.is_alive()) {
                return Some(if stage <= Stage::Snapshot { NOT_PRELOADED } else { UNHEALTHY });
            }
        }
        None
    }

    /// The hosts with something to do whose roles `which` picks.
    pub(super) fn members(&self, which: impl Fn(&BTreeSet<Role>) -> bool) -> Vec<HostIndex> {
        self.pending.keys().copied().filter(|&index| which(&self.leader.host(index).spec.roles)).collect()
    }

    fn first(&self) -> Vec<HostIndex> {
        self.pending.keys().copied().filter(|&index| index == self.leader.session.first).collect()
    }

    fn other_servers(&self) -> Vec<HostIndex> {
        let mut servers = self.members(serves);
        servers.retain(|&index| index != self.leader.session.first);
        servers
    }

    /// The hosts that serve the cluster, in the order of their turns.
    pub(super) fn servers(&self) -> Vec<HostIndex> {
        self.first().into_iter().chain(self.other_servers()).collect()
    }

    /// The hosts that only run pods.
    pub(super) fn workers(&self) -> Vec<HostIndex> {
        self.members(|roles| !serves(roles))
    }

    /// Has these hosts do a part at the same time.
    fn apply(&mut self, hosts: &[HostIndex], part: Part, material: &JoinMaterial) {
        if hosts.is_empty() {
            return;
        }
        let session = &mut self.leader.session;
        session.fleet.announce(hosts.len());
        let (shares, trust) = (&session.shares, self.request.install.trust);
        let done = session.fleet.on_each(hosts, usize::MAX, |fleet, index| {
            fleet.ask(
                index,
                ApplyPart {
                    part,
                    work: work(fleet.host(index).spec, shares, Origin::Installation, trust, material.clone()),
                },
            )
        });
        self.note(done);
    }

    fn note(&mut self, done: Vec<(HostIndex, Vec<String>)>) {
        for (index, changed) in done {
            self.leader.session.fleet.host_mut(index).changed.extend(changed);
        }
    }

    /// One member after another, each only while all others are healthy: a majority has to remain. An unhealthy member comes first: an
    /// earlier attempt may have left it so.
    fn etcd(&mut self) {
        let ill: BTreeSet<_> = self.ill_members().into_iter().map(|(index, _)| index).collect();
        let mut members = self.members(|roles| roles.contains(&Role::Etcd));
        members.sort_by_key(|index| !ill.contains(index));
        for index in members {
            if let Some((ill, report)) = self.ill_members().into_iter().find(|(ill, _)| *ill != index) {
                return self.leader.fail(ill, Stage::Etcd, report);
            }
            self.apply(&[index], Part::Etcd, &JoinMaterial::default());
            if !self.leader.host(index).is_alive() {
                return;
            }
        }
    }

    /// The members of etcd that are not healthy.
    pub(super) fn ill_members(&self) -> Vec<(HostIndex, FailureReport)> {
        let members = self.leader.alive(|host| host.has(Role::Etcd));
        let look = |index: HostIndex| {
            let here = self.leader.host(index).spec.address;
            match self.leader.ask(index, CheckEtcdMember { here }) {
                Ok(None) => None,
                Ok(Some(said)) => Some((index, not_healthy(&said))),
                Err(report) => Some((index, report)),
            }
        };
        members.into_iter().filter_map(look).collect()
    }

    /// Lets hosts change all that runs on them, at most `at_once` at the same time. None begins after one that failed.
    fn take_turns(&mut self, hosts: &[HostIndex], at_once: usize) {
        if hosts.is_empty() {
            return;
        }
        let session = &mut self.leader.session;
        session.fleet.announce(hosts.len());
        let turns = Turns {
            first: session.first,
            shares: &session.shares,
            trust: self.request.install.trust,
            drain_within: self.request.drain_within,
            drained: &self.drained,
            before: self.pending.iter().map(|(index, standing)| (*index, standing.turn)).collect(),
        };
        let done = turns.take(&mut session.fleet, hosts, at_once);
        self.note(done);
    }

    fn network(&mut self) {
        match self.leader.pod_networks() {
            Err(report) => self.leader.fail(self.leader.session.first, Stage::Network, report),
            Ok(material) => {
                let nodes = self.members(|roles| *roles != BTreeSet::from([Role::Etcd]));
                self.apply(&nodes, Part::Network, &material);
            }
        }
    }

    /// The first control plane comes last: it waits for the whole cluster, and until it is done no other run takes the upgrade for
    /// finished.
    fn finish(&mut self) {
        let mut others = self.members(|_| true);
        others.retain(|&index| index != self.leader.session.first);
        self.apply(&others, Part::Finish, &JoinMaterial::default());
        if self.leader.alive(|_| true).len() == self.leader.session.fleet.len() {
            self.apply(&self.first(), Part::Finish, &JoinMaterial::default());
        }
    }
}

fn serves(roles: &BTreeSet<Role>) -> bool {
    roles.contains(&Role::ControlPlane) || roles.contains(&Role::Etcd)
}

fn not_healthy(said: &str) -> FailureReport {
    FailureReport {
        error: "its member of etcd is not healthy; no other member is stopped meanwhile".to_owned(),
        causes: vec![said.to_owned()],
        hint: Some("`journalctl -u etcd` on the host says more".to_owned()),
    }
}
