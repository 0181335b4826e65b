//! `KubeProxyConfiguration`. Source: staging/src/k8s.io/kube-proxy/config/v1alpha1 of Kubernetes.

use serde::Serialize;
use serde_yaml::Mapping;

use super::overlay;
use crate::config::KubeProxyMode;
use crate::inputs::Inputs;
use crate::version_rules::kubernetes::LOCALHOST_NODE_PORTS;

/// Settings of every kube-proxy of the cluster.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KubeProxyConfiguration {
    api_version: &'static str,
    kind: &'static str,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conntrack: Option<Conntrack>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iptables: Option<Iptables>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipvs: Option<Ipvs>,
}

/// The size of the connection table; 0 leaves the kernel's size.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Conntrack {
    max_per_core: u32,
    min: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Iptables {
    localhost_node_ports: bool,
}

#[derive(Serialize)]
struct Ipvs {
    #[serde(rename = "strictARP")]
    strict_arp: bool,
}

/// The configuration, overridden by the fields of cluster.yaml; `None` if the site replaces kube-proxy.
pub(super) fn of_cluster(inputs: &Inputs<'_>) -> Option<Mapping> {
    super::has_kube_proxy(inputs).then(|| {
        let mut configuration = overlay::mapping(&KubeProxyConfiguration::new(inputs));
        overlay::merge(&mut configuration, overlay::mapping(&inputs.spec.network.kube_proxy.config));
        configuration
    })
}

impl KubeProxyConfiguration {
    fn new(inputs: &Inputs<'_>) -> Self {
        let kube_proxy = &inputs.spec.network.kube_proxy;
        let untouched = Conntrack { max_per_core: 0, min: 0 };
        // Otherwise it sets `route_localnet`, through which neighbours reach programs that listen on 127.0.0.1.
        let own_ports = Iptables { localhost_node_ports: false };
        let keeps_localhost =
            kube_proxy.mode == KubeProxyMode::Iptables && LOCALHOST_NODE_PORTS.holds(inputs.list.kubernetes_version);
        Self {
            api_version: "kubeproxy.config.k8s.io/v1alpha1",
            kind: "KubeProxyConfiguration",
            mode: kube_proxy.mode.as_str(),
            // kube-proxy does not start if it may not set the size.
            conntrack: (!inputs.facts.conntrack_max_writable).then_some(untouched),
            iptables: keeps_localhost.then_some(own_ports),
            ipvs: kube_proxy.strict_arp.then_some(Ipvs { strict_arp: true }),
        }
    }
}
