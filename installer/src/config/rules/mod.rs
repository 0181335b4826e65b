//! What has to hold between the values of `cluster.yaml`, beyond each value's own shape. Reads nothing but the values, and
//! finds everything at once.

mod addons;
mod calico;
mod etcd;
mod hosts;
mod labels;
pub mod owned;
mod registries;
mod reservations;
mod settings;

use std::fmt;
use std::net::IpAddr;

use kbundle_format::{KubeVersion, Role};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Api, Cidr, ClusterSpec, Cni, DnsName, HostSpec, KubeProxyMode, LoadBalancer, Network};

/// The smallest network for Services, as the length of its prefix.
const SMALLEST_SERVICES: u8 = 24;
/// The parts that the controller manager cuts `pod-cidr` into are at most 2^16 (pkg/controller/nodeipam/ipam/cidrset, clusterSubnetMaxDiff).
const MOST_PARTS_BITS: u8 = 16;
/// Addresses of a node's part that no pod gets: the network's, the gateway's and the broadcast's.
const ADDRESSES_NOT_FOR_PODS: u64 = 3;

/// Something that `cluster.yaml` asks for and that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// Where in the file, such as `network.pod-cidr` or `hosts[2].address`.
    pub place: String,
    /// What is wrong with what is there, and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The problems found so far.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { place: place.into(), message: message.into() });
    }
}

/// Everything that is wrong with a description, for Kubernetes `version`, or else for every one that is known.
pub(super) fn problems(spec: &ClusterSpec, version: Option<KubeVersion>) -> Vec<Problem> {
    let mut problems = Problems::default();
    networks(spec, &mut problems);
    calico::check(&spec.network, &mut problems);
    api(spec, &mut problems);
    hosts::check(spec, &mut problems);
    registries::check(spec, &mut problems);
    addons::check(spec, &mut problems);
    etcd::check(spec, &mut problems);
    settings::check(spec, version, &mut problems);
    problems.0
}

/// What of a description Kubernetes `version` does not take.
pub(super) fn problems_with(spec: &ClusterSpec, version: KubeVersion) -> Vec<Problem> {
    let mut problems = Problems::default();
    settings::check(spec, Some(version), &mut problems);
    problems.0
}

fn networks(spec: &ClusterSpec, problems: &mut Problems) {
    let Network { pod_cidr, service_cidr, .. } = &spec.network;
    let node_prefix = spec.network.node_cidr_mask_size;
    if !(1..=30).contains(&node_prefix) {
        let message = format!("node-cidr-mask-size {node_prefix} leaves no addresses for pods; 24 is usual");
        problems.add("network.node-cidr-mask-size", message);
    }
    for (key, cidr, smallest) in
        [("pod-cidr", pod_cidr, node_prefix), ("service-cidr", service_cidr, SMALLEST_SERVICES)]
    {
        let reason = if cidr.address().is_ipv6() {
            "is IPv6, which is not supported yet".to_owned()
        } else if cidr.prefix() > smallest {
            format!("is too small; a prefix of at most {smallest} is needed")
        } else if key == "service-cidr" && cidr.prefix() < 12 {
            // Its service allocator takes at most 2^20 addresses.
            "is too large; the API server takes a prefix of at least 12".to_owned()
        } else if key == "pod-cidr" && smallest - cidr.prefix() > MOST_PARTS_BITS {
            format!(
                "is too large for parts of /{smallest}: the controller manager takes at most 2^{MOST_PARTS_BITS} of them"
            )
        } else {
            continue;
        };
        problems.add(format!("network.{key}"), format!("{key} {cidr} {reason}"));
    }
    if problems.0.is_empty() && pod_cidr.overlaps(service_cidr) {
        problems.add(
            "network.pod-cidr",
            format!("pod-cidr {pod_cidr} and service-cidr {service_cidr} overlap; they need addresses of their own"),
        );
    }
    room_for_nodes(spec, problems);
    if let Some(problem) = spec.network.cni.and_then(|cni| pods_do_not_fit(spec, cni)) {
        problems.0.push(problem);
    }
    let kube_proxy = &spec.network.kube_proxy;
    if kube_proxy.strict_arp && kube_proxy.mode != KubeProxyMode::Ipvs {
        problems.add(
            "network.kube-proxy.strict-arp",
            format!("strict-arp is of mode ipvs alone, and the mode is {}; remove it", kube_proxy.mode.as_str()),
        );
    }
}

/// Whether a node gets fewer addresses than it may have pods. Calico gives addresses in blocks of its own.
pub(super) fn pods_do_not_fit(spec: &ClusterSpec, cni: Cni) -> Option<Problem> {
    let prefix = spec.network.node_cidr_mask_size;
    if !matches!(cni, Cni::Bridge | Cni::Flannel) || prefix > 30 {
        return None;
    }
    let room = (1_u64 << (32 - prefix)) - ADDRESSES_NOT_FOR_PODS;
    let of_hosts = spec.hosts.iter().filter_map(|host| host.kubelet.max_pods);
    let most = of_hosts.chain([spec.kubelet.max_pods]).max().unwrap_or_default();
    (u64::from(most) > room).then(|| Problem {
        place: "network.node-cidr-mask-size".to_owned(),
        message: format!(
            "a node may have {most} pods, and its part of pod-cidr, a /{prefix}, has addresses for {room}; take a smaller \
             node-cidr-mask-size or fewer max-pods"
        ),
    })
}

