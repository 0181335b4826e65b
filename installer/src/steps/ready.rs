//! Waits until the nodes are ready and what belongs to the cluster runs; says why when it does not. The first control plane
//! waits for all but the hosts that are absent, a worker for itself.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use kbundle_format::Role;
use serde_json::Value;

use super::{Check, Context, Step, addons, load_balancer, needed, own_network, virtual_address};
use crate::inputs::Inputs;
use crate::kubeadm::STATIC_PODS;
use crate::kubectl::{Kubectl, is_ready, ready_condition};
use crate::topology::Member;
use crate::wait::{Look, until};

/// Slow disks and two cores need about one minute, and a kubelet that registered late tells of its static pods a minute later.
const LIMIT: Duration = Duration::from_mins(5);
/// The namespace of the control plane, kube-proxy and CoreDNS.
const SYSTEM: &str = "kube-system";
/// Warnings that are shown when time is up.
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

/// Everything that differs from what kinstall writes, for people.
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

/// The static pods that the hosts have which are not absent, as the API names them: pod and node.
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

/// That the API does not list a static pod. Its kubelet tells of it when the node is registered, or up to a minute later.
fn static_pod_unknown(name: &str, pods: &[Value]) -> Option<String> {
    let is_listed = pods.iter().any(|pod| text(&pod["metadata"]["name"]) == name);
    (!is_listed).then(|| format!("pod {name} was not reported by its kubelet yet"))
}

/// Whether a pod is bound to one of these nodes.
pub(super) fn is_on(pod: &Value, nodes: &BTreeSet<String>) -> bool {
    nodes.contains(text(&pod["spec"]["nodeName"]))
}

/// Why the node called `name` is not ready, as its own kubelet may know it.
fn own_unready(inputs: &Inputs<'_>, api: &Kubectl<'_>, name: &str) -> anyhow::Result<Vec<String>> {
    Ok(match api.get(&["node", name])? {
        Some(node) if own_network::lacks_only_the_network(inputs, &node) => Vec::new(),
        Some(node) => node_unready(&node).into_iter().collect(),
        None => vec![format!("the cluster has no node {name}")],
    })
}

