//! Leads the installation of a cluster, from the first connection to the summary.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::Context as _;
use kbundle_format::{Digest, IndexedBundle};

use super::host::FleetHost;
use super::hosts::{Fleet, FleetOptions};
use super::index::HostIndex;
use super::session::{Goal, Session};
use super::shares::{Parts, Shares};
use crate::addon_data::AddonData;
use crate::agent::questions::{ApplyPhase, Ask, Origin, Work};
use crate::config::{ClusterSpec, DnsName, HostSpec};
use crate::failure::{Advise, FailureReport};
use crate::join_material::JoinMaterial;
use crate::os_packages::BroughtPackages;
use crate::preflight::CheckId;
use crate::report::Event;
use crate::restoration::Restoration;
use crate::stage::Stage;
use crate::trust::Trust;

/// What to install.
#[derive(Clone, Copy)]
pub struct InstallRequest<'a> {
    /// The cluster, with its hosts.
    pub spec: &'a ClusterSpec,
    /// The bundle, verified.
    pub bundle: &'a IndexedBundle,
    /// The keys that hosts verify the bundle with.
    pub trust: &'a Trust,
    /// Preflight checks whose rejection is ignored.
    pub ignored: &'a [CheckId],
    /// Whether to show the plan and do nothing.
    pub dry_run: bool,
    /// What happens to the data of add-ons that leave the cluster.
    pub addon_data: AddonData,
    /// The backup that the cluster comes from, if it does.
    pub restoration: Option<&'a Restoration>,
}

/// The result of an installation.
pub struct Outcome {
    /// The steps that changed something, by host.
    pub changed: BTreeMap<DnsName, Vec<String>>,
    /// How long it took.
    pub seconds: f64,
}

/// One installation.
pub(super) struct Leader<'a> {
    pub(super) request: InstallRequest<'a>,
    pub(super) session: Session<'a>,
    pub(super) parts: Parts<'a>,
    /// Control planes that the site's load balancer does not reach.
    pub(super) unbalanced: Vec<(HostIndex, FailureReport)>,
    /// Hosts on which changed settings restart something: they have their turn one after another.
    pub(super) restarting: BTreeSet<HostIndex>,
    /// Whether a host failed in its turn, so that no other host gets one.
    pub(super) failed_in_turn: bool,
}

/// Installs a cluster. `begun` gets the fleet before kinstall connects to any host.
///
/// # Errors
/// When the installation was refused and nothing was changed, or when hosts failed; what was done stays.
pub fn lead(
    request: &InstallRequest<'_>,
    options: &FleetOptions,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    Leader::begin(request, options, begun)?.run(started)
}

impl<'a> Leader<'a> {
    /// Connects to all hosts.
    pub(super) fn begin(
        request: &InstallRequest<'a>,
        options: &FleetOptions,
        begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let spec = request.spec;
        let goal = Goal {
            kubernetes: Some(request.bundle.list().kubernetes_version),
            list: Some(Digest::of(&request.bundle.head().list_bytes)),
            brought: Some(BroughtPackages::of(request.bundle.list())),
        };
        let session = Session::begin(spec, request.ignored, goal, options, begun)?;
        let parts = Parts::of(request.bundle, &spec.hosts).context("the bundle cannot be divided").refused()?;
        Ok(Leader {
            request: *request,
            session,
            parts,
            unbalanced: Vec::new(),
            restarting: BTreeSet::new(),
            failed_in_turn: false,
        })
    }

    fn run(&mut self, started: Instant) -> anyhow::Result<Outcome> {
        let decided = self.decide();
        if decided.is_err() || self.request.dry_run {
            self.session.fleet.withdraw();
            decided?;
            self.session.fleet.summary(None)?;
            return Ok(Outcome { changed: BTreeMap::new(), seconds: started.elapsed().as_secs_f64() });
        }
        let stopped = self.install();
        self.conclude(stopped, started)
    }

