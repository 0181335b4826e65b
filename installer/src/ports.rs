//! The ports of a cluster, by role: which program listens on each, and which hosts connect to it. The one table for preflight, for the
//! rules that `--prepare` adds to a host's firewall, and for the manual.
//!
//! Sources: <https://kubernetes.io/docs/reference/networking/ports-and-protocols/>; `pkg/cluster/ports/ports.go` of Kubernetes; the
//! requirements pages of Calico (4789, 179, IP protocol 4), Flannel's `Documentation/backends.md` (8472) and `MetalLB`'s (7946).

use std::collections::BTreeSet;
use std::net::IpAddr;

use kbundle_format::Role;

use crate::config::{CalicoMode, ClusterSpec, Cni, LoadBalancer};
use crate::facts::packet_filter::Protocol;
use crate::topology::{Member, Topology};

/// etcd, for API servers.
pub const ETCD_CLIENTS: u16 = 2379;
/// etcd, for its other members.
pub const ETCD_PEERS: u16 = 2380;
/// The kubelet, for API servers and for pods that collect metrics.
pub const KUBELET: u16 = 10250;

/// Those who connect to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Programs on the host itself.
    ThisHost,
    /// Members of etcd and control planes.
    EtcdClients,
    /// Members of etcd.
    EtcdMembers,
    /// Control planes, and pods.
    ControlPlanes,
    /// All nodes.
    Nodes,
    /// All nodes and pods, and people with `kubectl`.
    Anyone,
}

/// The protocol that a number belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// An IP protocol without ports, by its number.
    Ip,
}

/// A port that a host listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// The protocol of the number.
    pub carrier: Carrier,
    /// The program, by the first 15 bytes of its name; the kernel for tunnels.
    pub program: &'static str,
    /// Those who connect to it.
    pub clients: Clients,
}

const fn tcp(number: u16, program: &'static str, clients: Clients) -> Port {
    Port { number, carrier: Carrier::Tcp, program, clients }
}

const fn udp(number: u16, program: &'static str, clients: Clients) -> Port {
    Port { number, carrier: Carrier::Udp, program, clients }
}

const KERNEL: &str = "kernel";
const ETCD: [Port; 2] =
    [tcp(ETCD_CLIENTS, "etcd", Clients::EtcdClients), tcp(ETCD_PEERS, "etcd", Clients::EtcdMembers)];
const CONTROL_PLANE: [Port; 2] =
    [tcp(10257, "kube-controller", Clients::ThisHost), tcp(10259, "kube-scheduler", Clients::ThisHost)];
const NODE: [Port; 4] = [
    tcp(10248, "kubelet", Clients::ThisHost),
    tcp(10249, "kube-proxy", Clients::ThisHost),
    tcp(KUBELET, "kubelet", Clients::ControlPlanes),
    tcp(10256, "kube-proxy", Clients::ThisHost),
];
const BALANCER: Port = tcp(6444, "haproxy", Clients::ThisHost);
/// The metrics of kube-vip.
const VIRTUAL_ADDRESS: Port = tcp(2112, "kube-vip", Clients::ThisHost);
const FLANNEL: Port = udp(8472, KERNEL, Clients::Nodes);
const CALICO_VXLAN: Port = udp(4789, KERNEL, Clients::Nodes);
const CALICO_BGP: Port = tcp(179, "bird", Clients::Nodes);
const CALICO_TUNNEL: Port = Port { number: 4, carrier: Carrier::Ip, program: KERNEL, clients: Clients::Nodes };

/// The port on which `MetalLB`'s speakers notice that one of them is gone.
const METALLB: [Port; 2] = [tcp(7946, "speaker", Clients::Nodes), udp(7946, "speaker", Clients::Nodes)];

