//! Waits until the nodes are ready and what belongs to the cluster runs; says why when it does not. The first control plane
//! waits for all, a worker for itself.

use std::time::Duration;

use anyhow::Context as _;
use kbundle_format::Role;
use serde_json::Value;

use super::{Check, Context, Inputs, Step, addons, needed};
use crate::kubectl::Kubectl;
use crate::wait::{Look, until};

/// Slow disks and two cores need about one minute.
const LIMIT: Duration = Duration::from_mins(5);
/// Warnings that are shown when time is up.
const SHOWN_EVENTS: usize = 8;

/// See the module.
pub struct Ready;

impl Step for Ready {
    fn id(&self) -> &'static str {
        "ready"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
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

/// Everything that is not as it should be, for people.
fn unready(context: &Context<'_>) -> anyhow::Result<Vec<String>> {
    let api = Kubectl::of(&context.host, context.topology.this());
    if let Err(said) = api.readiness()? {
        return Ok(vec![format!("the API server is not ready: {said}")]);
    }
    if is_worker(context) {
        return own_unready(&api, &context.node_name());
    }
    let nodes = items(api.get(&["nodes"])?.as_ref());
    let absent = &context.handed.absent;
    let wanted = context.topology.members().iter().filter(|member| member.is_node() && !absent.contains(&member.name));
    let mut reasons: Vec<_> = wanted
        .filter_map(|member| match nodes.iter().find(|node| node["metadata"]["name"] == *member.name) {
            Some(node) => node_unready(node),
            None => Some(format!("the cluster has no node {}", member.name)),
        })
        .collect();
    let mut namespaces = addons::namespaces(context)?;
    namespaces.extend(["kube-system", "kube-flannel"].map(str::to_owned));
    for namespace in namespaces {
        let of = |kinds: &str| api.get(&[kinds, &format!("--namespace={namespace}")]);
        reasons.extend(items(of("deployments,daemonsets")?.as_ref()).iter().filter_map(workload_unready));
        reasons.extend(items(of("pods")?.as_ref()).iter().filter_map(pod_unready));
    }
    Ok(reasons)
}

/// Why the node called `name` is not ready, as its own kubelet may know it.
fn own_unready(api: &Kubectl<'_>, name: &str) -> anyhow::Result<Vec<String>> {
    Ok(match api.get(&["node", name])? {
        Some(node) => node_unready(&node).into_iter().collect(),
        None => vec![format!("the cluster has no node {name}")],
    })
}

fn items(list: Option<&Value>) -> Vec<Value> {
    list.and_then(|list| list["items"].as_array().cloned()).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Why a node is not ready, in the kubelet's words.
fn node_unready(node: &Value) -> Option<String> {
    let conditions = node["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = text(&node["metadata"]["name"]);
    match conditions.iter().find(|condition| condition["type"] == "Ready") {
        Some(ready) if ready["status"] == "True" => None,
        Some(ready) => Some(format!("node {name} is not ready: {}", text(&ready["message"]))),
        None => Some(format!("node {name} has not reported yet")),
    }
}

/// Why a Deployment or `DaemonSet` is not rolled out.
fn workload_unready(object: &Value) -> Option<String> {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let status = &object["status"];
    let (wanted, ready) = match text(&object["kind"]) {
        "DaemonSet" => (number(&status["desiredNumberScheduled"]), number(&status["numberReady"])),
        _ => (number(&object["spec"]["replicas"]), number(&status["readyReplicas"])),
    };
    // Before its controller has looked at it for the first time, a DaemonSet wants nothing.
    let is_seen = number(&status["observedGeneration"]) >= number(&object["metadata"]["generation"]);
    let name = text(&object["metadata"]["name"]);
    (!is_seen || ready < wanted).then(|| format!("{name} has {ready} of {wanted} pods ready"))
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
        assert_eq!(workload_unready(&set(1, 1, 1)), None);
        assert_eq!(workload_unready(&set(1, 2, 1)).unwrap(), "kube-proxy has 1 of 2 pods ready");
        assert!(workload_unready(&set(0, 0, 0)).is_some());
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