    /// Reports the result. `stopped` is the reason why hosts that did not fail stopped early, if they did.
    pub(super) fn conclude(&self, stopped: Option<&str>, started: Instant) -> anyhow::Result<Outcome> {
        self.session.fleet.summary(stopped)?;
        let changed = self.session.fleet.hosts().filter(|(_, host)| !host.changed.is_empty());
        let changed: BTreeMap<_, _> = changed.map(|(_, host)| (host.name().clone(), host.changed.clone())).collect();
        let seconds = started.elapsed().as_secs_f64();
        self.session.fleet.console.event(&Event::Finished {
            changed_steps: changed.values().map(Vec::len).sum(),
            changed_hosts: changed.len(),
            hosts: self.session.fleet.len(),
            seconds,
        });
        Ok(Outcome { changed, seconds })
    }

    /// Everything that is decided before anything is changed.
    fn decide(&mut self) -> anyhow::Result<()> {
        self.session.check()?;
        self.refuse_unrestorable()?;
        self.compare_settings()?;
        self.plan()?;
        if self.request.dry_run { self.dry_run() } else { Ok(()) }
    }

    pub(super) fn host(&self, index: HostIndex) -> &FleetHost<'a> {
        self.session.fleet.host(index)
    }

    pub(super) fn alive(&self, which: impl Fn(&FleetHost<'a>) -> bool) -> Vec<HostIndex> {
        self.session.fleet.alive(which)
    }

    pub(super) fn ask<Q: Ask>(&self, index: HostIndex, question: Q) -> Result<Q::Answer, FailureReport> {
        self.session.fleet.ask(index, question)
    }

    pub(super) fn fail(&mut self, index: HostIndex, stage: Stage, report: FailureReport) {
        self.session.fleet.fail(index, stage, report);
    }

    /// The part of the host that acts for the whole cluster.
    pub(super) fn work_of_first(&self) -> Box<Work> {
        self.work_of(self.session.first)
    }

    /// A host's work in the installation, without anything from other hosts.
    pub(super) fn work_of(&self, index: HostIndex) -> Box<Work> {
        let (host, shares) = (self.host(index).spec, &self.session.shares);
        work(host, shares, self.origin(), self.request.trust, JoinMaterial::default())
    }

    /// The hosts that have something to do in the current stage.
    pub(super) fn concerned(&self) -> Vec<HostIndex> {
        let phase = self.session.fleet.stage().phase();
        self.alive(|host| phase.is_some_and(|phase| host.phases.contains(&phase)))
    }

    /// Shows that the current stage begins, and has these hosts do their part at the same time.
    pub(super) fn apply(&mut self, hosts: &[HostIndex], material: impl Fn(HostIndex) -> JoinMaterial + Sync) {
        if !hosts.is_empty() {
            self.session.fleet.announce(hosts.len());
            self.apply_quietly(hosts, material);
        }
    }

    /// Has these hosts do their part of the current stage at the same time.
    pub(super) fn apply_quietly(&mut self, hosts: &[HostIndex], material: impl Fn(HostIndex) -> JoinMaterial + Sync) {
        let Some(phase) = self.session.fleet.stage().phase() else { return };
        let (shares, trust, origin) = (&self.session.shares, self.request.trust, self.origin());
        let done = self.session.fleet.on_each(hosts, usize::MAX, |fleet, index| {
            let work = work(fleet.host(index).spec, shares, origin, trust, material(index));
            fleet.ask(index, ApplyPhase { phase, work })
        });
        for (index, changed) in done {
            self.session.fleet.host_mut(index).changed.extend(changed);
        }
    }
}

/// A host's work, in the form in which the host gets it.
pub(super) fn work(
    host: &HostSpec,
    shares: &Shares,
    origin: Origin,
    trust: &Trust,
    material: JoinMaterial,
) -> Box<Work> {
    Box::new(Work { host: host.name.clone(), spec: shares.of(host), origin, trust: trust.clone(), material })
}
