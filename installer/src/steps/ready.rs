//! Waits until the nodes are ready and the cluster's own pods run; if they do not, says why. The first control plane waits for all hosts
//! except the absent ones, a worker waits for itself.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use kbundle_format::Role;
use serde_json::Value;

use super::addon::text;
use super::workloads::{is_on, items, pod_unready, workload_unready};
use super::{Check, Context, Step, addons, load_balancer, needed, own_network, virtual_address};
use crate::inputs::Inputs;
use crate::kubeadm::STATIC_PODS;
use crate::kubectl::{Kubectl, ready_condition};
use crate::topology::Member;
use crate::wait::{Look, until};

/// Slow disks and two cores need about one minute. A kubelet that registers late reports its static pods a minute later.
const LIMIT: Duration = Duration::from_mins(5);
/// The namespace of the control plane, kube-proxy and CoreDNS.
const SYSTEM: &str = "kube-system";
/// The number of warnings to show when the time is over.
const SHOWN_EVENTS: usize = 8;

/// Waits until the node is ready and the system's pods run.
pub struct Ready;

impl Step for Ready {
    fn id(&self) -> &'static str {
        "ready"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        if let Some(setting) = own_network::left_to_the_site(inputs) {
            return format!(
                "wait until the kubelet of each node reports; nodes are not ready and pods wait until you bring the network ({setting})"
            );
        }
        if !inputs.leads() {
            return format!("wait until {} is ready", inputs.node_name());
        }
        let nodes = inputs.topology.members().iter().filter(|member| member.is_node()).count();
        let nodes = if nodes == 1 { "the node is".to_owned() } else { format!("all {nodes} nodes are") };
        format!("wait until {nodes} ready and the system's pods run")
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.leads() || is_worker(inputs)
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        match unready(context)?.first() {
            Some(reason) => needed(reason.clone()),
            None => Ok(Check::Done),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        until(context.progress, "the cluster", LIMIT, || {
            let reasons = unready(context)?;
            let Some(first) = reasons.first() else { return Ok(Look::Ready(())) };
            context.progress.detail(first);
            Ok(Look::NotYet(reasons.join("; ")))
        })
        .with_context(|| warnings(context))
    }
}

/// Whether it is a node and no control plane.
fn is_worker(inputs: &Inputs<'_>) -> bool {
    inputs.has(Role::Worker) && !inputs.has(Role::ControlPlane)
}

/// Everything that is not ready or differs from what kinstall writes, for people.
fn unready(context: &Context<'_>) -> anyhow::Result<Vec<String>> {
    let api = Kubectl::of(&context.host, context.topology.this());
    if let Err(said) = api.readiness()? {
        return Ok(vec![format!("the API server is not ready: {said}")]);
    }
    if is_worker(context) {
        return own_unready(context, &api, &context.node_name());
    }
    let nodes = api.nodes()?;
    let absent = &context.material.absent;
    let wanted = context.topology.members().iter().filter(|member| member.is_node() && !absent.contains(&member.name));
    let mut reasons: Vec<_> = wanted
        .filter_map(|member| match nodes.iter().find(|node| node["metadata"]["name"] == *member.name) {
            Some(node) if own_network::lacks_only_the_network(context, node) => None,
            Some(node) => node_unready(node),
            None => Some(format!("the cluster has no node {}", member.name)),
        })
        .collect();
    let mut namespaces = addons::namespaces(context)?;
    namespaces.extend([SYSTEM, "kube-flannel"].map(str::to_owned));
    for namespace in namespaces {
        let of = |kinds: &str| {
            Ok::<_, anyhow::Error>(items(api.get(&[kinds, &format!("--namespace={namespace}")])?.as_ref()))
        };
        let workloads = of("deployments,daemonsets")?;
        let (lost, pods): (Vec<_>, Vec<_>) = of("pods")?.into_iter().partition(|pod| is_on(pod, absent));
        let can_run = |object: &&Value| own_network::can_run(context, object);
        reasons.extend(workloads.iter().filter(can_run).filter_map(|workload| workload_unready(workload, &lost)));
        reasons.extend(pods.iter().filter(can_run).filter_map(pod_unready));
        if namespace == SYSTEM {
            reasons
                .extend(static_pods(context, absent).into_iter().filter_map(|name| static_pod_unknown(&name, &pods)));
        }
    }
    Ok(reasons)
}