/// The ports of a host with these roles.
#[must_use]
pub fn of_host(spec: &ClusterSpec, has: impl Fn(Role) -> bool) -> Vec<Port> {
    let api = |program, clients| tcp(spec.api.port, program, clients);
    let is_node = has(Role::ControlPlane) || has(Role::Worker);
    let mut found = Vec::new();
    if has(Role::Etcd) {
        found.extend(ETCD);
    }
    if is_node {
        found.extend(NODE);
        found.extend(of_network(spec));
        if spec.addons.iter().any(|addon| addon.as_str() == "metallb") {
            found.extend(METALLB);
        }
    }
    if has(Role::ControlPlane) {
        found.extend(CONTROL_PLANE);
        found.push(api("kube-apiserver", Clients::Anyone));
        if spec.api.load_balancer == LoadBalancer::Vip {
            found.push(VIRTUAL_ADDRESS);
        }
    } else if has(Role::Worker) && spec.api.load_balancer == LoadBalancer::NodeLocal {
        found.extend([BALANCER, api("haproxy", Clients::ThisHost)]);
    }
    found
}

fn of_network(spec: &ClusterSpec) -> Vec<Port> {
    let mode = spec.network.calico.as_ref().map(|calico| calico.mode).unwrap_or_default();
    match (spec.network.cni, mode) {
        (Some(Cni::Flannel), _) => vec![FLANNEL],
        (Some(Cni::Calico), CalicoMode::Vxlan) => vec![CALICO_VXLAN],
        (Some(Cni::Calico), CalicoMode::Ipip) => vec![CALICO_BGP, CALICO_TUNNEL],
        (Some(Cni::Calico), CalicoMode::Bgp) => vec![CALICO_BGP],
        (Some(Cni::Bridge | Cni::None) | None, _) => vec![],
    }
}

impl Port {
    /// Whether it is open to others than programs on the host itself.
    #[must_use]
    pub fn is_for_others(&self) -> bool {
        self.clients != Clients::ThisHost
    }

    /// Whether another host of the cluster, a pod or a person connects to it on the host that `topology` is seen from.
    #[must_use]
    pub fn has_clients_in(&self, topology: &Topology) -> bool {
        self.clients.include_pods() || self.clients.addresses(topology).is_some_and(|addresses| !addresses.is_empty())
    }

    /// The port for a query of the packet filter; `None` for a protocol without ports.
    #[must_use]
    pub fn protocol(&self) -> Option<(Protocol, u16)> {
        match self.carrier {
            Carrier::Tcp => Some((Protocol::Tcp, self.number)),
            Carrier::Udp => Some((Protocol::Udp, self.number)),
            Carrier::Ip => None,
        }
    }

    /// The port as people write it, such as `6443/tcp`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.carrier {
            Carrier::Tcp => format!("{}/tcp", self.number),
            Carrier::Udp => format!("{}/udp", self.number),
            Carrier::Ip => format!("IP protocol {}", self.number),
        }
    }
}

impl Clients {
    /// Whether pods connect too, from their own addresses.
    #[must_use]
    pub fn include_pods(self) -> bool {
        matches!(self, Self::ControlPlanes | Self::Anyone)
    }

    /// The addresses that connect; `None` if any address may.
    #[must_use]
    pub fn addresses(self, topology: &Topology) -> Option<BTreeSet<IpAddr>> {
        let of = |wanted: &dyn Fn(Role) -> bool| {
            let others = topology.members().iter().filter(|member| *member != topology.this());
            let members = others.filter(|member| member.roles.iter().any(|role| wanted(*role)));
            Some(members.flat_map(Member::addresses).collect())
        };
        match self {
            Self::ThisHost => Some(BTreeSet::new()),
            Self::EtcdClients => of(&|role| role == Role::Etcd || role == Role::ControlPlane),
            Self::EtcdMembers => of(&|role| role == Role::Etcd),
            Self::ControlPlanes => of(&|role| role == Role::ControlPlane),
            Self::Nodes => of(&|role| role == Role::ControlPlane || role == Role::Worker),
            Self::Anyone => None,
        }
    }

    /// For the manual.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ThisHost => "the host itself",
            Self::EtcdClients => "control planes and members of etcd",
            Self::EtcdMembers => "members of etcd",
            Self::ControlPlanes => "control planes, and pods that collect metrics",
            Self::Nodes => "all nodes",
            Self::Anyone => "all nodes and pods, and who uses `kubectl`",
        }
    }
}

