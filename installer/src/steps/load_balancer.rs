//! The node-local load balancer: `HAProxy` as a static pod on every worker, so that workers survive the loss of a control plane. Control
//! planes use their own API server first and need none. Workers of a single control plane need none either if the bundle does not have it.

use std::time::Duration;

use anyhow::Context as _;
use kbundle_cluster::needs::LOAD_BALANCER_IMAGE;
use kbundle_format::{Digest, Role};

use super::{Check, Context, Step, needed};
use crate::haproxy;
use crate::inputs::Inputs;
use crate::kubeadm::images::image_called;
use crate::kubeadm::{self, MANIFESTS};
use crate::kubectl::{KUBELET_KUBECONFIG, Kubectl};
use crate::template::render;
use crate::topology::Member;
use crate::wait::{Look, until};

/// The name of its static pod.
pub const POD: &str = LOAD_BALANCER_IMAGE;
const CONFIG_PATH: &str = "/etc/kubernetes/haproxy.cfg";
const HEALTH_PORT: u16 = 6444;
/// The kubelet starts a new static pod within seconds.
const READY_WITHIN: Duration = Duration::from_mins(2);

/// Runs HAProxy on a worker.
pub struct LoadBalancer;

impl Step for LoadBalancer {
    fn id(&self) -> &'static str {
        "load-balancer"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let whom = match inputs.topology.with(Role::ControlPlane).count() {
            1 => "the control plane".to_owned(),
            count => format!("the {count} control planes"),
        };
        format!("reach {whom} through HAProxy on this host")
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        is_wanted(inputs)
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        for (path, content) in files(context)? {
            if !context.host.has_file(&path, content.as_bytes(), 0o644)? {
                return needed(format!("{path} differs from what kinstall writes"));
            }
        }
        match readiness(context)? {
            Some(Err(said)) => needed(format!("it does not reach an API server: {said}")),
            // Before the host has joined, no kubelet can start it.
            None | Some(Ok(())) => Ok(Check::Done),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let files = files(context)?;
        context.host.claim_tree(kubeadm::DIRECTORY)?;
        for (path, content) in files {
            context.host.write_file(&path, content.as_bytes(), 0o644)?;
        }
        wait(context)
    }
}

/// Whether this host reaches the API through its own load balancer.
#[must_use]
pub fn is_wanted(inputs: &Inputs<'_>) -> bool {
    is_wanted_on(inputs.topology.this(), inputs)
}

/// Whether `member` does.
pub(super) fn is_wanted_on(member: &Member, inputs: &Inputs<'_>) -> bool {
    inputs.profile_of(member).has_load_balancer(inputs.spec, || image_called(POD, inputs).is_some())
}

/// Waits until an API server answers through it, on a host that has joined.
pub fn wait(context: &Context<'_>) -> anyhow::Result<()> {
    context.progress.detail("waiting for the node-local load balancer");
    until(context.progress, "an answer of the API through HAProxy on this host", READY_WITHIN, || {
        Ok(match readiness(context)? {
            None | Some(Ok(())) => Look::Ready(()),
            Some(Err(said)) => Look::NotYet(said),
        })
    })
    .context("`crictl ps -a` and `crictl logs` show the state of the pod haproxy")
}

/// An API server's answer through the load balancer; `None` on a host that has not joined.
fn readiness(context: &Context<'_>) -> anyhow::Result<Option<Result<(), String>>> {
    if !context.host.exists(KUBELET_KUBECONFIG) {
        return Ok(None);
    }
    let server = format!("https://127.0.0.1:{}", context.spec.api.port);
    Kubectl::as_kubelet(&context.host).readiness_at(&server).map(Some)
}

fn files(inputs: &Inputs<'_>) -> anyhow::Result<[(String, String); 2]> {
    let image = image_called(POD, inputs).context("the bundle has no haproxy image for this platform")?;
    let configuration = haproxy::node_local(inputs.spec, HEALTH_PORT);
    let pod = render(
        include_str!("../../../manifests/templates/haproxy-pod.yaml"),
        &[
            ("digest", &Digest::of(configuration.as_bytes()).hex()),
            ("image", &image),
            ("config", CONFIG_PATH),
            ("health_port", &HEALTH_PORT.to_string()),
        ],
    );
    Ok([(CONFIG_PATH.to_owned(), configuration), (format!("{MANIFESTS}/{POD}.yaml"), pod)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn every_control_plane_is_asked() {
        let cluster = fixture::Cluster::of_three_and_two();
        let text = files(&cluster.inputs(&cluster.seen_from("w1"))).unwrap()[0].1.clone();
        let servers: Vec<_> = text.lines().filter(|line| line.trim().starts_with("server ")).collect();
        insta::assert_snapshot!(servers.join("\n"), @"
            server c1 192.0.2.1:6443
            server c2 192.0.2.2:6443
            server c3 192.0.2.3:6443
        ");
        assert!(
            is_wanted(&cluster.inputs(&cluster.seen_from("w2")))
                && !is_wanted(&cluster.inputs(&cluster.seen_from("c2")))
        );
    }

    #[test]
    fn a_single_control_plane_needs_none() {
        let mut cluster = fixture::Cluster::of_three_and_two();
        let wanted = |cluster: &fixture::Cluster| is_wanted(&cluster.inputs(&cluster.seen_from("w1")));
        cluster.list.images.retain(|image| image.reference.short_name() != POD);
        assert!(wanted(&cluster), "so that the plan is refused");
        cluster.spec.hosts.retain(|host| !["c2", "c3"].contains(&host.name.as_str()));
        assert!(!wanted(&cluster));
        let with_image = fixture::Cluster { spec: cluster.spec, ..fixture::Cluster::of_three_and_two() };
        assert!(wanted(&with_image), "more of them may come");
    }

    #[test]
    fn another_configuration_makes_another_pod() {
        let mut cluster = fixture::Cluster::of_three_and_two();
        let pod = |cluster: &fixture::Cluster| files(&cluster.inputs(&cluster.seen_from("w1"))).unwrap()[1].1.clone();
        let before = pod(&cluster);
        let parsed: serde_json::Value = serde_yaml::from_str(&before).unwrap();
        assert_eq!(parsed["spec"]["containers"][0]["image"], "docker.io/library/haproxy:2.6.12");
        cluster.spec.hosts.remove(0);
        assert_ne!(pod(&cluster), before);
    }
}
