//! The hosts as they were found: gone to, and looked at. Nothing is changed there but that kinstall lies on them.

use kbundle_format::{Digest, KubeVersion, Role};

use super::policy::{Course, Fallen, Standing, course};
use super::shares::Shares;
use super::{Fleet, FleetHost, Means};
use crate::agent::protocol::Wanted;
use crate::config::{ClusterSpec, HostSpec};
use crate::failure::Advise;
use crate::preflight::CheckId;
use crate::stage::Stage;

/// See the module.
pub(super) struct Visit<'a> {
    pub(super) spec: &'a ClusterSpec,
    /// Preflight checks whose rejection counts for nothing.
    pub(super) ignored: &'a [CheckId],
    /// The version that is to be installed, where a bundle says it.
    pub(super) kubernetes: Option<KubeVersion>,
    pub(super) fleet: Fleet<'a>,
    pub(super) shares: Shares,
    /// The number of the host that acts for the whole cluster.
    pub(super) first: usize,
    pub(super) standing: Standing,
}

/// What hosts are gone to for.
#[derive(Clone, Copy)]
pub(super) struct Goal {
    /// The version that is to be installed, where it is known.
    pub(super) kubernetes: Option<KubeVersion>,
    /// The list of the bundle that they may hold already.
    pub(super) list: Option<Digest>,
}

/// Looks whether the hosts can carry the cluster, by themselves and together; Kubernetes `kubernetes`, where it is known which. `begun` is told the fleet before anything is connected
/// to.
///
/// # Errors
/// When they cannot, or a host could not be reached.
pub fn preflight(
    spec: &ClusterSpec,
    ignored: &[CheckId],
    kubernetes: Option<KubeVersion>,
    means: &Means,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut visit = Visit::begin(spec, ignored, Goal { kubernetes, list: None }, means, begun)?;
    let examined = visit.decide();
    visit.fleet.withdraw();
    examined?;
    visit.fleet.summary(None)?;
    visit.fleet.console.result(&format!("{} hosts can carry the cluster\n", visit.fleet.hosts.len()));
    Ok(())
}

impl<'a> Visit<'a> {
    /// Goes to all hosts of `spec`.
    pub(super) fn begin(
        spec: &'a ClusterSpec,
        ignored: &'a [CheckId],
        goal: Goal,
        means: &Means,
        begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let mut fleet = Fleet::new(spec, spec.hosts.iter().collect(), means)?;
        begun(&fleet)?;
        let Goal { kubernetes, list } = goal;
        let wanted = |host: &HostSpec| Wanted { roles: host.roles.iter().copied().collect(), list };
        fleet.connect(spec, means.password.as_ref(), wanted)?;
        let standing = standing(&fleet.hosts);
        let first = first(&fleet.hosts);
        let shares = Shares::led_by(spec, fleet.hosts[first].spec);
        Ok(Self { spec, ignored, kubernetes, fleet, shares, first, standing })
    }

    /// Refuses hosts that no cluster comes of.
    pub(super) fn decide(&mut self) -> anyhow::Result<()> {
        self.refuse_stopped(Stage::Connect)?;
        self.examine()?;
        self.refuse_stopped(Stage::Preflight)
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
