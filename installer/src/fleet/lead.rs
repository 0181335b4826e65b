//! Leads the installation of a cluster: the stages in their order, and what is said at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::Context as _;
use kbundle_format::{Digest, IndexedBundle};
use serde_json::json;

use super::shares::Parts;
use super::visit::{Goal, Visit};
use super::{Fleet, Means, seconds};
use crate::agent::protocol::Work;
use crate::config::ClusterSpec;
use crate::failure::{Advise, Told};
use crate::join_material::JoinMaterial;
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
    pub(super) visit: Visit<'a>,
    pub(super) parts: Parts<'a>,
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
    let goal = Goal {
        kubernetes: Some(orders.bundle.list().kubernetes_version),
        list: Some(Digest::of(&orders.bundle.head().list_bytes)),
    };
    let visit = Visit::begin(spec, orders.ignored, goal, means, begun)?;
    let parts = Parts::of(orders.bundle, &spec.hosts).context("the bundle cannot be cut").refused()?;
    let phases = vec![BTreeSet::new(); spec.hosts.len()];
    let unbalanced = Vec::new();
    let mut leader = Leader { orders: *orders, visit, parts, phases, unbalanced };
    leader.run(started)
}

impl Leader<'_> {
    fn run(&mut self, started: Instant) -> anyhow::Result<Led> {
        let decided = self.decide();
        if decided.is_err() || self.orders.dry_run {
            self.visit.fleet.withdraw();
            decided?;
            self.visit.fleet.summary(None)?;
            return Ok(Led { changed: BTreeMap::new(), seconds: seconds(started) });
        }
        let stopped = self.install();
        self.visit.fleet.summary(stopped)?;
        let names = self.visit.fleet.hosts.iter().filter(|host| !host.changed.is_empty());
        let changed: BTreeMap<_, _> = names.map(|host| (host.name().to_owned(), host.changed.clone())).collect();
        let steps = changed.values().map(Vec::len).sum::<usize>();
        let seconds = seconds(started);
        self.visit
            .fleet
            .display
            .event(&json!({ "schema": SCHEMA, "event": "finished", "changedSteps": steps, "seconds": seconds }));
        self.visit.fleet.display.line(&match steps {
            0 => format!("nothing to do on {} hosts; looked for {seconds:.1} s", self.visit.fleet.hosts.len()),
            _ => format!("finished: {steps} steps changed something on {} hosts, {seconds:.1} s in all", changed.len()),
        });
        Ok(Led { changed, seconds })
    }

    /// All that is decided before anything is changed.
    fn decide(&mut self) -> anyhow::Result<()> {
        self.visit.decide()?;
        self.plan()?;
        if self.orders.dry_run { self.dry_run() } else { Ok(()) }
    }

    /// What a host gets to work with; nothing is handed over yet.
    pub(super) fn work(&self, index: usize) -> Work {
        self.work_with(index, JoinMaterial::default())
    }

    pub(super) fn work_with(&self, index: usize, handed: JoinMaterial) -> Work {
        let host = &self.visit.fleet.hosts[index];
        Work {
            host: host.name().to_owned(),
            spec: self.visit.shares.of(host.spec),
            trust: self.orders.trust.clone(),
            handed,
        }
    }
}
