//! The hosts of a cluster, from Kubespray's groups and variables of hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kbundle_format::Role;

use super::data::Variable;
use super::groups::Groups;
use super::reading::Reading;
use super::ssh::{ADDRESS, Jump};
use super::stack::Stack;
use super::value::Value;
use crate::config::{DnsName, HostSpec};
use crate::import::resolve;

/// Groups that give a role, each by its newer and its older name.
const ROLES: [(Role, &[&str]); 3] = [
    (Role::ControlPlane, &["kube_control_plane", "kube-master", "kube-control-plane", "kube_master"]),
    (Role::Etcd, &["etcd"]),
    (Role::Worker, &["kube_node", "kube-node"]),
];
const ROUTE_REFLECTORS: [&str; 2] = ["calico_rr", "calico-rr"];

/// Reads the hosts of the cluster, control planes first.
pub(super) fn read(reading: &mut Reading<'_>) -> Vec<HostSpec> {
    let roles = roles(reading);
    hosts_without_a_role(reading, &roles);
    let jump = reading.bastion();
    let order = ROLES.iter().flat_map(|(role, _)| roles.iter().filter(|(_, has)| has.contains(role)));
    let mut seen = BTreeSet::new();
    let order: Vec<_> = order.filter(|(host, _)| seen.insert(*host)).collect();
    if order.is_empty() {
        reading.problems.add_whole("no host is in group kube_control_plane, etcd or kube_node");
    }
    order.into_iter().filter_map(|(host, roles)| one(reading, *host, roles, jump.as_ref())).collect()
}

/// The hosts that are nodes, control planes first. The first one's variables are the settings of the cluster.
pub(super) fn nodes(groups: &Groups<'_>) -> Vec<usize> {
    let names: Vec<_> = [ROLES[0].1, ROLES[2].1].concat();
    groups.members(&names)
}

/// The roles of each host, in the order of the groups that give them.
fn roles(reading: &mut Reading<'_>) -> Vec<(usize, BTreeSet<Role>)> {
    let groups = reading.groups;
    let mut roles: Vec<(usize, BTreeSet<Role>)> = Vec::new();
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    let etcd_apart = !groups.members(ROLES[1].1).is_empty();
    for (role, names) in ROLES {
        let etcd_beside = role == Role::Etcd && !etcd_apart;
        let names = if etcd_beside { ROLES[0].1 } else { names };
        for host in groups.members(names) {
            let place = *places.entry(host).or_insert_with(|| {
                roles.push((host, BTreeSet::new()));
                roles.len() - 1
            });
            roles[place].1.insert(role);
        }
    }
    if !etcd_apart && !roles.is_empty() {
        reading.remarks.add_whole("no host is in group `etcd`; etcd goes beside the control planes");
    }
    roles
}

fn hosts_without_a_role(reading: &mut Reading<'_>, roles: &[(usize, BTreeSet<Role>)]) {
    let groups = reading.groups;
    let with_a_role: BTreeSet<_> = roles.iter().map(|(host, _)| *host).chain(reading.bastions()).collect();
    for (_, host) in groups.data.hosts.iter().enumerate().filter(|(index, _)| !with_a_role.contains(index)) {
        let message = "this host is in no group of the cluster, so it is left out";
        reading.remarks.add(&host.place, message);
    }
    for host in groups.members(&ROUTE_REFLECTORS) {
        let message = "kinstall sets up no route reflectors; group `calico_rr` is left out";
        reading.remarks.add(&groups.data.hosts[host].place, message);
    }
}

fn one(reading: &mut Reading<'_>, host: usize, roles: &BTreeSet<Role>, jump: Option<&Jump>) -> Option<HostSpec> {
    let name = name(reading, host);
    let stack = Stack::of(reading, host);
    let address = match stack {
        Stack::Ipv4 | Stack::Both => address(reading, host).map(IpAddr::from),
        Stack::Ipv6 => address_of_ipv6(reading, host),
    };
    let second_address = if stack == Stack::Both { ipv6(reading, host) } else { None };
    let ssh = reading.ssh(host, address, jump);
    if roles.contains(&Role::Etcd)
        && let (Some(member), Some(name)) = (reading.text(host, &["etcd_member_name"]), &name)
        && name.as_str() != member.text
    {
        let message = "`etcd_member_name` is left out; kinstall names members of etcd after their hosts";
        reading.remarks.add(&member.place, message);
    }
    let is_node = roles.contains(&Role::ControlPlane) || roles.contains(&Role::Worker);
    let (labels, taints) = if is_node { (labels(reading, host), taints(reading, host)) } else { Default::default() };
    Some(HostSpec { second_address, ssh, labels, taints, ..HostSpec::new(name?, address?, roles.clone()) })
}