/// The static pods of all hosts except the absent ones, with the API's names for pod and node.
fn static_pods(inputs: &Inputs<'_>, absent: &BTreeSet<String>) -> Vec<String> {
    let present = inputs.topology.members().iter().filter(|member| !absent.contains(&member.name));
    let of_member = |member: &Member| {
        let control_plane = STATIC_PODS.into_iter().filter(|_| member.has(Role::ControlPlane));
        let address = virtual_address::is_wanted_on(member, inputs).then_some(virtual_address::POD);
        let balancer = load_balancer::is_wanted_on(member, inputs).then_some(load_balancer::POD);
        let names: Vec<_> = control_plane.chain(address).chain(balancer).collect();
        names.into_iter().map(|pod| format!("{pod}-{}", member.name)).collect::<Vec<_>>()
    };
    present.flat_map(of_member).collect()
}

/// The message that the API does not list a static pod; `None` if it does. The kubelet reports the pod when its node is registered, or up
/// to a minute later.
fn static_pod_unknown(name: &str, pods: &[Value]) -> Option<String> {
    let is_listed = pods.iter().any(|pod| text(&pod["metadata"]["name"]) == name);
    (!is_listed).then(|| format!("pod {name} was not reported by its kubelet yet"))
}

/// Why the node called `name` is not ready, with the rights of its own kubelet.
fn own_unready(inputs: &Inputs<'_>, api: &Kubectl<'_>, name: &str) -> anyhow::Result<Vec<String>> {
    Ok(match api.get(&["node", name])? {
        Some(node) if own_network::lacks_only_the_network(inputs, &node) => Vec::new(),
        Some(node) => node_unready(&node).into_iter().collect(),
        None => vec![format!("the cluster has no node {name}")],
    })
}

/// Why a node is not ready, in the kubelet's words.
fn node_unready(node: &Value) -> Option<String> {
    let name = text(&node["metadata"]["name"]);
    match ready_condition(node) {
        Some(ready) if ready["status"] == "True" => None,
        Some(ready) => Some(format!("node {name} is not ready: {}", text(&ready["message"]))),
        None => Some(format!("node {name} has not reported yet")),
    }
}

/// The cluster's last warnings, for the error.
fn warnings(context: &Context<'_>) -> String {
    if is_worker(context) {
        // A kubelet may not read the events.
        return "the node did not become ready; `journalctl -u kubelet` may say more".to_owned();
    }
    let events = Kubectl::on(&context.host).get(&["events", "--all-namespaces", "--field-selector=type=Warning"]);
    let Ok(Some(list)) = events else {
        return "the cluster did not become ready, and its events cannot be read".to_owned();
    };
    let mut events = items(Some(&list));
    events.sort_by(|one, other| text(&one["lastTimestamp"]).cmp(text(&other["lastTimestamp"])));
    let last = &events[events.len().saturating_sub(SHOWN_EVENTS)..];
    if last.is_empty() {
        return "the cluster did not become ready; it has no warnings".to_owned();
    }
    let line = |event: &Value| {
        let object = &event["involvedObject"];
        format!("{} {}: {}", text(&object["kind"]), text(&object["name"]), text(&event["message"]).trim())
    };
    format!(
        "the cluster did not become ready; its last warnings:\n{}",
        last.iter().map(line).collect::<Vec<_>>().join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use serde_json::json;

    #[test]
    fn a_node_that_is_not_ready_says_why() {
        let node = |status: &str, message: &str| {
            let ready = json!({"type": "Ready", "status": status, "message": message});
            json!({"metadata": {"name": "n"}, "status": {"conditions": [ready]}})
        };
        assert_eq!(node_unready(&node("True", "posting")), None);
        assert_eq!(node_unready(&node("False", "cni plugin")).unwrap(), "node n is not ready: cni plugin");
        assert_eq!(node_unready(&json!({"metadata": {"name": "n"}})).unwrap(), "node n has not reported yet");
    }

    #[test]
    fn static_pods_of_all_hosts_but_the_absent_are_waited_for() {
        let cluster = fixture::Cluster::of_three_and_two();
        let absent = ["c3".to_owned(), "w2".to_owned()].into();
        let wanted = static_pods(&cluster.inputs(&cluster.seen_from("c1")), &absent);
        assert_eq!(
            wanted,
            [
                "kube-apiserver-c1",
                "kube-controller-manager-c1",
                "kube-scheduler-c1",
                "kube-apiserver-c2",
                "kube-controller-manager-c2",
                "kube-scheduler-c2",
                "haproxy-w1",
            ]
        );
        let listed = [json!({"metadata": {"name": "kube-apiserver-c1"}})];
        assert_eq!(static_pod_unknown("kube-apiserver-c1", &listed), None);
        assert!(static_pod_unknown("kube-apiserver-c2", &listed).unwrap().contains("kube-apiserver-c2"));
    }
}
