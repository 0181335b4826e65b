//! Checks of names, addresses and ports.

use std::net::IpAddr;

use kbundle_format::Role;

use super::{Answer, Check, Subject};
use crate::config::{Cni, DnsName, IpFamily, LoadBalancer};
use crate::facts::{DefaultRoute, Installation, Listener};
use crate::ports::{self, Carrier};

pub(super) const CHECKS: &[Check] = &[
    Check { id: "hostname", wanted: "a DNS label or name (RFC 1123); the node takes its name from it", look: hostname },
    Check { id: "address", wanted: "an address at which others reach the API server", look: address },
    Check {
        id: "default-route",
        wanted: "a default route of each IP family of the cluster; without one this host cannot reach Services",
        look: default_route,
    },
    Check { id: "networks", wanted: "pod-cidr and service-cidr apart from the host's own networks", look: networks },
    Check { id: "ports", wanted: "free for the API server, etcd, the kubelet and the other components", look: ports },
    Check {
        id: "virtual-address",
        wanted: "an address in a network of every control plane (kube-vip announces it by ARP or neighbour discovery)",
        look: virtual_address,
    },
    Check {
        id: "nameservers",
        wanted: "any number; without one, pods resolve only names of the cluster",
        look: nameservers,
    },
];

fn hostname(subject: &Subject<'_>) -> Answer {
    let name = &subject.facts.hostname;
    let advice = "`hostnamectl set-hostname NAME` with a name that no other host has";
    match name.to_ascii_lowercase().parse::<DnsName>() {
        Ok(lower) if !lower.as_str().starts_with("localhost") => Answer::pass(lower.as_str()),
        _ => Answer::reject(format!("`{name}`"), advice),
    }
}

fn address(subject: &Subject<'_>) -> Answer {
    let facts = subject.facts;
    let wanted: Vec<_> = match subject.topology {
        Some(topology) => topology.this().addresses().collect(),
        None => match addresses_of_single(subject) {
            Ok(found) => found,
            Err(answer) => return answer,
        },
    };
    let is_here = |wanted: &IpAddr| facts.addresses.iter().any(|found| found.address == *wanted);
    let names = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match wanted.iter().find(|wanted| !is_here(wanted)) {
        None => Answer::pass(names(&wanted)),
        Some(missing) => {
            let found: Vec<_> = facts.addresses.iter().map(|found| found.address).collect();
            let (key, section) = match subject.topology {
                Some(topology) if topology.this().second_address == Some(*missing) => ("second-address", "the host"),
                Some(_) => ("address", "the host"),
                None => ("address", "`api`"),
            };
            let advice = format!("set `{key}` under {section} in cluster.yaml to one of them");
            Answer::reject(format!("{missing} is not on this host, which has {}", names(&found)), advice)
        }
    }
}

/// The addresses of a single host: one of each IP family of the cluster.
fn addresses_of_single(subject: &Subject<'_>) -> Result<Vec<IpAddr>, Answer> {
    let (facts, network) = (subject.facts, &subject.spec.network);
    let main = subject.spec.api.address.or_else(|| facts.primary_address(network.main_family()));
    let Some(main) = main else {
        let family = network.main_family();
        return Err(Answer::reject(
            format!("no default route{}, and not exactly one address", of_ipv6(family)),
            "set `address` under `api` in cluster.yaml, or add a default route",
        ));
    };
    let mut found = vec![main];
    for family in network.pod_cidr.families().filter(|family| *family != IpFamily::of(main)) {
        found.push(facts.address_beside(main, family).ok_or_else(|| {
            Answer::reject(
                format!("no {} address beside {main}", family.name()),
                format!(
                    "give the interface of {main} an {0} address, or take the {0} networks out of `network` in cluster.yaml",
                    family.name()
                ),
            )
        })?);
    }
    Ok(found)
}

/// The IP family for messages; IPv4 is not mentioned.
fn of_ipv6(family: IpFamily) -> &'static str {
    match family {
        IpFamily::Ipv4 => "",
        IpFamily::Ipv6 => " of IPv6",
    }
}

