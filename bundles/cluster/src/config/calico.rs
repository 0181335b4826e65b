//! How Calico carries packets between hosts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Cidr;

/// How Calico carries packets between hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Calico {
    /// What carries packets to the pods of other hosts.
    pub mode: CalicoMode,
    /// When packets are wrapped; with `bgp` never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encapsulation: Option<Encapsulation>,
    /// The largest packet of a pod, in bytes; what fits into the host's own where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// The network whose address of each host carries the pods' packets; that of its address as a node where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_cidr: Option<Cidr>,
}

/// What carries packets to the pods of other hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CalicoMode {
    /// UDP to port 4789 of the other host. Needs nothing else of the network.
    #[default]
    Vxlan,
    /// IP in IP (protocol 4), and BGP between the hosts (TCP port 179).
    Ipip,
    /// Routes that BGP tells the hosts and the site's routers (TCP port 179).
    Bgp,
}

/// When packets are wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encapsulation {
    /// Between hosts of different networks alone: within one, the hosts have routes to each other's pods.
    #[default]
    CrossSubnet,
    /// Always, for networks that let no packet through but those of the hosts' own addresses.
    Always,
}
