//! The hosts after kinstall has connected to them and surveyed them. The only change there is that kinstall is installed.

use kbundle_format::{Digest, KubeVersion, Role};

use super::host::FleetHost;
use super::hosts::{Fleet, FleetOptions};
use super::index::HostIndex;
use super::policy::{Completed, Decision, FailedHost, decide};
use super::shares::Shares;
use crate::agent::questions::SurveyHost;
use crate::config::{ClusterSpec, HostSpec};
use crate::failure::Advise;
use crate::os_packages::BroughtPackages;
use crate::preflight::CheckId;
use crate::restoration_records::RestorationMark;
use crate::stage::Stage;

/// A cluster and its hosts.
pub struct Session<'a> {
    /// The cluster.
    pub spec: &'a ClusterSpec,
    /// Preflight checks whose rejection is ignored.
    pub ignored: &'a [CheckId],
    /// The version to install, if a bundle is given.
    pub kubernetes: Option<KubeVersion>,
    /// The packages that the bundle brings, if one is given.
    pub brought: Option<BroughtPackages>,
    /// The hosts.
    pub fleet: Fleet<'a>,
    /// What each host is told about the cluster.
    pub shares: Shares,
    /// The host that acts for the whole cluster.
    pub first: HostIndex,
    /// What earlier runs have completed.
    pub completed: Completed,
}

/// What will be installed, as far as it is known.
#[derive(Clone, Default)]
pub struct Goal {
    /// The version of Kubernetes.
    pub kubernetes: Option<KubeVersion>,
    /// The bundle's list; a host may hold its part of that bundle already.
    pub list: Option<Digest>,
    /// The packages of distributions that the bundle brings.
    pub brought: Option<BroughtPackages>,
}

/// Checks that each host, and all hosts together, are fit for the cluster with the versions and packages of `goal`, as far as these are
/// known. `begun` gets the fleet before kinstall connects to any host.
///
/// # Errors
/// When a check fails, or a host could not be reached.
pub fn preflight(
    spec: &ClusterSpec,
    ignored: &[CheckId],
    goal: Goal,
    options: &FleetOptions,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut session = Session::begin(spec, ignored, goal, options, begun)?;
    let examined = session.check();
    session.fleet.withdraw();
    examined?;
    session.fleet.summary(None)?;
    session.fleet.console.result(&format!("{} hosts passed all checks\n", session.fleet.len()));
    Ok(())
}

impl<'a> Session<'a> {
    /// Connects to all hosts of `spec`.
    pub fn begin(
        spec: &'a ClusterSpec,
        ignored: &'a [CheckId],
        goal: Goal,
        options: &FleetOptions,
        begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let mut fleet = Fleet::new(spec, spec.hosts.iter().collect(), options)?;
        begun(&fleet)?;
        let Goal { kubernetes, list, brought } = goal;
        let survey = |host: &HostSpec| SurveyHost { roles: host.roles.iter().copied().collect(), list };
        fleet.connect(spec, options.password.as_ref(), survey)?;
        let (first, completed) = (first(&fleet), completed(&fleet));
        let shares = Shares::led_by(spec, fleet.host(first).spec);
        Ok(Self { spec, ignored, kubernetes, brought, fleet, shares, first, completed })
    }

    /// Refuses hosts that cannot form the cluster.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.refuse_stopped(Stage::Connect)?;
        self.examine()?;
        self.refuse_stopped(Stage::Preflight)
    }

    fn refuse_stopped(&self, stage: Stage) -> anyhow::Result<()> {
        match self.decide(stage) {
            Decision::GoOn => Ok(()),
            Decision::Stop(reason) => self.fleet.summary(Some(reason)).refused(),
        }
    }

    /// Whether the other hosts continue after the failures in `stage`.
    pub fn decide(&self, stage: Stage) -> Decision {
        let failed = |host: &FleetHost<'_>| host.failure.as_ref().is_some_and(|failure| failure.stage == stage);
        let hosts = self.fleet.hosts().filter(|(_, host)| failed(host));
        let failed: Vec<_> =
            hosts.map(|(index, host)| FailedHost { roles: &host.spec.roles, leads: index == self.first }).collect();
        decide(stage, &failed, self.completed)
    }
}

fn completed(fleet: &Fleet<'_>) -> Completed {
    Completed {
        control_plane: fleet.find(FleetHost::is_control_plane).is_some(),
        etcd: fleet.find(FleetHost::has_etcd).is_some(),
    }
}

fn begins_cluster(mark: &RestorationMark) -> bool {
    mark.share.begins
}

/// The host that acts for the whole cluster: the first control plane that an earlier run completed, or else the one that a restoration
/// began with, or else the first in the file.
pub(super) fn first(fleet: &Fleet<'_>) -> HostIndex {
    let planned = || fleet.find(|host| host.has(Role::ControlPlane));
    let begins = || fleet.find(|host| host.surveyed(|survey| survey.restoration.as_ref().is_some_and(begins_cluster)));
    fleet.find(FleetHost::is_control_plane).or_else(begins).or_else(planned).unwrap_or(HostIndex(0))
}
