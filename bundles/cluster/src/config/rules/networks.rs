//! Rules for the networks of pods and Services.

use super::{Problem, Problems};
use crate::config::{
    Cidr, Cidrs, ClusterSpec, Cni, IpFamily, KubeProxyMode, Network, USUAL_NODE_PART, USUAL_NODE_PART_IPV6,
};

/// The controller manager divides `pod-cidr` into at most 2^16 parts (pkg/controller/nodeipam/ipam/cidrset, clusterSubnetMaxDiff).
const MOST_PARTS_BITS: u8 = 16;
/// The smallest network for Services: 256 addresses.
const FEWEST_SERVICES_BITS: u8 = 8;
/// The largest: 2^20 addresses (kubeadm's `MaximumBitsForServiceSubnet`; the API server's own limit until 1.32).
const MOST_SERVICES_BITS: u8 = 20;
/// The smallest pod network of a node: 4 addresses.
const SMALLEST_PART_BITS: u8 = 2;
/// Addresses of a node's pod network that no pod gets: those of the network, the gateway and the broadcast.
const ADDRESSES_NOT_FOR_PODS: u64 = 3;

pub(super) fn check(spec: &ClusterSpec, problems: &mut Problems) {
    let network = &spec.network;
    let before = problems.0.len();
    for family in IpFamily::ALL {
        part(network, family, problems);
    }
    for (key, cidrs) in [("pod-cidr", &network.pod_cidr), ("service-cidr", &network.service_cidr)] {
        for cidr in cidrs.iter() {
            size(network, key, cidr, problems);
        }
    }
    families(network, problems);
    if problems.0.len() == before {
        apart(&network.pod_cidr, &network.service_cidr, problems);
    }
    network.pod_cidr.iter().for_each(|cidr| room_for_nodes(spec, cidr, problems));
    if let Some(problem) = network.cni.and_then(|cni| pods_do_not_fit(spec, cni)) {
        problems.0.push(problem);
    }
    let kube_proxy = &network.kube_proxy;
    if kube_proxy.strict_arp && kube_proxy.mode != KubeProxyMode::Ipvs {
        problems.add(
            "network.kube-proxy.strict-arp",
            format!("strict-arp is of mode ipvs alone, and the mode is {}; remove it", kube_proxy.mode.as_str()),
        );
    }
}

/// The key of the size of a node's pod network of this family, and its default.
fn part_key(family: IpFamily) -> (&'static str, u8) {
    match family {
        IpFamily::Ipv4 => ("node-cidr-mask-size", USUAL_NODE_PART),
        IpFamily::Ipv6 => ("node-cidr-mask-size-ipv6", USUAL_NODE_PART_IPV6),
    }
}

fn part(network: &Network, family: IpFamily, problems: &mut Problems) {
    let (prefix, (key, usual)) = (network.node_part(family), part_key(family));
    let place = format!("network.{key}");
    if !(1..=family.bits() - SMALLEST_PART_BITS).contains(&prefix) {
        problems.add(place, format!("{key} {prefix} leaves no addresses for pods; {usual} is usual"));
    } else if prefix != usual && !network.has(family) {
        let message = format!("{key} is for {}, and pod-cidr has no such network; remove it", family.name());
        problems.add(place, message);
    }
}

fn size(network: &Network, key: &str, cidr: Cidr, problems: &mut Problems) {
    let (family, is_of_pods) = (cidr.family(), key == "pod-cidr");
    let smallest = if is_of_pods { network.node_part(family) } else { family.bits() - FEWEST_SERVICES_BITS };
    let largest_services = family.bits() - MOST_SERVICES_BITS;
    let reason = if cidr.prefix() > smallest {
        format!("is too small; a prefix of at most {smallest} is needed")
    } else if !is_of_pods && cidr.prefix() < largest_services {
        format!("is too large; the API server takes a prefix of at least {largest_services}")
    } else if is_of_pods && smallest - cidr.prefix() > MOST_PARTS_BITS {
        format!(
            "is too large for parts of /{smallest}: the controller manager takes at most 2^{MOST_PARTS_BITS} of them"
        )
    } else {
        return;
    };
    problems.add(format!("network.{key}"), format!("{key} {cidr} {reason}"));
}