fn room_for_nodes(spec: &ClusterSpec, problems: &mut Problems) {
    let cidr = spec.network.pod_cidr;
    let nodes = spec.hosts.iter().filter(|host| host.is_node()).count();
    let node_prefix = spec.network.node_cidr_mask_size;
    let bits =
        node_prefix.checked_sub(cidr.prefix()).filter(|bits| cidr.address().is_ipv4() && *bits <= MOST_PARTS_BITS);
    let Some(bits) = bits else { return };
    let room = 1_usize << bits;
    if nodes > room {
        problems.add(
            "network.pod-cidr",
            format!("pod-cidr {cidr} has room for {room} nodes, each with a /{node_prefix}, and there are {nodes}; take a larger network"),
        );
    }
}

fn api(spec: &ClusterSpec, problems: &mut Problems) {
    let Api { address, port, certificate_sans, .. } = &spec.api;
    in_front(spec, problems);
    if let Some(address) = *address {
        usable(spec, "api.address", "api.address", address, problems);
    }
    if spec.api_name().parse::<DnsName>().is_err() {
        problems.add(
            "name",
            "the name is too long for the API's default name to be a DNS name; shorten it, or set `api.endpoint`",
        );
    }
    if *port == 0 {
        problems.add("api.port", "api.port 0 is no port; 6443 is usual");
    }
    for (index, san) in certificate_sans.iter().enumerate() {
        let name = san.strip_prefix("*.").unwrap_or(san);
        if san.parse::<IpAddr>().is_err() && name.parse::<DnsName>().is_err() {
            let message = format!("certificate-sans has `{san}`, which is neither an address nor a DNS name");
            problems.add(format!("api.certificate-sans[{index}]"), message);
        }
    }
}

/// What stands in front of the API servers.
fn in_front(spec: &ClusterSpec, problems: &mut Problems) {
    let (kind, several) = (spec.api.load_balancer, !spec.hosts.is_empty());
    match (kind, spec.api.address) {
        (LoadBalancer::External | LoadBalancer::Vip, _) if !several => problems.add(
            "api.load-balancer",
            format!(
                "load-balancer {} is for clusters of several hosts, and there is no list of hosts; add `hosts`",
                kind.as_str()
            ),
        ),
        (LoadBalancer::External, None) if spec.api.endpoint.is_none() => problems.add(
            "api.address",
            "load-balancer external needs the load balancer's address; add `api.address`, or `api.endpoint` where only its name is known",
        ),
        (LoadBalancer::Vip, None) => {
            problems.add("api.address", "load-balancer vip needs a free address of the hosts' network; add `api.address`");
        }
        (LoadBalancer::NodeLocal, Some(address)) if several => problems.add(
            "api.address",
            format!(
                "api.address {address} is only for `load-balancer: external` or `vip`, because each of several hosts has its own \
                 address; remove it, or add `load-balancer`"
            ),
        ),
        (LoadBalancer::External | LoadBalancer::Vip, Some(address)) => of_nobody_else(spec, address, problems),
        (LoadBalancer::NodeLocal, _) | (LoadBalancer::External, None) => {}
    }
    if spec.api.interface.is_some() && kind != LoadBalancer::Vip {
        problems.add("api.interface", "api.interface is only for `load-balancer: vip`; remove it");
    }
    // As the kernel takes them: `dev_valid_name` in net/core/dev.c.
    let odd = |name: &str| {
        name.is_empty() || name.len() > 15 || name.contains(['/', ':']) || name.contains(char::is_whitespace)
    };
    if let Some(name) = spec.api.interface.as_deref().filter(|name| odd(name)) {
        problems.add("api.interface", format!("api.interface `{name}` is no name of a network interface"));
    }
}

/// A load balancer beside an API server would take its port, and an address that moves can be no host's own.
fn of_nobody_else(spec: &ClusterSpec, address: IpAddr, problems: &mut Problems) {
    let is_taken = |host: &&HostSpec| {
        host.address == address
            && (spec.api.load_balancer == LoadBalancer::Vip || host.roles.contains(&Role::ControlPlane))
    };
    if let Some(host) = spec.hosts.iter().find(is_taken) {
        let message = format!("api.address {address} is that of host {}; take another", host.name);
        problems.add("api.address", message);
    }
}

/// Whether hosts can have `address` and reach each other there. `what` begins the message.
fn usable(spec: &ClusterSpec, place: &str, what: &str, address: IpAddr, problems: &mut Problems) {
    let IpAddr::V4(v4) = address else {
        problems.add(place, format!("{what} {address} is IPv6, which is not supported yet"));
        return;
    };
    if v4.is_unspecified() || v4.is_loopback() || v4.is_multicast() || v4.is_broadcast() {
        problems.add(place, format!("{what} {address} is no address that other hosts can reach"));
    }
    let inside = |key: &str, cidr: &Cidr, problems: &mut Problems| {
        if cidr.contains(address) {
            problems.add(place, format!("{what} {address} lies in {key} {cidr}; they need addresses of their own"));
        }
    };
    inside("pod-cidr", &spec.network.pod_cidr, problems);
    inside("service-cidr", &spec.network.service_cidr, problems);
}

#[cfg(test)]
mod tests;
