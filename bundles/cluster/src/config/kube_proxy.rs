//! `network.kube-proxy` of `cluster.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fields;

/// kube-proxy, which brings requests to Services to their pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KubeProxy {
    /// How kube-proxy works.
    pub mode: KubeProxyMode,
    /// With `ipvs`: a host answers ARP for its own addresses only, as `MetalLB` needs it.
    pub strict_arp: bool,
    /// Further fields of `KubeProxyConfiguration`, as Kubernetes names them; those that kinstall sets itself are refused.
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub config: Fields,
}

/// How kube-proxy works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KubeProxyMode {
    /// iptables rules, which every kernel has.
    #[default]
    Iptables,
    /// The kernel's load balancer (IPVS); deprecated from Kubernetes 1.35 on.
    Ipvs,
    /// nftables rules; from Kubernetes 1.31 on, with kernel 5.13 or later.
    Nftables,
    /// No kube-proxy: the site installs a replacement.
    None,
}

impl KubeProxyMode {
    /// The name in cluster.yaml and in kube-proxy's configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Ipvs => "ipvs",
            Self::Nftables => "nftables",
            Self::None => "none",
        }
    }
}