/// Pods and Services have the same families, and the same main family.
fn families(network: &Network, problems: &mut Problems) {
    let before = problems.0.len();
    for (key, cidrs) in [("pod-cidr", &network.pod_cidr), ("service-cidr", &network.service_cidr)] {
        if cidrs.iter().count() > 1 && !cidrs.is_dual() {
            let family = cidrs.first().family().name();
            let message = format!("{key} has two {family} networks; a cluster has one of each IP family");
            problems.add(format!("network.{key}"), message);
        }
    }
    let names = |cidrs: &Cidrs| cidrs.families().map(IpFamily::name).collect::<Vec<_>>().join(", ");
    let (pods, services) = (names(&network.pod_cidr), names(&network.service_cidr));
    if problems.0.len() == before && pods != services {
        problems.add(
            "network.service-cidr",
            format!(
                "pod-cidr has {pods} and service-cidr has {services}; both need the same IP families in the same order, or \
                 Services of one family would have no pods"
            ),
        );
    }
}

fn apart(pods: &Cidrs, services: &Cidrs, problems: &mut Problems) {
    for (pods, services) in pods.iter().zip(services.iter()).filter(|(pods, services)| pods.overlaps(services)) {
        problems.add(
            "network.pod-cidr",
            format!("pod-cidr {pods} and service-cidr {services} overlap; they need addresses of their own"),
        );
    }
}

/// Whether a node gets fewer addresses than it may have pods. Calico assigns addresses in blocks of its own.
pub(in crate::config) fn pods_do_not_fit(spec: &ClusterSpec, cni: Cni) -> Option<Problem> {
    if !matches!(cni, Cni::Bridge | Cni::Flannel) {
        return None;
    }
    let of_hosts = spec.hosts.iter().filter_map(|host| host.kubelet.max_pods);
    let most = of_hosts.chain([spec.kubelet.max_pods]).max().unwrap_or_default();
    spec.network.pod_cidr.families().find_map(|family| {
        let prefix = spec.network.node_part(family);
        // More than 2^32 addresses are enough; too few to be useful are reported elsewhere.
        let bits = family.bits().checked_sub(prefix).filter(|bits| (SMALLEST_PART_BITS..=32).contains(bits))?;
        let room = (1_u64 << bits) - ADDRESSES_NOT_FOR_PODS;
        let (key, _) = part_key(family);
        (u64::from(most) > room).then(|| Problem {
            place: format!("network.{key}"),
            message: format!(
                "a node may have {most} pods, and its part of pod-cidr, a /{prefix}, has addresses for {room}; take a smaller \
                 {key} or fewer max-pods"
            ),
        })
    })
}