fn default_route(subject: &Subject<'_>) -> Answer {
    let mut found = Vec::new();
    for family in subject.spec.network.pod_cidr.families() {
        match subject.facts.default_route_of(family) {
            Some(DefaultRoute { interface, gateway: Some(gateway) }) => {
                found.push(format!("{interface} via {gateway}"));
            }
            Some(DefaultRoute { interface, gateway: None }) => found.push(interface.clone()),
            None => {
                let option = if family == IpFamily::Ipv6 { "-6 " } else { "" };
                return Answer::reject(
                    format!("none{}", of_ipv6(family)),
                    format!(
                        "add one to any address in the host's network (`ip {option}route add default via ADDRESS`); it need not lead anywhere"
                    ),
                );
            }
        }
    }
    Answer::pass(found.join(", "))
}

fn networks(subject: &Subject<'_>) -> Answer {
    let network = &subject.spec.network;
    let wanted = [("pod-cidr", &network.pod_cidr), ("service-cidr", &network.service_cidr)];
    let wanted: Vec<_> = wanted.iter().flat_map(|(key, cidrs)| cidrs.iter().map(move |cidr| (*key, cidr))).collect();
    // On a host that kinstall has set up, the pods' bridge is in the pods' network. Its name in a network of the site's own is unknown.
    let brings_its_own = network.cni == Some(Cni::None) && subject.facts.installation == Installation::Ours;
    let is_of_pods =
        |interface: &str, key: &str| POD_INTERFACES.contains(&interface) || brings_its_own && key == "pod-cidr";
    let addresses = subject.facts.addresses.iter();
    let overlaps: Vec<_> = addresses
        .flat_map(|found| wanted.iter().map(move |wanted| (found, wanted)))
        .filter(|(found, (key, cidr))| cidr.overlaps(&found.network) && !is_of_pods(&found.interface, key))
        .map(|(found, (key, cidr))| format!("{key} {cidr} overlaps {} of {}", found.network, found.interface))
        .collect();
    if overlaps.is_empty() {
        return Answer::pass(format!("{} and {}", network.pod_cidr, network.service_cidr));
    }
    Answer::reject(overlaps.join("; "), "choose other networks under `network` in cluster.yaml")
}

/// Interfaces that CNI plugins make.
const POD_INTERFACES: [&str; 6] = ["cni0", "flannel.1", "flannel-v6.1", "tunl0", "vxlan.calico", "vxlan-v6.calico"];

fn ports(subject: &Subject<'_>) -> Answer {
    let wanted = ports::of_host(subject.spec, |role| subject.has(role));
    let wanted: Vec<_> = wanted.iter().filter(|port| port.carrier == Carrier::Tcp).collect();
    // On a host that kinstall has set up, the cluster's own programs use the ports.
    let ours = |listener: &Listener, program: &str| {
        subject.facts.installation == Installation::Ours && listener.program.as_deref() == Some(program)
    };
    let taken = |listener: &Listener| {
        let port = wanted.iter().find(|port| port.number == listener.port && !ours(listener, port.program))?.number;
        Some(format!("{port} by {}", listener.program.as_deref().unwrap_or("an unknown program")))
    };
    let mut taken: Vec<_> = subject.facts.listening.iter().filter_map(taken).collect();
    taken.dedup();
    if taken.is_empty() {
        return Answer::pass("free");
    }
    Answer::reject(format!("taken: {}", taken.join(", ")), "stop the program that listens there (`ss -ltnp` shows it)")
}

fn virtual_address(subject: &Subject<'_>) -> Answer {
    let api = &subject.spec.api;
    let Some(address) =
        api.address.filter(|_| api.load_balancer == LoadBalancer::Vip && subject.has(Role::ControlPlane))
    else {
        return Answer::pass("none configured");
    };
    match (api.interface.as_deref(), subject.facts.interface_towards(address)) {
        (Some(wanted), _) if !subject.facts.mtus.contains_key(wanted) => {
            let found: Vec<_> = subject.facts.mtus.keys().map(String::as_str).collect();
            let advice =
                "set `interface` under `api` in cluster.yaml to one that every control plane has, or remove it";
            Answer::reject(format!("no interface {wanted}; the host has {}", found.join(", ")), advice)
        }
        (Some(interface), _) | (None, Some(interface)) => Answer::pass(format!("{address} on {interface}")),
        (None, None) => Answer::reject(
            format!("{address} is in no network of this host"),
            "set `address` under `api` in cluster.yaml to a free address in the control planes' network",
        ),
    }
}

