//! What the cluster reports about itself before it is upgraded.

use anyhow::anyhow;
use kbundle_format::KubeVersion;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api_use::ApiUse;
use crate::failure::Advise;
use crate::host::Host;
use crate::kubectl::{Kubectl, is_ready};

/// What the cluster reports about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    /// Why the API server is not ready. Everything else is unknown then.
    pub silence: Option<String>,
    /// The nodes.
    pub nodes: Vec<NodeState>,
    /// APIs that Kubernetes removes, and their users.
    #[serde(flatten)]
    pub apis: ApiUse,
}

/// A node before an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Whether it reports that it is ready.
    pub is_ready: bool,
    /// Its kubelet's version; absent if the kubelet does not report one.
    pub kubelet: Option<KubeVersion>,
    /// Its pods that no controller would create again elsewhere, as `namespace/name`.
    pub lone_pods: Vec<String>,
}

impl ClusterState {
    /// Asks the API server of this host, which is a control plane, before an upgrade to Kubernetes `to`.
    pub fn read(host: &Host, to: KubeVersion) -> anyhow::Result<Self> {
        let api = Kubectl::on(host);
        if let Err(said) = api.readiness()? {
            return Ok(Self { silence: Some(said), ..Self::default() });
        }
        let pods = api.get(&["pods", "--all-namespaces"])?.unwrap_or_default();
        let pods = pods["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let nodes = api.nodes()?.iter().map(|node| NodeState::of(node, pods)).collect();
        Ok(Self { silence: None, nodes, apis: ApiUse::read(&api, to)? })
    }

    /// Why the cluster is not healthy; `None` if it is.
    fn illness(&self) -> Option<String> {
        if let Some(said) = &self.silence {
            return Some(format!("the API server is not ready: {said}"));
        }
        self.nodes.iter().find(|node| !node.is_ready).map(|node| format!("node {} is not ready", node.name))
    }

    /// Refuses to upgrade a cluster that is not healthy.
    pub fn refuse_ill(&self) -> anyhow::Result<()> {
        let Some(illness) = self.illness() else { return Ok(()) };
        Err(anyhow!("{illness}; nothing was changed"))
            .refused()
            .hint("a cluster has to be healthy before it is upgraded; `kinstall status` shows what is not")
    }

    /// Every node that reports its kubelet's version, with that version.
    #[must_use]
    pub fn kubelets(&self) -> Vec<(String, KubeVersion)> {
        self.nodes.iter().filter_map(|node| Some((node.name.clone(), node.kubelet?))).collect()
    }
}

impl NodeState {
    fn of(node: &Value, pods: &[Value]) -> Self {
        let name = node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let version = node["status"]["nodeInfo"]["kubeletVersion"].as_str();
        let lone = pods.iter().filter(|pod| pod["spec"]["nodeName"] == *name && is_lone(pod));
        let pod_name = |pod: &Value| {
            let part = |key: &str| pod["metadata"][key].as_str().unwrap_or_default().to_owned();
            format!("{}/{}", part("namespace"), part("name"))
        };
        Self {
            is_ready: is_ready(node),
            kubelet: version.and_then(|version| version.trim_start_matches('v').parse().ok()),
            lone_pods: lone.map(pod_name).collect(),
            name,
        }
    }
}

/// Whether a drain would delete the pod for good. Source: `kubectl drain` (staging/src/k8s.io/kubectl/pkg/drain/filters.go): a pod without a
/// controller that has not ended, except the mirror of a static one.
fn is_lone(pod: &Value) -> bool {
    let metadata = &pod["metadata"];
    let owners = metadata["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let has_ended = ["Succeeded", "Failed"].iter().any(|phase| pod["status"]["phase"] == *phase);
    let is_mirror = !metadata["annotations"]["kubernetes.io/config.mirror"].is_null();
    !owners.iter().any(|owner| owner["controller"] == true) && !has_ended && !is_mirror
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_that_a_drain_would_lose_are_found_on_their_node() {
        let pod = |name: &str, node: &str, more: Value, phase: &str| {
            let mut metadata = json!({"namespace": "default", "name": name});
            metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": phase}})
        };
        let owned = json!({"ownerReferences": [{"kind": "ReplicaSet", "controller": true}]});
        let pods = [
            pod("web", "w1", owned, "Running"),
            pod("static", "w1", json!({"annotations": {"kubernetes.io/config.mirror": "x"}}), "Running"),
            pod("done", "w1", json!({}), "Succeeded"),
            pod("tool", "w1", json!({}), "Running"),
            pod("elsewhere", "w2", json!({}), "Running"),
        ];
        let node = json!({"metadata": {"name": "w1"}, "status": {"nodeInfo": {"kubeletVersion": "v1.35.4"},
                          "conditions": [{"type": "Ready", "status": "True"}]}});
        let found = NodeState::of(&node, &pods);
        assert_eq!(found.lone_pods, ["default/tool"]);
        let mut state = ClusterState { nodes: vec![found], ..ClusterState::default() };
        assert_eq!(state.illness(), None);
        assert_eq!(state.kubelets(), [("w1".to_owned(), "1.35.4".parse().unwrap())]);
        state.nodes[0].is_ready = false;
        assert_eq!(state.illness().unwrap(), "node w1 is not ready");
        state.silence = Some("connection refused".to_owned());
        assert_eq!(state.illness().unwrap(), "the API server is not ready: connection refused");
    }
}
