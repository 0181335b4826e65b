//! Has the programs of a host read their new certificates or settings: one after another, each only when the one before is well.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kbundle_format::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::place::{KUBELET_SERVER, Renewable};
use crate::failure::Advise;
use crate::host::{Command, Host};
use crate::inputs::Inputs;
use crate::kubeadm::run::API_READY_WITHIN;
use crate::kubeadm::{CRI_SOCKET, KUBELET_UNIT, manifest_path};
use crate::kubectl::Kubectl;
use crate::step_progress::StepProgress;
use crate::steps::etcd;
use crate::wait::{Look, until};

const CRICTL: &str = "/usr/local/bin/crictl";
/// An API server ends requests that are under way first.
const ENDS_WITHIN_SECONDS: u32 = 30;
/// How long the kubelet takes at most until it runs a container again: it waits ten seconds and more where that ended before.
const RUNS_WITHIN: Duration = Duration::from_mins(5);
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
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
        }
    }
}

/// Restarts the program and waits until it is well.
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
        Component::KubeApiserver | Component::KubeControllerManager | Component::KubeScheduler => {
            restart_static_pod(host, component.as_str(), progress)?;
            wait_until_well(host, inputs, component, progress)
        }
    }
}

/// Ends the pod's container. The kubelet starts it again at once, which is quicker than a new pod.
fn restart_static_pod(host: &Host, name: &str, progress: &dyn StepProgress) -> anyhow::Result<()> {
    let former = stop_containers(host, name)?;
    wait_for_new_container(host, name, &former, progress)
}

/// Has a static pod made again by `write`, which writes its manifest, and waits until it is well. Where the manifest stays as it was, the pod has
/// other files to read, and its container is restarted.
pub fn remake_static_pod(
    host: &Host,
    inputs: &Inputs<'_>,
    component: Component,
    progress: &dyn StepProgress,
    write: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (name, path) = (component.as_str(), manifest_path(component.as_str()));
    let (former, manifest) = (containers(host, name)?, host.read(&path)?);
    write()?;
    if host.read(&path)? == manifest {
        restart_static_pod(host, name, progress)?;
    } else {
        wait_for_new_container(host, name, &former, progress)?;
    }
    wait_until_well(host, inputs, component, progress)
}

fn wait_for_new_container(
    host: &Host,
    name: &str,
    former: &[String],
    progress: &dyn StepProgress,
) -> anyhow::Result<()> {
    until(progress, &format!("a new container of {name}"), RUNS_WITHIN, || {
        let now = containers(host, name)?;
        Ok(match now.iter().find(|id| !former.contains(id)) {
            Some(_) => Look::Ready(()),
            None => Look::NotYet("the kubelet has not started it yet".to_owned()),
        })
    })
    .context("`crictl ps -a` and `crictl logs` show its state")
}

/// Ends the containers of this name, and returns their ids. A kubelet that runs starts them again.
pub fn stop_containers(host: &Host, name: &str) -> anyhow::Result<Vec<String>> {
    let running = containers(host, name)?;
    if !running.is_empty() {
        let timeout = format!("--timeout={ENDS_WITHIN_SECONDS}");
        let stop = ["stop", timeout.as_str()].into_iter().chain(running.iter().map(String::as_str));
        host.run(&crictl(stop))?;
    }
    Ok(running)
}

fn crictl<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    Command::new(CRICTL, ["-r", CRI_SOCKET].into_iter().chain(arguments))
}

/// The containers that run by this name.
fn containers(host: &Host, name: &str) -> anyhow::Result<Vec<String>> {
    let label = format!("--label=io.kubernetes.container.name={name}");
    let listed = host.run(&crictl(["ps", "--quiet", "--state=running", &label]))?;
    Ok(listed.stdout.split_whitespace().map(str::to_owned).collect())
}

fn wait_until_well(
    host: &Host,
    inputs: &Inputs<'_>,
    component: Component,
    progress: &dyn StepProgress,
) -> anyhow::Result<()> {
    let (api, name) = (Kubectl::on(host), component.as_str());
    let server = format!("https://{}", SocketAddr::new(inputs.address(), inputs.spec.api.port));
    progress.detail(&format!("waiting for {name}"));
    until(progress, name, API_READY_WITHIN, || {
        if let Err(said) = api.readiness_at(&server)? {
            return Ok(Look::NotYet(said));
        }
        if component == Component::KubeApiserver {
            return Ok(Look::Ready(()));
        }
        let pod = format!("{name}-{}", inputs.node_name());
        let found = api.list(&[&format!("--server={server}"), "--namespace=kube-system", "pod", &pod])?;
        let running = containers(host, name)?;
        Ok(match found {
            Err(said) => Look::NotYet(said),
            Ok(pod) => readiness_of(&pod, &running),
        })
    })
}

/// Whether the API knows that the pod's container is the one that runs, and that it answers its probes.
fn readiness_of(pod: &serde_json::Value, running: &[String]) -> Look<()> {
    let container = &pod["status"]["containerStatuses"][0];
    let id = container["containerID"].as_str().unwrap_or_default();
    let is_this = running.iter().any(|one| id.ends_with(one.as_str()));
    match (is_this, container["ready"].as_bool()) {
        (true, Some(true)) => Look::Ready(()),
        (true, _) => Look::NotYet("it runs, and does not answer its probes yet".to_owned()),
        (false, _) => Look::NotYet("the kubelet has not reported its new container yet".to_owned()),
    }
}

/// The kubelet signs itself a certificate when it starts and has none.
fn restart_kubelet(host: &Host, progress: &dyn StepProgress) -> anyhow::Result<()> {
    host.run(&Command::new("systemctl", ["restart", KUBELET_UNIT]))?;
    until(progress, "the kubelet", KUBELET_WITHIN, || {
        let is_active = host.unit_state(KUBELET_UNIT)?.is_some_and(|state| state.active == "active");
        let is_up = is_active && host.exists(KUBELET_SERVER);
        Ok(if is_up { Look::Ready(()) } else { Look::NotYet("it has not started yet".to_owned()) })
    })
    .context("`journalctl -u kubelet` has its log")
}

/// Refuses to restart the member of etcd while that would take the majority from etcd.
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

/// Whether one of `all` members may restart while `healthy` of the others are. Of one or two, none can without an interruption.
fn may_restart(all: usize, healthy: usize) -> bool {
    all < 3 || healthy > all / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_member_restarts_only_while_the_others_are_a_majority() {
        assert!(may_restart(1, 0) && may_restart(2, 0) && may_restart(3, 2) && may_restart(5, 3));
        assert!(!may_restart(3, 1) && !may_restart(5, 2));
    }

    #[test]
    fn a_pod_is_well_when_the_container_that_runs_answers() {
        let of =
            |id: &str, ready: bool| json!({"status": {"containerStatuses": [{"containerID": id, "ready": ready}]}});
        let is_ready = |pod: &serde_json::Value| matches!(readiness_of(pod, &["b2".to_owned()]), Look::Ready(()));
        assert!(is_ready(&of("containerd://b2", true)));
        assert!(!is_ready(&of("containerd://b2", false)));
        assert!(!is_ready(&of("containerd://a1", true)), "it is the one before");
        assert!(!is_ready(&json!({})));
    }
}