fn room_for_nodes(spec: &ClusterSpec, cidr: Cidr, problems: &mut Problems) {
    let nodes = spec.hosts.iter().filter(|host| host.is_node()).count();
    let prefix = spec.network.node_part(cidr.family());
    let bits = prefix.checked_sub(cidr.prefix()).filter(|bits| *bits <= MOST_PARTS_BITS);
    let Some(bits) = bits else { return };
    let room = 1_usize << bits;
    if nodes > room {
        problems.add(
            "network.pod-cidr",
            format!("pod-cidr {cidr} has room for {room} nodes, each with a /{prefix}, and there are {nodes}; take a larger network"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::told;

    #[test]
    fn pods_and_services_have_the_same_families() {
        let networks =
            |pods: &str, services: &str| told(&format!("network: {{pod-cidr: {pods}, service-cidr: {services}}}"));
        let (v4, v6) = ("10.244.0.0/16", "fd00:244::/56");
        let (services_v4, services_v6) = ("10.96.0.0/12", "fd00:96::/112");
        let both = |one: &str, other: &str| format!("['{one}', '{other}']");
        assert_eq!(networks(&both(v4, v6), &both(services_v4, services_v6)), "fine");
        assert_eq!(networks(&both(v6, v4), &both(services_v6, services_v4)), "fine");
        assert_eq!(networks(&format!("'{v6}'"), &format!("'{services_v6}'")), "fine");
        insta::assert_snapshot!(networks(&both(v4, v6), services_v4), @"pod-cidr has IPv4, IPv6 and service-cidr has IPv4; both need the same IP families in the same order, or Services of one family would have no pods");
        insta::assert_snapshot!(networks(&both(v4, v6), &both(services_v6, services_v4)), @"pod-cidr has IPv4, IPv6 and service-cidr has IPv6, IPv4; both need the same IP families in the same order, or Services of one family would have no pods");
        insta::assert_snapshot!(networks(&both(v4, "10.1.0.0/16"), services_v4), @"pod-cidr has two IPv4 networks; a cluster has one of each IP family");
        insta::assert_snapshot!(networks(&both(v4, "fd00:96::/64"), &both(services_v4, services_v6)), @"pod-cidr fd00:96::/64 and service-cidr fd00:96::/112 overlap; they need addresses of their own");
    }

    #[test]
    fn sizes_are_those_of_the_family() {
        let ipv6 =
            |rest: &str| told(&format!("network: {{pod-cidr: 'fd00:244::/48', service-cidr: 'fd00:96::/112'{rest}}}"));
        assert_eq!(ipv6(""), "fine");
        insta::assert_snapshot!(ipv6(", node-cidr-mask-size: 26"), @"node-cidr-mask-size is for IPv4, and pod-cidr has no such network; remove it");
        insta::assert_snapshot!(ipv6(", node-cidr-mask-size-ipv6: 72"), @"pod-cidr fd00:244::/48 is too large for parts of /72: the controller manager takes at most 2^16 of them");
        insta::assert_snapshot!(ipv6(", node-cidr-mask-size-ipv6: 127"), @"
        node-cidr-mask-size-ipv6 127 leaves no addresses for pods; 64 is usual
        pod-cidr fd00:244::/48 is too large for parts of /127: the controller manager takes at most 2^16 of them
        ");
        insta::assert_snapshot!(told("network: {node-cidr-mask-size-ipv6: 72}"), @"node-cidr-mask-size-ipv6 is for IPv6, and pod-cidr has no such network; remove it");
        insta::assert_snapshot!(told("network: {pod-cidr: 'fd00:244::/72', service-cidr: 'fd00:96::/64', node-cidr-mask-size-ipv6: 122, cni: bridge, calico: {mode: ipip}}"), @"
        pod-cidr fd00:244::/72 is too large for parts of /122: the controller manager takes at most 2^16 of them
        service-cidr fd00:96::/64 is too large; the API server takes a prefix of at least 108
        a node may have 110 pods, and its part of pod-cidr, a /122, has addresses for 61; take a smaller node-cidr-mask-size-ipv6 or fewer max-pods
        network.calico is only for `cni: calico`, and cni is bridge; remove one of them
        mode ipip carries IPv4 alone: Calico has no IP in IP for IPv6; take vxlan or bgp
        ");
    }

    #[test]
    fn hosts_have_addresses_of_the_clusters_families() {
        let hosts = |host: &str, network: &str| {
            told(&format!("hosts: [{{name: a, roles: [control-plane, etcd], {host}}}]\nnetwork: {{{network}}}"))
        };
        let both = "pod-cidr: [10.244.0.0/16, 'fd00:244::/56'], service-cidr: [10.96.0.0/12, 'fd00:96::/112']";
        let ipv6 = "pod-cidr: 'fd00:244::/56', service-cidr: 'fd00:96::/112'";
        assert_eq!(hosts("address: 192.0.2.1, second-address: '2001:db8::1'", both), "fine");
        assert_eq!(hosts("address: '2001:db8::1'", ipv6), "fine");
        insta::assert_snapshot!(hosts("address: '2001:db8::1'", ""), @"host a: address 2001:db8::1 is IPv6, and service-cidr 10.96.0.0/12 is IPv4, which the API server wants its own address to be of; write an IPv4 address, or begin network.service-cidr and network.pod-cidr with an IPv6 network");
        insta::assert_snapshot!(hosts("address: '2001:db8::1', second-address: 192.0.2.1", both), @"
        host a: address 2001:db8::1 is IPv6, and service-cidr 10.96.0.0/12 is IPv4, which the API server wants its own address to be of; write an IPv4 address, or begin network.service-cidr and network.pod-cidr with an IPv6 network
        host a: second-address 192.0.2.1 has to be IPv6
        ");
        insta::assert_snapshot!(hosts("address: 192.0.2.1", both), @"host a: pods and Services have addresses of both IP families; add its IPv6 address as `second-address`");
        insta::assert_snapshot!(hosts("address: 192.0.2.1, second-address: '2001:db8::1'", ""), @"host a: second-address is for clusters of both IP families; remove it, or write a network of each under network.pod-cidr and network.service-cidr");
        insta::assert_snapshot!(hosts("address: 192.0.2.1, second-address: 'fe80::1'", both), @"host a: second-address fe80::1 is not an address that other hosts can reach");
        insta::assert_snapshot!(hosts("address: '::ffff:192.0.2.1'", ipv6), @"host a: address ::ffff:192.0.2.1 is an IPv4 address; write it as 192.0.2.1");
        insta::assert_snapshot!(hosts("address: 'fd00:96::7'", ipv6), @"host a: address fd00:96::7 lies in service-cidr fd00:96::/112; they need addresses of their own");
    }
}
