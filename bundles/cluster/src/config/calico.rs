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
    /// When packets are encapsulated; never with `bgp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encapsulation: Option<Encapsulation>,
    /// The largest packet of a pod, in bytes. Default: what fits into the host's own packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// The network whose addresses carry the pods' packets between hosts. Default: that of the hosts' addresses as nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_cidr: Option<Cidr>,
}

/// What carries packets to the pods of other hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CalicoMode {
    /// VXLAN: UDP to port 4789 of the other host. The network needs nothing else.
    #[default]
    Vxlan,
    /// IP in IP (protocol 4), and BGP between the hosts (TCP port 179).
    Ipip,
    /// Routes that the hosts and the site's routers exchange by BGP (TCP port 179).
    Bgp,
}

/// When packets are encapsulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encapsulation {
    /// Only between hosts of different networks. Within one network, the hosts have routes to each other's pods.
    #[default]
    CrossSubnet,
    /// Always, for networks that drop packets with addresses of pods.
    Always,
}