pub(super) fn items(list: Option<&Value>) -> Vec<Value> {
    list.and_then(|list| list["items"].as_array().cloned()).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
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

/// Why a Deployment or `DaemonSet` is not rolled out, its pods among `lost` left out on either side: they are on hosts that are
/// absent. What the controller counts of them changes only minutes after a host went.
pub(super) fn workload_unready(object: &Value, lost: &[Value]) -> Option<String> {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let status = &object["status"];
    let (wanted, ready) = match text(&object["kind"]) {
        "DaemonSet" => (number(&status["desiredNumberScheduled"]), number(&status["numberReady"])),
        _ => (number(&object["spec"]["replicas"]), number(&status["readyReplicas"])),
    };
    // Another pod is wanted in the place of one that is being deleted.
    let lost: Vec<_> =
        lost.iter().filter(|pod| owns(object, pod) && pod["metadata"]["deletionTimestamp"].is_null()).collect();
    let lost_ready = lost.iter().filter(|pod| is_ready(pod)).count() as u64;
    let (wanted, ready) = (wanted.saturating_sub(lost.len() as u64), ready.saturating_sub(lost_ready));
    // Before its controller has looked at it for the first time, a DaemonSet wants nothing.
    let is_seen = number(&status["observedGeneration"]) >= number(&object["metadata"]["generation"]);
    let name = text(&object["metadata"]["name"]);
    (!is_seen || ready < wanted).then(|| format!("{name} has {ready} of {wanted} pods ready"))
}

/// Whether a pod is one of a Deployment's or `DaemonSet`'s. A Deployment has them by a `ReplicaSet` that is named by the hash which
/// the pod has as a label.
fn owns(workload: &Value, pod: &Value) -> bool {
    let (owner, name) = (&pod["metadata"]["ownerReferences"][0], text(&workload["metadata"]["name"]));
    match text(&owner["kind"]) {
        "DaemonSet" => workload["kind"] == "DaemonSet" && owner["name"] == name,
        "ReplicaSet" => {
            let hash = text(&pod["metadata"]["labels"]["pod-template-hash"]);
            workload["kind"] == "Deployment" && text(&owner["name"]) == format!("{name}-{hash}")
        }
        _ => false,
    }
}

/// Why a pod does not run. That it runs is enough here; whether enough of them are ready, their workload says.
fn pod_unready(pod: &Value) -> Option<String> {
    let name = text(&pod["metadata"]["name"]);
    let phase = text(&pod["status"]["phase"]);
    let containers = pod["status"]["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let waiting = containers.iter().map(|container| &container["state"]["waiting"]).find(|waiting| waiting.is_object());
    match (phase, waiting) {
        ("Running" | "Succeeded", None) => None,
        (_, Some(waiting)) => Some(format!("pod {name}: {} {}", text(&waiting["reason"]), text(&waiting["message"]))),
        (phase, None) => Some(format!("pod {name} is {phase}")),
    }
}

/// The cluster's last warnings, for the error.
fn warnings(context: &Context<'_>) -> String {
    if is_worker(context) {
        // Which its kubelet may not read.
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
    fn workloads_count_when_their_controller_has_seen_them() {
        let set = |observed: u64, wanted: u64, ready: u64| {
            json!({"kind": "DaemonSet", "metadata": {"name": "kube-proxy", "generation": 1},
                "status": {"observedGeneration": observed, "desiredNumberScheduled": wanted, "numberReady": ready}})
        };
        assert_eq!(workload_unready(&set(1, 1, 1), &[]), None);
        assert_eq!(workload_unready(&set(1, 2, 1), &[]).unwrap(), "kube-proxy has 1 of 2 pods ready");
        assert!(workload_unready(&set(0, 0, 0), &[]).is_some());
    }

    fn pod(owner: (&str, &str), ready: &str) -> Value {
        let references = json!([{"kind": owner.0, "name": owner.1}]);
        json!({"metadata": {"name": "p", "ownerReferences": references, "labels": {"pod-template-hash": "5d8"}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}})
    }

    #[test]
    fn pods_of_absent_hosts_count_for_nothing() {
        let set = |wanted: u64, ready: u64| {
            json!({"kind": "DaemonSet", "metadata": {"name": "kube-proxy"},
                "status": {"desiredNumberScheduled": wanted, "numberReady": ready}})
        };
        let of_proxy = |ready| pod(("DaemonSet", "kube-proxy"), ready);
        assert_eq!(workload_unready(&set(2, 1), &[of_proxy("False")]), None);
        // Its host went just now, and counts as ready still.
        let said = workload_unready(&set(3, 2), &[of_proxy("True")]);
        assert_eq!(said.unwrap(), "kube-proxy has 1 of 2 pods ready");
        assert!(workload_unready(&set(2, 1), &[pod(("DaemonSet", "other"), "False")]).is_some());
    }

    #[test]
    fn a_deployment_is_judged_by_the_pods_that_are_left() {
        let deployment = json!({"kind": "Deployment", "metadata": {"name": "coredns"},
            "spec": {"replicas": 2}, "status": {"readyReplicas": 1}});
        let lost = pod(("ReplicaSet", "coredns-5d8"), "False");
        assert_eq!(workload_unready(&deployment, std::slice::from_ref(&lost)), None);
        assert!(workload_unready(&deployment, &[pod(("ReplicaSet", "coredns-extra-5d8"), "False")]).is_some());
        // It is being moved elsewhere, and the one in its place has to run.
        let mut leaving = lost;
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(workload_unready(&deployment, &[leaving]).unwrap(), "coredns has 1 of 2 pods ready");
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

    #[test]
    fn a_pod_that_waits_says_for_what() {
        let state = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
        let pod =
            json!({"metadata": {"name": "p"}, "status": {"phase": "Running", "containerStatuses": [{"state": state}]}});
        assert_eq!(pod_unready(&pod).unwrap(), "pod p: CrashLoopBackOff back-off 10s");
        assert_eq!(
            pod_unready(&json!({"metadata": {"name": "p"}, "status": {"phase": "Pending"}})).unwrap(),
            "pod p is Pending"
        );
        assert_eq!(pod_unready(&json!({"metadata": {"name": "p"}, "status": {"phase": "Running"}})), None);
    }
}
