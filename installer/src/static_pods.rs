//! kubeadm's static pods of a control plane: restarts one, or makes it again from a new manifest, and waits for it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::host::{Command, Host};
use crate::inputs::Inputs;
use crate::kubeadm::run::API_READY_WITHIN;
use crate::kubeadm::{CRI_SOCKET, manifest_path};
use crate::kubectl::Kubectl;
use crate::step_progress::StepProgress;
use crate::wait::{Look, until};

const CRICTL: &str = "/usr/local/bin/crictl";
/// An API server first ends the requests that are under way.
const ENDS_WITHIN_SECONDS: u32 = 30;
/// The longest time until the kubelet runs a container again: it waits ten seconds or more if that container ended before.
const RUNS_WITHIN: Duration = Duration::from_mins(5);

/// A static pod of kubeadm, in the order in which they are restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StaticPod {
    /// The API server.
    KubeApiserver,
    /// The controller manager.
    KubeControllerManager,
    /// The scheduler.
    KubeScheduler,
}

impl StaticPod {
    /// The name of its manifest and of its container.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
        }
    }
}

/// Restarts the program and waits until it is healthy.
pub fn restart(host: &Host, inputs: &Inputs<'_>, pod: StaticPod, progress: &dyn StepProgress) -> anyhow::Result<()> {
    restart_container(host, pod, progress)?;
    wait_until_well(host, inputs, pod, progress)
}

/// Ends the pod's container. The kubelet starts it again at once, which is faster than a new pod.
fn restart_container(host: &Host, pod: StaticPod, progress: &dyn StepProgress) -> anyhow::Result<()> {
    let former = stop_containers(host, pod.as_str())?;
    wait_for_new_container(host, pod, &former, progress)
}

/// Makes a static pod again, after `write` has written its manifest, and waits until it is healthy. If the manifest did not change, the pod
/// has other files to read, and its container is restarted.
pub fn remake(
    host: &Host,
    inputs: &Inputs<'_>,
    pod: StaticPod,
    progress: &dyn StepProgress,
    write: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (name, path) = (pod.as_str(), manifest_path(pod.as_str()));
    let (former, manifest) = (containers(host, name)?, host.read(&path)?);
    write()?;
    if host.read(&path)? == manifest {
        restart_container(host, pod, progress)?;
    } else {
        wait_for_new_container(host, pod, &former, progress)?;
    }
    wait_until_well(host, inputs, pod, progress)
}

fn wait_for_new_container(
    host: &Host,
    pod: StaticPod,
    former: &[String],
    progress: &dyn StepProgress,
) -> anyhow::Result<()> {
    let name = pod.as_str();
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

/// The running containers of this name.
fn containers(host: &Host, name: &str) -> anyhow::Result<Vec<String>> {
    let label = format!("--label=io.kubernetes.container.name={name}");
    let listed = host.run(&crictl(["ps", "--quiet", "--state=running", &label]))?;
    Ok(listed.stdout.split_whitespace().map(str::to_owned).collect())
}

/// Waits until the pod does its work.
pub fn wait_until_well(
    host: &Host,
    inputs: &Inputs<'_>,
    pod: StaticPod,
    progress: &dyn StepProgress,
) -> anyhow::Result<()> {
    let (api, name) = (Kubectl::on(host), pod.as_str());
    let server = format!("https://{}", SocketAddr::new(inputs.address(), inputs.spec.api.port));
    progress.detail(&format!("waiting for {name}"));
    until(progress, name, API_READY_WITHIN, || {
        if let Err(said) = api.readiness_at(&server)? {
            return Ok(Look::NotYet(said));
        }
        if pod == StaticPod::KubeApiserver {
            return Ok(Look::Ready(()));
        }
        let node_pod = format!("{name}-{}", inputs.node_name());
        let found = api.list(&[&format!("--server={server}"), "--namespace=kube-system", "pod", &node_pod])?;
        let running = containers(host, name)?;
        Ok(match found {
            Err(said) => Look::NotYet(said),
            Ok(pod) => readiness_of(&pod, &running),
        })
    })
}

/// Whether the API has seen that the pod's container is the running one and that it answers its probes.
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
