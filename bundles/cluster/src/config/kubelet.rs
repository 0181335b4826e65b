//! `kubelet` of `cluster.yaml`, and that of a host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fields;

/// Settings of every kubelet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Kubelet {
    /// The largest number of pods on a host.
    pub max_pods: u16,
    /// Further fields of `KubeletConfiguration`, as Kubernetes names them; those that kinstall sets itself are refused.
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub config: Fields,
}

impl Default for Kubelet {
    fn default() -> Self {
        // The kubelet's own default.
        Self { max_pods: 110, config: Fields::default() }
    }
}

/// Settings of one host's kubelet, over those of every kubelet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct HostKubelet {
    /// The largest number of pods on this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pods: Option<u16>,
    /// Fields of `KubeletConfiguration` for this host, over those of the cluster.
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub config: Fields,
}

impl HostKubelet {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
