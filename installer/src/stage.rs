//! The phases of the work on one host, and the stages of the work on many.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of the work on a host: each step of a plan belongs to one. With several hosts, each ends on all of them before the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Whatever needs no other host.
    Prepare,
    /// The members of etcd.
    Etcd,
    /// The API server and its companions: the first host's, and then the others'.
    ControlPlane,
    /// Hosts that only run pods join; those that joined before get what their own pods need.
    Worker,
    /// The pod network.
    Network,
    /// What needs a cluster that runs.
    Finish,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Prepare, Self::Etcd, Self::ControlPlane, Self::Worker, Self::Network, Self::Finish];
}

/// A part of the work on many hosts. Each ends on all of them before the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Connecting, installing kinstall on the host, and collecting facts about it.
    Connect,
    /// Checking that the hosts are fit for the cluster.
    Preflight,
    /// Sending each host its part of the bundle.
    Bundle,
    /// Unpacking the programs and loading the images of another version, before anything that runs is changed.
    Preload,
    /// Saving etcd before anything that runs is changed.
    Snapshot,
    /// Everything that a host does without the others.
    Prepare,
    /// The members of etcd.
    Etcd,
    /// The first control plane, which creates the cluster.
    FirstControlPlane,
    /// The other control planes.
    ControlPlanes,
    /// The site's own load balancer, before hosts join through it.
    LoadBalancer,
    /// Hosts that only run pods.
    Workers,
    /// The network between pods.
    Network,
    /// Everything that needs a running cluster.
    Finish,
    /// Removing hosts from the cluster.
    Remove,
    /// Looking at certificates, and renewing them.
    Certificates,
    /// Collecting what is needed to find a fault.
    Support,
    /// Taking hosts back from an upgrade that is not finished.
    Rollback,
    /// Starting etcd from one member after most are lost.
    Recovery,
    /// Comparing hosts with the bundle that they were set up from.
    Audit,
    /// Asking hosts how they are.
    Status,
}

impl Stage {
    /// The stages of an installation that change hosts, in order.
    pub const INSTALLATION: [Self; 9] = [
        Self::Bundle,
        Self::Prepare,
        Self::Etcd,
        Self::FirstControlPlane,
        Self::ControlPlanes,
        Self::LoadBalancer,
        Self::Workers,
        Self::Network,
        Self::Finish,
    ];

    /// The stages of an upgrade that change hosts, in order.
    pub const UPGRADE: [Self; 9] = [
        Self::Bundle,
        Self::Preload,
        Self::Snapshot,
        Self::Etcd,
        Self::FirstControlPlane,
        Self::ControlPlanes,
        Self::Workers,
        Self::Network,
        Self::Finish,
    ];

    /// The phase of the plan that hosts go through in this stage; `None` where it is not part of a host's plan.
    #[must_use]
    pub fn phase(self) -> Option<Phase> {
        match self {
            Self::Prepare => Some(Phase::Prepare),
            Self::Etcd => Some(Phase::Etcd),
            Self::FirstControlPlane | Self::ControlPlanes => Some(Phase::ControlPlane),
            Self::Workers => Some(Phase::Worker),
            Self::Network => Some(Phase::Network),
            Self::Finish => Some(Phase::Finish),
            Self::Connect
            | Self::Preflight
            | Self::Bundle
            | Self::Preload
            | Self::Snapshot
            | Self::LoadBalancer
            | Self::Remove
            | Self::Certificates
            | Self::Support
            | Self::Rollback
            | Self::Recovery
            | Self::Audit
            | Self::Status => None,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Preflight => "preflight",
            Self::Bundle => "bundle",
            Self::Preload => "preload",
            Self::Snapshot => "snapshot",
            Self::Prepare => "prepare",
            Self::Etcd => "etcd",
            Self::FirstControlPlane => "first control plane",
            Self::ControlPlanes => "other control planes",
            Self::LoadBalancer => "load balancer",
            Self::Workers => "workers",
            Self::Network => "network",
            Self::Finish => "finish",
            Self::Remove => "remove",
            Self::Certificates => "certificates",
            Self::Support => "support",
            Self::Rollback => "rollback",
            Self::Recovery => "recovery",
            Self::Audit => "audit",
            Self::Status => "status",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_of_an_installation_go_through_every_phase_in_order() {
        let mut phases: Vec<_> = Stage::INSTALLATION.into_iter().filter_map(Stage::phase).collect();
        phases.dedup();
        assert_eq!(phases, Phase::ALL);
        assert!(Stage::INSTALLATION.is_sorted() && Stage::UPGRADE.is_sorted());
    }
}