/// The table as Markdown, for the manual.
#[must_use]
pub fn table() -> String {
    const ETCD_HOST: &str = "etcd";
    const CONTROL_PLANE_HOST: &str = "control plane";
    const EVERY_NODE: &str = "every node";
    let api = |program, clients| tcp(ClusterSpec::default().api.port, program, clients);
    let rows = [
        (ETCD_HOST, ETCD.to_vec(), ""),
        (CONTROL_PLANE_HOST, vec![api("kube-apiserver", Clients::Anyone)], "`api.port`"),
        (CONTROL_PLANE_HOST, CONTROL_PLANE.to_vec(), ""),
        (CONTROL_PLANE_HOST, vec![VIRTUAL_ADDRESS], "`vip`: metrics"),
        (EVERY_NODE, NODE.to_vec(), ""),
        (EVERY_NODE, vec![CALICO_VXLAN], "Calico with `vxlan`"),
        (EVERY_NODE, vec![CALICO_BGP], "Calico with `bgp` or `ipip`"),
        (EVERY_NODE, vec![CALICO_TUNNEL], "Calico with `ipip`"),
        (EVERY_NODE, vec![FLANNEL], "Flannel"),
        (EVERY_NODE, METALLB.to_vec(), "the add-on `metallb`"),
        ("worker", vec![BALANCER, api("haproxy", Clients::ThisHost)], "`node-local`"),
    ];
    let mut lines =
        vec!["| host | port | who listens | who connects | only with |".to_owned(), "|---|---|---|---|---|".to_owned()];
    for (host, ports, condition) in rows {
        lines.extend(ports.iter().map(|port| {
            format!("| {host} | {} | {} | {} | {condition} |", port.name(), port.program, port.clients.name())
        }));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Cluster;

    fn for_others(cluster: &Cluster, name: &str) -> String {
        let topology = cluster.seen_from(name);
        let ports = of_host(&cluster.spec, |role| topology.this().has(role));
        let shown = ports.iter().filter(|port| port.is_for_others()).map(|port| {
            let from = port.clients.addresses(&topology);
            let from = from
                .map_or("anyone".to_owned(), |from| from.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
            format!("{} from {from}", port.name())
        });
        shown.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_host_opens_what_its_roles_need_to_those_that_connect() {
        let mut cluster = Cluster::of_three_and_two();
        cluster.spec.network.cni = Some(Cni::Calico);
        insta::assert_snapshot!(for_others(&cluster, "c1"), @"
        2379/tcp from 192.0.2.2 192.0.2.3
        2380/tcp from 192.0.2.2 192.0.2.3
        10250/tcp from 192.0.2.2 192.0.2.3
        4789/udp from 192.0.2.2 192.0.2.3 192.0.2.11 192.0.2.12
        6443/tcp from anyone
        ");
        insta::assert_snapshot!(for_others(&cluster, "w1"), @"
        10250/tcp from 192.0.2.1 192.0.2.2 192.0.2.3
        4789/udp from 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.12
        ");
        cluster.spec.network.cni = Some(Cni::Bridge);
        insta::assert_snapshot!(for_others(&cluster, "w2"), @"10250/tcp from 192.0.2.1 192.0.2.2 192.0.2.3");
        cluster.spec.addons.push("metallb".parse().unwrap());
        insta::assert_snapshot!(for_others(&cluster, "w2"), @"
        10250/tcp from 192.0.2.1 192.0.2.2 192.0.2.3
        7946/tcp from 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.11
        7946/udp from 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.11
        ");
    }

    #[test]
    fn the_only_member_of_etcd_has_no_clients_on_other_hosts() {
        let mut cluster = Cluster::of_three_and_two();
        cluster.spec.hosts.retain(|host| !["c2", "c3"].contains(&host.name.as_str()));
        let topology = cluster.seen_from("c1");
        let ports = of_host(&cluster.spec, |role| topology.this().has(role));
        let reached = ports.iter().filter(|port| port.has_clients_in(&topology)).map(Port::name);
        assert_eq!(reached.collect::<Vec<_>>(), ["10250/tcp", "6443/tcp"]);
    }

    #[test]
    fn every_port_is_in_the_table_of_the_manual() {
        let table = table();
        for port in of_host(&ClusterSpec::default(), |_| true) {
            assert!(table.contains(&format!(" {} | {} ", port.name(), port.program)), "{port:?}");
        }
    }
}
