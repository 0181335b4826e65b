//! `KubeProxyConfiguration`. Source: staging/src/k8s.io/kube-proxy/config/v1alpha1 of Kubernetes.

use serde::Serialize;

use crate::steps::Inputs;

/// Settings of every kube-proxy of the cluster.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeProxyConfiguration {
    api_version: &'static str,
    kind: &'static str,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conntrack: Option<Conntrack>,
}

/// The size of the connection table; 0 leaves it as the kernel has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Conntrack {
    max_per_core: u32,
    min: u32,
}

impl KubeProxyConfiguration {
    pub fn new(inputs: &Inputs<'_>) -> Self {
        let untouched = Conntrack { max_per_core: 0, min: 0 };
        Self {
            api_version: "kubeproxy.config.k8s.io/v1alpha1",
            kind: "KubeProxyConfiguration",
            // Every kernel has it; ipvs needs modules that many hosts lack.
            mode: "iptables",
            // kube-proxy does not start where it may not set the size.
            conntrack: (!inputs.facts.conntrack_max_writable).then_some(untouched),
        }
    }
}
