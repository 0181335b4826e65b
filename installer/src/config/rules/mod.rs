//! What has to hold between the values of `cluster.yaml`, beyond each value's own shape. Reads nothing but the values, and
//! finds everything at once.

mod calico;
mod hosts;
mod labels;
mod registries;

use std::fmt;
use std::net::IpAddr;

use kbundle_format::Role;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Api, Cidr, ClusterSpec, DnsName, HostSpec, KubeProxyMode, LoadBalancer, Network};

/// What every node takes of the pods' network: the controller manager's default.
const NODE_PREFIX: u8 = 24;

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

/// Everything that is wrong with a description.
pub(super) fn problems(spec: &ClusterSpec) -> Vec<Problem> {
    let mut problems = Problems::default();
    networks(spec, &mut problems);
    calico::check(&spec.network, &mut problems);
    api(spec, &mut problems);
    hosts::check(spec, &mut problems);
    registries::check(spec, &mut problems);
    problems.0
}

fn networks(spec: &ClusterSpec, problems: &mut Problems) {
    let Network { pod_cidr, service_cidr, .. } = &spec.network;
    for (key, cidr) in [("pod-cidr", pod_cidr), ("service-cidr", service_cidr)] {
        let reason = if cidr.address().is_ipv6() {
            "is IPv6, which is not supported yet"
        } else if cidr.prefix() > NODE_PREFIX {
            "is too small; a prefix of at most 24 is needed"
        } else if key == "service-cidr" && cidr.prefix() < 12 {
            // Its service allocator takes at most 2^20 addresses.
            "is too large; the API server takes a prefix of at least 12"
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
    let kube_proxy = spec.network.kube_proxy;
    if kube_proxy.strict_arp && kube_proxy.mode != KubeProxyMode::Ipvs {
        problems.add(
            "network.kube-proxy.strict-arp",
            format!("strict-arp is of mode ipvs alone, and the mode is {}; remove it", kube_proxy.mode.as_str()),
        );
    }
}

fn room_for_nodes(spec: &ClusterSpec, problems: &mut Problems) {
    let cidr = spec.network.pod_cidr;
    let nodes = spec.hosts.iter().filter(|host| host.is_node()).count();
    let Some(bits) = NODE_PREFIX.checked_sub(cidr.prefix()).filter(|_| cidr.address().is_ipv4()) else { return };
    let room = 1_usize << bits;
    if nodes > room {
        problems.add(
            "network.pod-cidr",
            format!("pod-cidr {cidr} has room for {room} nodes, each with a /{NODE_PREFIX}, and there are {nodes}; take a larger network"),
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
        (LoadBalancer::External, None) => {
            problems.add("api.address", "load-balancer external needs the load balancer's address; add `api.address`");
        }
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
        (LoadBalancer::NodeLocal, _) => {}
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
