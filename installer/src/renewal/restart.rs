//! Makes the programs of a host read their new certificates or settings: one program after another, each only when the one before is
//! healthy.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kbundle_format::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::certificates::Renewable;
use crate::certificates::place::KUBELET_SERVER;
use crate::failure::Advise;
use crate::host::{Command, Host};
use crate::inputs::Inputs;
use crate::kubeadm::KUBELET_UNIT;
use crate::static_pods::{self, StaticPod};
use crate::step_progress::StepProgress;
use crate::steps::etcd;
use crate::wait::{Look, until};

/// How long the kubelet takes to start.
const KUBELET_WITHIN: Duration = Duration::from_mins(1);

/// A program that reads certificates when it starts, in the order in which they are restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// The member of etcd.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The controller manager.
    KubeControllerManager,
    /// The scheduler.
    KubeScheduler,
    /// The kubelet.
    Kubelet,
}

impl Component {
    /// The program that uses a certificate; none for kubeconfigs of people.
    #[must_use]
    pub fn using(name: Renewable) -> Option<Self> {
        match name {
            Renewable::EtcdServer | Renewable::EtcdPeer => Some(Self::Etcd),
            Renewable::ApiserverEtcdClient
            | Renewable::Apiserver
            | Renewable::ApiserverKubeletClient
            | Renewable::FrontProxyClient => Some(Self::KubeApiserver),
            Renewable::AdminConf | Renewable::SuperAdminConf => None,
            Renewable::ControllerManagerConf => Some(Self::KubeControllerManager),
            Renewable::SchedulerConf => Some(Self::KubeScheduler),
            Renewable::KubeletServer => Some(Self::Kubelet),
        }
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => StaticPod::KubeApiserver.as_str(),
            Self::KubeControllerManager => StaticPod::KubeControllerManager.as_str(),
            Self::KubeScheduler => StaticPod::KubeScheduler.as_str(),
            Self::Kubelet => "kubelet",
        }
    }
}

/// Restarts the program and waits until it is healthy.
pub fn restart(
    host: &mut Host,
    inputs: &Inputs<'_>,
    component: Component,
    progress: &dyn StepProgress,
) -> anyhow::Result<()> {
    progress.detail(&format!("restarting {}", component.as_str()));
    match component {
        Component::Etcd => {
            host.restart_unit(etcd::layout::UNIT).context("`journalctl -u etcd` has its log")?;
            etcd::wait_until_healthy(progress, host, inputs.address())
        }
        Component::Kubelet => restart_kubelet(host, progress),
        Component::KubeApiserver => static_pods::restart(host, inputs, StaticPod::KubeApiserver, progress),
        Component::KubeControllerManager => {
            static_pods::restart(host, inputs, StaticPod::KubeControllerManager, progress)
        }
        Component::KubeScheduler => static_pods::restart(host, inputs, StaticPod::KubeScheduler, progress),
    }
}

/// A kubelet that starts without a certificate signs one for itself.
fn restart_kubelet(host: &Host, progress: &dyn StepProgress) -> anyhow::Result<()> {
    host.run(&Command::new("systemctl", ["restart", KUBELET_UNIT]))?;
    until(progress, "the kubelet", KUBELET_WITHIN, || {
        let is_active = host.unit_state(KUBELET_UNIT)?.is_some_and(|state| state.active == "active");
        let is_up = is_active && host.exists(KUBELET_SERVER);
        Ok(if is_up { Look::Ready(()) } else { Look::NotYet("it has not started yet".to_owned()) })
    })
    .context("`journalctl -u kubelet` has its log")
}

/// Refuses to restart the member of etcd if etcd would lose its majority.
pub fn refuse_loss_of_majority(host: &Host, inputs: &Inputs<'_>) -> anyhow::Result<()> {
    let all: Vec<_> = inputs.topology.with(Role::Etcd).map(|member| member.address).collect();
    let mut healthy = 0;
    for &address in all.iter().filter(|address| **address != inputs.address()) {
        healthy += usize::from(etcd::illness(host, address)?.is_none());
    }
    if may_restart(all.len(), healthy) {
        return Ok(());
    }
    Err(anyhow!(
        "etcd would lose its majority while its member on this host restarts: of {} others, {healthy} are healthy",
        all.len() - 1
    ))
    .hint("bring the other members up first; `kinstall status` and `journalctl -u etcd` there say more")
}

/// Whether one of `all` members may restart while `healthy` of the others are healthy. With one or two members, no restart is without an
/// interruption.
fn may_restart(all: usize, healthy: usize) -> bool {
    all < 3 || healthy > all / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_restarts_only_while_the_others_are_a_majority() {
        assert!(may_restart(1, 0) && may_restart(2, 0) && may_restart(3, 2) && may_restart(5, 3));
        assert!(!may_restart(3, 1) && !may_restart(5, 2));
    }
}
