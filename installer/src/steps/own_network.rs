//! A cluster whose site brings the pod network, or a replacement of kube-proxy. Until it does, nodes are not ready and most pods wait, so a
//! run can only wait for what needs neither.

use serde_json::Value;

use crate::config::{Cni, KubeProxyMode};
use crate::inputs::Inputs;
use crate::kubectl::ready_condition;

/// What pods wait for, in the words of `cluster.yaml`; `None` if kinstall sets up everything.
#[must_use]
pub fn left_to_the_site(inputs: &Inputs<'_>) -> Option<&'static str> {
    let network = &inputs.spec.network;
    match (network.cni, network.kube_proxy.mode) {
        (Some(Cni::None), KubeProxyMode::None) => Some("network.cni and network.kube-proxy.mode: none"),
        (Some(Cni::None), _) => Some("network.cni: none"),
        (_, KubeProxyMode::None) => Some("network.kube-proxy.mode: none"),
        _ => None,
    }
}

/// Whether a node's kubelet reports that it lacks nothing but the network that the site brings.
///
/// Source: pkg/kubelet/nodestatus/setters.go, `ReadyCondition`; several reasons are in brackets.
#[must_use]
pub fn lacks_only_the_network(inputs: &Inputs<'_>, node: &Value) -> bool {
    let ready = ready_condition(node).filter(|condition| condition["status"] == "False");
    let message = ready.and_then(|ready| ready["message"].as_str()).unwrap_or_default();
    left_to_the_site(inputs).is_some() && message.contains("NetworkPluginNotReady") && !message.starts_with('[')
}

/// Whether a pod, Deployment or `DaemonSet` starts even without the site's part: the static pods and kube-proxy do.
#[must_use]
pub fn can_run(inputs: &Inputs<'_>, object: &Value) -> bool {
    let metadata = &object["metadata"];
    let is_static = !metadata["annotations"]["kubernetes.io/config.mirror"].is_null();
    left_to_the_site(inputs).is_none() || is_static || metadata["labels"]["k8s-app"] == "kube-proxy"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClusterSpec;
    use crate::fixture;
    use serde_json::json;

    fn judged(cni: Cni, mode: KubeProxyMode, look: impl Fn(&Inputs<'_>) -> bool) -> bool {
        let mut spec = ClusterSpec::default();
        spec.network.cni = Some(cni);
        spec.network.kube_proxy.mode = mode;
        let (facts, list, topology) = (fixture::facts(), fixture::list("1.36.3"), fixture::topology());
        look(&Inputs { spec: &spec, facts: &facts, list: &list, topology: &topology })
    }

    #[test]
    fn a_node_is_excused_for_the_network_alone() {
        let node = |message: &str| json!({"status": {"conditions": [{"type": "Ready", "status": "False", "message": message}]}});
        let network = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";
        let excused = |cni, message: &str| {
            judged(cni, KubeProxyMode::Iptables, |inputs| lacks_only_the_network(inputs, &node(message)))
        };
        assert!(excused(Cni::None, network));
        assert!(!excused(Cni::Bridge, network), "the bridge has to come up");
        assert!(!excused(Cni::None, &format!("[{network}, PLEG is not healthy]")));
        assert!(!excused(Cni::None, "PLEG is not healthy"));
    }

    #[test]
    fn only_what_needs_no_network_is_waited_for() {
        let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
        let proxy = json!({"metadata": {"labels": {"k8s-app": "kube-proxy"}}});
        let dns = json!({"metadata": {"labels": {"k8s-app": "kube-dns"}}});
        for (cni, mode, waits) in [
            (Cni::None, KubeProxyMode::Iptables, [true, true, false]),
            (Cni::Bridge, KubeProxyMode::None, [true, true, false]),
            (Cni::Bridge, KubeProxyMode::Iptables, [true, true, true]),
        ] {
            let found = [&mirror, &proxy, &dns].map(|object| judged(cni, mode, |inputs| can_run(inputs, object)));
            assert_eq!(found, waits, "{cni:?} {mode:?}");
        }
    }
}
