//! Whether workloads and their pods run, by their status in the API.

use std::collections::BTreeSet;

use serde_json::Value;

use super::addon::text;
use crate::kubectl::is_ready;

/// Whether a pod is bound to one of these nodes.
pub(super) fn is_on(pod: &Value, nodes: &BTreeSet<String>) -> bool {
    nodes.contains(text(&pod["spec"]["nodeName"]))
}

/// The items of a list from the API; empty if there is no list.
pub(super) fn items(list: Option<&Value>) -> Vec<Value> {
    list.and_then(|list| list["items"].as_array().cloned()).unwrap_or_default()
}

/// Why a Deployment or `DaemonSet` is not rolled out. Its pods among `lost` are on absent hosts, and are subtracted from both the wanted
/// and the ready pods: the controller's counts change only minutes after a host went.
pub(super) fn workload_unready(object: &Value, lost: &[Value]) -> Option<String> {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let status = &object["status"];
    let (wanted, ready) = match text(&object["kind"]) {
        "DaemonSet" => (number(&status["desiredNumberScheduled"]), number(&status["numberReady"])),
        _ => (number(&object["spec"]["replicas"]), number(&status["readyReplicas"])),
    };
    // A pod that is being deleted is replaced by another one, which is wanted.
    let lost: Vec<_> =
        lost.iter().filter(|pod| owns(object, pod) && pod["metadata"]["deletionTimestamp"].is_null()).collect();
    let lost_ready = lost.iter().filter(|pod| is_ready(pod)).count() as u64;
    let (wanted, ready) = (wanted.saturating_sub(lost.len() as u64), ready.saturating_sub(lost_ready));
    // Before its controller has seen it for the first time, a DaemonSet wants no pods.
    let is_seen = number(&status["observedGeneration"]) >= number(&object["metadata"]["generation"]);
    let name = text(&object["metadata"]["name"]);
    (!is_seen || ready < wanted).then(|| format!("{name} has {ready} of {wanted} pods ready"))
}

/// Whether a pod belongs to a Deployment or `DaemonSet`. A Deployment has its pods through a `ReplicaSet`, whose name ends with the hash in
/// the pods' label.
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

/// Why a pod does not run. Running is enough here; its workload says whether enough pods are ready.
pub(super) fn pod_unready(pod: &Value) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        // The host has just gone, and its pod still counts as ready.
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
        // The pod is being moved elsewhere, and the one in its place has to run.
        let mut leaving = lost;
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(workload_unready(&deployment, &[leaving]).unwrap(), "coredns has 1 of 2 pods ready");
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
