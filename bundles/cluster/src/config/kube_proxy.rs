//! `network.kube-proxy` of `cluster.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fields;

/// What brings requests to Services to their pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KubeProxy {
    /// How kube-proxy does it.
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
    /// By rules of iptables, which every kernel has.
    #[default]
    Iptables,
    /// By the kernel's load balancer; deprecated from Kubernetes 1.35 on.
    Ipvs,
    /// By rules of nftables; from Kubernetes 1.31 on, with kernel 5.13 or later.
    Nftables,
    /// There is no kube-proxy: the site brings what does its work.
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
