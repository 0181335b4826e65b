//! Leads the installation of a cluster: the stages in their order, and what is said at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::Context as _;
use kbundle_format::{Digest, IndexedBundle, Role};
use serde_json::json;

use super::policy::{Course, Fallen, Stage, Standing, course};
use super::shares::{Parts, Shares};
use super::{Fleet, FleetHost, Means, seconds};
use crate::agent::protocol::{Wanted, Work};
use crate::config::{ClusterSpec, HostSpec};
use crate::failure::{Advise, Told};
use crate::handed::Handed;
use crate::plan::Phase;
use crate::preflight::CheckId;
use crate::report::SCHEMA;
use crate::trust::Trust;

/// What is to be installed.
#[derive(Clone, Copy)]
pub struct Orders<'a> {
    /// The cluster, with its hosts.
    pub spec: &'a ClusterSpec,
    /// The bundle, verified.
    pub bundle: &'a IndexedBundle,
    /// Whom the hosts are to believe.
    pub trust: &'a Trust,
    /// Preflight checks whose rejection counts for nothing.
    pub ignored: &'a [CheckId],
    /// Whether the plan is shown, and nothing done.
    pub dry_run: bool,
}

/// One installation.
pub(super) struct Leader<'a> {
    pub(super) orders: Orders<'a>,
    pub(super) fleet: Fleet<'a>,
    pub(super) shares: Shares,
    pub(super) parts: Parts<'a>,
    /// The number of the host that acts for the whole cluster.
    pub(super) first: usize,
    pub(super) standing: Standing,
    /// The phases in which each host has something to do.
    pub(super) phases: Vec<BTreeSet<Phase>>,
    /// Control planes that the site's load balancer does not reach.
    pub(super) unbalanced: Vec<(usize, Told)>,
}

/// How an installation went.
pub struct Led {
    /// The steps that changed something, by host.
    pub changed: BTreeMap<String, Vec<String>>,
    /// How long it took.
    pub seconds: f64,
}

/// Installs a cluster. `begun` is told the fleet before anything is connected to.
///
/// # Errors
/// When it was refused and nothing was changed, or when hosts failed; what was done stays.
pub fn lead(
    orders: &Orders<'_>,
    means: &Means,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Led> {
    let started = Instant::now();
    let spec = orders.spec;
    let mut fleet = Fleet::new(spec, spec.hosts.iter().collect(), means)?;
    begun(&fleet)?;
    let list = Digest::of(&orders.bundle.head().list_bytes);
    let wanted = |host: &HostSpec| Wanted { roles: host.roles.iter().copied().collect(), list: Some(list) };
    fleet.connect(spec, means.password.as_ref(), wanted)?;
    let standing = standing(&fleet.hosts);
    let first = first(&fleet.hosts);
    let shares = Shares::led_by(spec, fleet.hosts[first].spec);
    let parts = Parts::of(orders.bundle, &spec.hosts).context("the bundle cannot be cut").refused()?;
    let phases = vec![BTreeSet::new(); fleet.hosts.len()];
    let unbalanced = Vec::new();
    let mut leader = Leader { orders: *orders, fleet, shares, parts, first, standing, phases, unbalanced };
    leader.run(started)
}

/// What of the cluster is there already, as far as it was seen.
fn standing(hosts: &[FleetHost<'_>]) -> Standing {
    Standing {
        control_plane: hosts.iter().any(FleetHost::is_control_plane),
        etcd: hosts.iter().any(FleetHost::has_etcd),
    }
}

/// The host that acts for the whole cluster: the first control plane that stands, or else the first there is.
fn first(hosts: &[FleetHost<'_>]) -> usize {
    let planned = || hosts.iter().position(|host| host.spec.roles.contains(&Role::ControlPlane));
    hosts.iter().position(FleetHost::is_control_plane).or_else(planned).unwrap_or(0)
}

impl Leader<'_> {
    fn run(&mut self, started: Instant) -> anyhow::Result<Led> {
        let decided = self.decide();
        if decided.is_err() || self.orders.dry_run {
            self.fleet.withdraw();
            decided?;
            self.fleet.summary(None)?;
            return Ok(Led { changed: BTreeMap::new(), seconds: seconds(started) });
        }
        let stopped = self.install();
        self.fleet.summary(stopped)?;
        let names = self.fleet.hosts.iter().filter(|host| !host.changed.is_empty());
        let changed: BTreeMap<_, _> = names.map(|host| (host.name().to_owned(), host.changed.clone())).collect();
        let steps = changed.values().map(Vec::len).sum::<usize>();
        let seconds = seconds(started);
        self.fleet
            .display
            .event(&json!({ "schema": SCHEMA, "event": "finished", "changedSteps": steps, "seconds": seconds }));
        self.fleet.display.line(&match steps {
            0 => format!("nothing to do on {} hosts; looked for {seconds:.1} s", self.fleet.hosts.len()),
            _ => format!("finished: {steps} steps changed something on {} hosts, {seconds:.1} s in all", changed.len()),
        });
        Ok(Led { changed, seconds })
    }

    /// All that is decided before anything is changed.
    fn decide(&mut self) -> anyhow::Result<()> {
        self.refuse_stopped(Stage::Connect)?;
        self.examine()?;
        self.refuse_stopped(Stage::Preflight)?;
        self.plan()?;
        if self.orders.dry_run { self.dry_run() } else { Ok(()) }
    }

    fn refuse_stopped(&self, stage: Stage) -> anyhow::Result<()> {
        match self.course(stage) {
            Course::GoOn => Ok(()),
            Course::Stop(reason) => self.fleet.summary(Some(reason)).refused(),
        }
    }

    /// Whether the others go on after what happened in `stage`.
    pub(super) fn course(&self, stage: Stage) -> Course {
        let fell = |host: &FleetHost<'_>| host.failure.as_ref().is_some_and(|failure| failure.stage == stage);
        let hosts = self.fleet.hosts.iter().enumerate().filter(|(_, host)| fell(host));
        let fallen: Vec<_> =
            hosts.map(|(index, host)| Fallen { roles: &host.spec.roles, leads: index == self.first }).collect();
        course(stage, &fallen, self.standing)
    }

    /// What a host gets to work with; nothing is handed over yet.
    pub(super) fn work(&self, index: usize) -> Work {
        self.work_with(index, Handed::default())
    }

    pub(super) fn work_with(&self, index: usize, handed: Handed) -> Work {
        let host = &self.fleet.hosts[index];
        Work { host: host.name().to_owned(), spec: self.shares.of(host.spec), trust: self.orders.trust.clone(), handed }
    }
}