fn nameservers(subject: &Subject<'_>) -> Answer {
    let resolver = &subject.facts.resolver;
    if resolver.nameservers.is_empty() {
        return Answer::pass("none");
    }
    let servers: Vec<_> = resolver.nameservers.iter().map(ToString::to_string).collect();
    Answer::pass(format!("{} ({})", servers.join(", "), resolver.file))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::tests::verdicts;
    use crate::config::{Cidr, LoadBalancer};
    use crate::facts::{HostFacts, Installation, InterfaceAddress, Listener};
    use crate::fixture::Cluster;

    fn listener(port: u16, program: &str) -> Listener {
        Listener { port, address: "0.0.0.0".parse().unwrap(), program: Some(program.into()) }
    }

    #[test]
    fn names_that_no_node_can_have_are_rejected() {
        for name in ["", "node_1", "localhost", "localhost.localdomain", "-x"] {
            assert_eq!(verdicts(|facts| facts.hostname = name.into()).len(), 1, "{name}");
        }
        assert!(verdicts(|facts| facts.hostname = "Node-1.Plant.example".into()).is_empty());
    }

    #[test]
    fn a_host_without_a_route_or_an_address_is_rejected() {
        insta::assert_debug_snapshot!(verdicts(|facts| {
            facts.default_route = None;
            facts.addresses.clear();
        }), @r#"
        [
            "address Reject: no default route, and not exactly one address | set `address` under `api` in cluster.yaml, or add a default route",
            "default-route Reject: none | add one to any address in the host's network (`ip route add default via ADDRESS`); it need not lead anywhere",
        ]
        "#);
    }

    #[test]
    fn a_cluster_of_both_families_needs_addresses_and_routes_of_both() {
        let mut cluster = Cluster::of_both_families();
        let mut found = |change: &dyn Fn(&mut HostFacts)| {
            let mut facts = crate::fixture::facts();
            facts.addresses = ["192.0.2.1", "2001:db8::1"].map(|text| on("eth0", text)).into();
            facts.default_route_ipv6 = facts.default_route.clone();
            change(&mut facts);
            cluster.facts = facts;
            let topology = cluster.seen_from("c1");
            let subject = super::Subject {
                spec: &cluster.spec,
                facts: &cluster.facts,
                topology: Some(&topology),
                kubernetes: None,
                brought: None,
            };
            [super::address(&subject), super::default_route(&subject), super::networks(&subject)]
                .map(|answer| format!("{:?} {}", answer.verdict, answer.found))
                .join("\n")
        };
        insta::assert_snapshot!(found(&|_| ()), @"
        Pass 192.0.2.1, 2001:db8::1
        Pass eth0 via 10.0.0.1, eth0 via 10.0.0.1
        Pass 10.244.0.0/16,fd00:244::/56 and 10.96.0.0/12,fd00:96::/112
        ");
        insta::assert_snapshot!(found(&|facts| {
            facts.default_route_ipv6 = None;
            facts.addresses[1] = on("eth0", "fd00:244:0:7::1");
        }), @"
        Reject 2001:db8::1 is not on this host, which has 192.0.2.1, fd00:244:0:7::1
        Reject none of IPv6
        Reject pod-cidr fd00:244::/56 overlaps fd00:244:0:7::/64 of eth0
        ");
    }

    fn on(interface: &str, address: &str) -> InterfaceAddress {
        let address: IpAddr = address.parse().unwrap();
        let network = Cidr::around(address, if address.is_ipv4() { 24 } else { 64 });
        InterfaceAddress { interface: interface.to_owned(), address, network }
    }

    #[test]
    fn ports_are_ours_only_when_our_programs_hold_them() {
        let taken =
            |facts: &mut HostFacts| facts.listening = vec![listener(6443, "kube-apiserver"), listener(2379, "etcd")];
        insta::assert_debug_snapshot!(verdicts(taken), @r#"
        [
            "ports Reject: taken: 6443 by kube-apiserver, 2379 by etcd | stop the program that listens there (`ss -ltnp` shows it)",
        ]
        "#);
        assert!(
            verdicts(|facts| {
                taken(facts);
                facts.installation = Installation::Ours;
            })
            .is_empty()
        );
        insta::assert_debug_snapshot!(verdicts(|facts| {
            facts.listening = vec![listener(6443, "nginx"), listener(80, "nginx")];
            facts.installation = Installation::Ours;
        }), @r#"
        [
            "ports Reject: taken: 6443 by nginx | stop the program that listens there (`ss -ltnp` shows it)",
        ]
        "#);
    }

    #[test]
    fn each_role_needs_ports_of_its_own() {
        let cluster = crate::fixture::Cluster::of_three_and_two();
        let taken = |name: &str, port: u16| {
            let mut facts = crate::fixture::facts();
            facts.listening = vec![listener(port, "nginx")];
            let topology = cluster.seen_from(name);
            let subject = super::Subject {
                spec: &cluster.spec,
                facts: &facts,
                topology: Some(&topology),
                kubernetes: None,
                brought: None,
            };
            super::ports(&subject).verdict == super::super::Verdict::Reject
        };
        assert!(taken("c1", 2379) && taken("c1", 6443) && taken("w1", 6443) && taken("w1", 10250) && taken("w1", 6444));
        assert!(!taken("w1", 2379) && !taken("w1", 10257) && !taken("c1", 6444));
    }

    #[test]
    fn networks_must_not_overlap_the_hosts_own() {
        let address = |interface: &str, address: &str, network: &str| InterfaceAddress {
            interface: interface.into(),
            address: address.parse().unwrap(),
            network: network.parse().unwrap(),
        };
        insta::assert_debug_snapshot!(verdicts(|facts| {
            facts.addresses.push(address("cni0", "10.244.0.1", "10.244.0.0/24"));
            facts.addresses.push(address("eth1", "10.100.0.7", "10.100.0.0/16"));
        }), @r#"
        [
            "networks Reject: service-cidr 10.96.0.0/12 overlaps 10.100.0.0/16 of eth1 | choose other networks under `network` in cluster.yaml",
        ]
        "#);
    }

    #[test]
    fn the_sites_own_network_may_have_any_interface_in_the_pods_network() {
        use super::super::Verdict::{Pass, Reject};
        use crate::config::Cni;

        let (mut spec, mut facts) = (crate::config::ClusterSpec::default(), crate::fixture::facts());
        facts.addresses.push(InterfaceAddress {
            interface: "site0".into(),
            address: "10.244.0.1".parse().unwrap(),
            network: "10.244.0.0/24".parse().unwrap(),
        });
        let mut found = |cni, installation| {
            spec.network.cni = cni;
            facts.installation = installation;
            super::networks(&super::Subject {
                spec: &spec,
                facts: &facts,
                topology: None,
                kubernetes: None,
                brought: None,
            })
            .verdict
        };
        assert_eq!(found(Some(Cni::None), Installation::Ours), Pass);
        assert_eq!(found(Some(Cni::None), Installation::None), Reject);
        assert_eq!(found(Some(Cni::Bridge), Installation::Ours), Reject);
    }

    #[test]
    fn an_address_that_moves_lies_in_a_network_of_every_control_plane() {
        let mut cluster = crate::fixture::Cluster::of_three_and_two();
        cluster.spec.api.load_balancer = LoadBalancer::Vip;
        let mut found = |name: &str, address: &str, interface: Option<&str>| {
            cluster.spec.api.address = Some(address.parse().unwrap());
            cluster.spec.api.interface = interface.map(str::to_owned);
            let topology = cluster.seen_from(name);
            let facts = &crate::fixture::facts();
            super::virtual_address(&super::Subject {
                spec: &cluster.spec,
                facts,
                topology: Some(&topology),
                kubernetes: None,
                brought: None,
            })
            .found
        };
        assert_eq!(found("c1", "10.0.0.100", None), "10.0.0.100 on eth0");
        assert_eq!(found("c1", "198.51.100.1", None), "198.51.100.1 is in no network of this host");
        assert_eq!(found("c1", "198.51.100.1", Some("eth0")), "198.51.100.1 on eth0");
        assert_eq!(found("c1", "10.0.0.100", Some("bond0")), "no interface bond0; the host has eth0");
        assert_eq!(found("w1", "198.51.100.1", None), "none configured");
    }
}