/// The host's name as a node, which cannot be an address.
fn name(reading: &mut Reading<'_>, host: usize) -> Option<DnsName> {
    let own = &reading.groups.data.hosts[host];
    let (text, place) = reading
        .text(host, &["kube_override_hostname"])
        .map_or_else(|| (own.name.clone(), own.place.clone()), |found| (found.text, found.place));
    if text.parse::<Ipv4Addr>().is_ok() {
        let name = format!("node-{}", text.replace('.', "-"));
        let message = "a node cannot be named as an address: hosts that are named by theirs are called `node-` and their address with `-`";
        reading.remarks.add(&place, message);
        return name.parse().ok();
    }
    let name = text.parse();
    if name.is_err() {
        reading
            .problems
            .add(&place, format!("`{text}` cannot name a node; lowercase letters, digits, `-` and `.` can"));
    }
    name.ok()
}

/// The address of a host of an IPv6 cluster.
fn address_of_ipv6(reading: &mut Reading<'_>, host: usize) -> Option<IpAddr> {
    let own = &reading.groups.data.hosts[host];
    let connected = || {
        let found = reading.groups.written(host, ADDRESS[0]).and_then(|found| found.value.filled_text());
        found.unwrap_or_else(|| own.name.clone()).parse().ok().filter(IpAddr::is_ipv6)
    };
    let connected = connected();
    let found = ipv6(reading, host).or(connected);
    if found.is_none() {
        let message = format!("host `{}` has no IPv6 address that other hosts reach it by; add `ip6=`", own.name);
        reading.problems.add(&own.place, message);
    }
    found
}

/// The address in `ip6`, or else in `access_ip6`.
fn ipv6(reading: &mut Reading<'_>, host: usize) -> Option<IpAddr> {
    let found = reading.text(host, &["ip6", "access_ip6"])?;
    let address = found.text.parse::<Ipv6Addr>();
    if address.is_err() {
        reading.problems.add(&found.place, format!("`{}` is not an IPv6 address", found.text));
    }
    address.ok().map(IpAddr::from)
}

/// The address at which the other hosts reach it.
fn address(reading: &mut Reading<'_>, host: usize) -> Option<Ipv4Addr> {
    let [ip, access] = ["ip", "access_ip"].map(|name| reading.text(host, &[name]));
    if let (Some(ip), Some(access)) = (&ip, &access)
        && ip.text != access.text
    {
        let message = "`access_ip` is left out, because kinstall has one address for a host, `ip`; the hosts have to reach each other there";
        reading.remarks.add(&access.place, message);
    }
    if let Some(found) = ip.or(access) {
        let address = found.text.parse();
        if address.is_err() {
            let what = if found.text.parse::<IpAddr>().is_ok() {
                "IPv6, and `ipv6_stack` is not on; `ip` and `access_ip` are IPv4, and `ip6` is the other"
            } else {
                "not an IPv4 address"
            };
            reading.problems.add(&found.place, format!("`{}` is {what}", found.text));
        }
        return address.ok();
    }
    if ["ip", "access_ip"].iter().any(|name| reading.needs_ansible(host, name)) {
        return None; // It was reported already.
    }
    let own = &reading.groups.data.hosts[host];
    let connected = reading.text(host, &ADDRESS);
    let name = connected.as_ref().map_or(own.name.as_str(), |found| found.text.as_str());
    let address = name.parse().ok();
    if address.is_some() || reading.needs_ansible(host, ADDRESS[0]) {
        return address;
    }
    let resolved = resolve(name, reading.resolver);
    if let Some(address) = resolved {
        let message = format!(
            "host `{}` has no `ip`; other hosts reach it at {address}, which `{name}` resolves to here",
            own.name
        );
        reading.remarks.add(&own.place, message);
    } else {
        let message = format!(
            "host `{}` has no address that other hosts reach it by, and `{name}` resolves to none here; add `ip=`",
            own.name
        );
        reading.problems.add(&own.place, message);
    }
    resolved
}

fn labels(reading: &mut Reading<'_>, host: usize) -> BTreeMap<String, String> {
    let Some(Variable { value, place }) = reading.value(host, "node_labels") else { return BTreeMap::new() };
    let Some(entries) = value.entries() else {
        if !value.is_empty() {
            let message =
                "`node_labels` is left out; it is not a mapping, and Kubespray labels nodes from nothing else";
            reading.remarks.add(&place, message);
        }
        return BTreeMap::new();
    };
    let label = |(key, node): &(String, super::value::Node)| {
        // In Kubespray's form of a label, which is Python's `%s`.
        let value = if node.value == Value::Null { Some("None".to_owned()) } else { node.value.text() };
        if value.is_none() {
            reading.problems.add(&place, format!("`node_labels`: the value of `{key}` is not a text"));
        }
        Some((key.clone(), value?))
    };
    entries.iter().filter_map(label).collect()
}

fn taints(reading: &mut Reading<'_>, host: usize) -> Vec<String> {
    let Some(Variable { value, place }) = reading.value(host, "node_taints") else { return Vec::new() };
    let Some(items) = value.items() else {
        if !value.is_empty() {
            let message = "`node_taints` is left out; it is not a list, and Kubespray taints nodes from nothing else";
            reading.remarks.add(&place, message);
        }
        return Vec::new();
    };
    items.iter().filter_map(|node| node.value.text()).collect()
}
