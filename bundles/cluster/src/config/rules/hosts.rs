//! Rules for the list of hosts.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::path::PathBuf;

use kbundle_format::Role;

use super::{Problems, labels, of_main_family, usable};
use crate::config::{ClusterSpec, Connection, HostSpec, IpFamily, Ssh};

/// More members make every write of etcd slower and outages no rarer; etcd itself advises against more.
const MOST_ETCD_MEMBERS: usize = 7;

pub(super) fn check(spec: &ClusterSpec, problems: &mut Problems) {
    ssh("ssh", "ssh:", &spec.ssh, problems);
    if spec.ssh.address.is_some() {
        problems.add("ssh.address", "ssh: address belongs to one host; write it at that host");
    }
    if spec.hosts.is_empty() {
        return;
    }
    unique("name", spec.hosts.iter().map(|host| host.name.as_str()), problems);
    addresses(&spec.hosts, problems);
    for (index, host) in spec.hosts.iter().enumerate() {
        each(spec, &format!("hosts[{index}]"), host, problems);
    }
    roles(spec, problems);
    at_most_one_here(spec, problems);
}

fn unique<T: Ord + Display>(key: &str, values: impl Iterator<Item = T>, problems: &mut Problems) {
    let mut places: BTreeMap<T, Vec<usize>> = BTreeMap::new();
    for (index, value) in values.enumerate() {
        places.entry(value).or_default().push(index);
    }
    same(key, &places, problems);
}

fn same<T: Ord + Display>(key: &str, places: &BTreeMap<T, Vec<usize>>, problems: &mut Problems) {
    for (value, found) in places.iter().filter(|(_, found)| found.len() > 1) {
        let hosts: Vec<_> = found.iter().map(|index| format!("hosts[{index}]")).collect();
        let message = format!("{} have the {key} {value}; each host needs its own", hosts.join(", "));
        problems.add(format!("hosts[{}].{key}", found[1]), message);
    }
}

/// Each host has its own address, in both families.
fn addresses(hosts: &[HostSpec], problems: &mut Problems) {
    let mut holders: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
    for (index, host) in hosts.iter().enumerate() {
        for address in host.addresses() {
            holders.entry(address).or_default().push(index);
        }
    }
    same("address", &holders, problems);
}

fn each(spec: &ClusterSpec, place: &str, host: &HostSpec, problems: &mut Problems) {
    let what = format!("host {}:", host.name);
    if let Some(reason) = unfit(spec, host.name.as_str()) {
        problems.add(format!("{place}.name"), format!("{what} {reason}"));
    }
    usable(spec, &format!("{place}.address"), &format!("{what} address"), host.address, problems);
    of_main_family(spec, &format!("{place}.address"), &format!("{what} address"), host.address, problems);
    second_address(spec, place, &what, host, problems);
    if host.roles.is_empty() {
        let message = format!("{what} it has no role; give it one or more of control-plane, etcd and worker");
        problems.add(format!("{place}.roles"), message);
    }
    if !host.is_node() && !host.roles.is_empty() {
        for (key, given) in [("labels", !host.labels.is_empty()), ("taints", !host.taints.is_empty())] {
            if given {
                let message = format!("{what} {key} are for nodes, and a host with etcd alone is none; remove them");
                problems.add(format!("{place}.{key}"), message);
            }
        }
    }
    labels::check(place, &what, host, problems);
    ssh(&format!("{place}.ssh"), &format!("{what} ssh"), &host.ssh, problems);
}

/// A node of a cluster with both families has an address of each.
fn second_address(spec: &ClusterSpec, place: &str, what: &str, host: &HostSpec, problems: &mut Problems) {
    let place = format!("{place}.second-address");
    let other = if spec.network.pod_cidr.is_dual() {
        IpFamily::ALL.into_iter().find(|family| *family != spec.network.main_family())
    } else {
        None
    };
    match (host.second_address, other) {
        (Some(address), Some(other)) if IpFamily::of(address) == other => {
            usable(spec, &place, &format!("{what} second-address"), address, problems);
        }
        (Some(address), Some(other)) => {
            problems.add(place, format!("{what} second-address {address} has to be {}", other.name()));
        }
        (Some(_), None) => problems.add(
            place,
            format!(
                "{what} second-address is for clusters of both IP families; remove it, or write a network of each under \
                 network.pod-cidr and network.service-cidr"
            ),
        ),
        (None, Some(other)) if host.is_node() => problems.add(
            place,
            format!("{what} pods and Services have addresses of both IP families; add its {} address as `second-address`", other.name()),
        ),
        (None, _) => {}
    }
}

/// Why a well-formed name cannot be a node's.
fn unfit(spec: &ClusterSpec, name: &str) -> Option<String> {
    let labels: Vec<_> = name.split('.').collect();
    if labels[0].starts_with("localhost") || labels.contains(&"localhost") || labels.contains(&"localdomain") {
        Some("its name means every host itself; give it a name of its own".to_owned())
    } else if name.parse::<IpAddr>().is_ok() {
        Some("its name is an address; give it a name, and the address as `address`".to_owned())
    } else if name == spec.api_name() {
        Some("its name is that of the API endpoint; give it another, or set `api.endpoint`".to_owned())
    } else if name.len() > 63 {
        // The kubelet labels the node with it.
        Some(format!("its name has {} characters, and Kubernetes takes at most 63 for a node", name.len()))
    } else {
        None
    }
}

fn roles(spec: &ClusterSpec, problems: &mut Problems) {
    let count = |role| spec.hosts.iter().filter(|host| host.roles.contains(&role)).count();
    if count(Role::ControlPlane) == 0 {
        problems.add(
            "hosts",
            "no host has the role control-plane; one is needed, three let the cluster survive the loss of one",
        );
    }
    let members = count(Role::Etcd);
    if members == 0 && spec.etcd.external.is_none() {
        problems.add(
            "hosts",
            "no host has the role etcd; give it to the control planes, or to one, three or five hosts of its own",
        );
    } else if members > MOST_ETCD_MEMBERS {
        let message = format!(
            "{members} hosts have the role etcd; more than {MOST_ETCD_MEMBERS} only make it slower, take three or five"
        );
        problems.add("hosts", message);
    }
}

fn at_most_one_here(spec: &ClusterSpec, problems: &mut Problems) {
    let is_here = |host: &&HostSpec| host.ssh.connection.or(spec.ssh.connection) == Some(Connection::Local);
    let here: Vec<_> = spec.hosts.iter().filter(is_here).map(|host| host.name.as_str()).collect();
    if here.len() > 1 {
        let message = format!(
            "hosts {} all have `connection: local`, and only one can be the host that kinstall runs on; \
             keep it for that one",
            here.join(", ")
        );
        problems.add("hosts", message);
    }
}

/// Values that become arguments of `ssh`: `ssh` must not take them for an option, or for more than one argument.
fn ssh(place: &str, what: &str, ssh: &Ssh, problems: &mut Problems) {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
    let arguments = [
        ("address", ssh.address.clone(), false),
        ("user", ssh.user.clone(), false),
        ("jump", ssh.jump.clone(), false),
        ("key", path(&ssh.key), true),
        ("jump-key", path(&ssh.jump_key), true),
        ("known-hosts", path(&ssh.known_hosts), true),
    ];
    for (key, text, spaces_allowed) in arguments {
        let odd = |character: char| character.is_control() || (character.is_whitespace() && !spaces_allowed);
        if text.is_some_and(|text| text.is_empty() || text.starts_with('-') || text.contains(odd)) {
            let message = format!("{what} {key} is empty, begins with `-`, or has spaces or control characters in it");
            problems.add(format!("{place}.{key}"), message);
        }
    }
    if ssh.jump_key.is_some() && ssh.jump.as_ref().is_none_or(|jump| jump.contains(',')) {
        let message = format!("{what} jump-key is for one host to go through; name it as `jump`, or remove the key");
        problems.add(format!("{place}.jump-key"), message);
    }
    if ssh.port == Some(0) {
        problems.add(format!("{place}.port"), format!("{what} port 0 is not a port; 22 is usual"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;

    /// A cluster of hosts, each given as the rest of a YAML flow mapping after name and address.
    fn problems(hosts: &[&str], rest: &str) -> String {
        let line = |(index, host): (usize, &&str)| {
            let number = index + 1;
            format!("- {{name: n{number}, address: 192.0.2.{number}, {host}}}\n")
        };
        let hosts: String = hosts.iter().enumerate().map(line).collect();
        parsed(&format!("hosts:\n{hosts}{rest}"))
    }

    fn parsed(text: &str) -> String {
        match ClusterSpec::parse(text) {
            Ok(_) => "fine".to_owned(),
            Err(ConfigError::Invalid { problems }) => {
                let lines: Vec<_> =
                    problems.iter().map(|problem| format!("{}: {}", problem.place, problem.message)).collect();
                lines.join("\n")
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    const ALL: &str = "roles: [control-plane, etcd, worker]";
    const WORKER: &str = "roles: [worker]";

    #[test]
    fn sound_clusters_are_taken() {
        for members in 1..=7 {
            assert_eq!(problems(&[ALL].repeat(members), ""), "fine");
        }
        let apart = ["roles: [control-plane]", "roles: [etcd]", WORKER];
        assert_eq!(problems(&apart, "ssh: {user: admin, sudo: password, key: keys/site key, jump: a@b:22}"), "fine");
        assert_eq!(problems(&[ALL], "api: {load-balancer: external, address: 192.0.2.100}"), "fine");
        let dressed =
            "labels: {disk: ssd, example.com/rack: r_1.a, empty: ''}, taints: ['a:NoSchedule', 'x/a=b:NoExecute']";
        assert_eq!(problems(&[ALL, &format!("{WORKER}, ssh: {{connection: local}}, {dressed}")], ""), "fine");
    }

    #[test]
    fn names_and_addresses_are_each_hosts_own() {
        insta::assert_snapshot!(parsed(
            "hosts:\n\
             - {name: a, address: 192.0.2.1, roles: [control-plane]}\n\
             - {name: b, address: 192.0.2.2, roles: [etcd]}\n\
             - {name: a, address: 192.0.2.3, roles: [worker]}\n\
             - {name: c, address: 192.0.2.2, roles: [worker]}\n\
             - {name: a, address: 192.0.2.4, roles: [worker]}\n",
        ), @"
        hosts[2].name: hosts[0], hosts[2], hosts[4] have the name a; each host needs its own
        hosts[3].address: hosts[1], hosts[3] have the address 192.0.2.2; each host needs its own
        ");
    }

    #[test]
    fn names_are_fit_for_a_node() {
        let named = |name: &str| {
            parsed(&format!("hosts: [{{name: {name}, address: 192.0.2.1, roles: [control-plane, etcd]}}]"))
        };
        insta::assert_snapshot!(named("localhost"), @"hosts[0].name: host localhost: its name means every host itself; give it a name of its own");
        insta::assert_snapshot!(named("localhost4.localdomain4"), @"hosts[0].name: host localhost4.localdomain4: its name means every host itself; give it a name of its own");
        insta::assert_snapshot!(named("192.0.2.1"), @"hosts[0].name: host 192.0.2.1: its name is an address; give it a name, and the address as `address`");
        insta::assert_snapshot!(named("api.kubernetes.internal"), @"hosts[0].name: host api.kubernetes.internal: its name is that of the API endpoint; give it another, or set `api.endpoint`");
        insta::assert_snapshot!(named(&format!("{}.{}", "x".repeat(40), "y".repeat(40))), @"hosts[0].name: host xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy: its name has 81 characters, and Kubernetes takes at most 63 for a node");
    }

    #[test]
    fn addresses_are_outside_the_cluster() {
        let at = |address: &str| {
            parsed(&format!("hosts: [{{name: a, address: '{address}', roles: [control-plane, etcd]}}]"))
        };
        insta::assert_snapshot!(at("10.244.3.4"), @"hosts[0].address: host a: address 10.244.3.4 lies in pod-cidr 10.244.0.0/16; they need addresses of their own");
        insta::assert_snapshot!(at("10.96.0.1"), @"hosts[0].address: host a: address 10.96.0.1 lies in service-cidr 10.96.0.0/12; they need addresses of their own");
        insta::assert_snapshot!(at("127.0.1.1"), @"hosts[0].address: host a: address 127.0.1.1 is not an address that other hosts can reach");
        insta::assert_snapshot!(at("2001:db8::1"), @"hosts[0].address: host a: address 2001:db8::1 is IPv6, and service-cidr 10.96.0.0/12 is IPv4, which the API server wants its own address to be of; write an IPv4 address, or begin network.service-cidr and network.pod-cidr with an IPv6 network");
    }

    #[test]
    fn roles_make_a_cluster() {
        insta::assert_snapshot!(problems(&[WORKER, "roles: []"], ""), @"
        hosts[1].roles: host n2: it has no role; give it one or more of control-plane, etcd and worker
        hosts: no host has the role control-plane; one is needed, three let the cluster survive the loss of one
        hosts: no host has the role etcd; give it to the control planes, or to one, three or five hosts of its own
        ");
        insta::assert_snapshot!(problems(&[ALL].repeat(9), ""), @"hosts: 9 hosts have the role etcd; more than 7 only make it slower, take three or five");
    }

    #[test]
    fn only_nodes_have_labels_and_taints() {
        let etcd = "roles: [etcd], labels: {disk: ssd}, taints: ['a:NoSchedule']";
        insta::assert_snapshot!(problems(&["roles: [control-plane]", etcd], ""), @"
        hosts[1].labels: host n2: labels are for nodes, and a host with etcd alone is none; remove them
        hosts[1].taints: host n2: taints are for nodes, and a host with etcd alone is none; remove them
        ");
    }

    #[test]
    fn one_host_at_most_is_here() {
        let here = format!("{ALL}, ssh: {{connection: local}}");
        insta::assert_snapshot!(problems(&[&here, &format!("{WORKER}, ssh: {{connection: local}}"), WORKER], ""), @"hosts: hosts n1, n2 all have `connection: local`, and only one can be the host that kinstall runs on; keep it for that one");
        insta::assert_snapshot!(problems(&[ALL, WORKER, &format!("{WORKER}, ssh: {{connection: ssh}}")], "ssh: {connection: local}"), @"hosts: hosts n1, n2 all have `connection: local`, and only one can be the host that kinstall runs on; keep it for that one");
    }

    #[test]
    fn ssh_gets_no_options_by_the_back_door() {
        let host = format!("{ALL}, ssh: {{address: '-oProxyCommand=x', user: 'a b', port: 0, key: ''}}");
        insta::assert_snapshot!(problems(&[ALL], "ssh: {jump: 'a,b', jump-key: k}"), @"ssh.jump-key: ssh: jump-key is for one host to go through; name it as `jump`, or remove the key");
        insta::assert_snapshot!(problems(&[ALL], "ssh: {jump-key: k}"), @"ssh.jump-key: ssh: jump-key is for one host to go through; name it as `jump`, or remove the key");
        insta::assert_snapshot!(problems(&[&host], "ssh: {jump: '-x', address: 192.0.2.9}"), @"
        ssh.jump: ssh: jump is empty, begins with `-`, or has spaces or control characters in it
        ssh.address: ssh: address belongs to one host; write it at that host
        hosts[0].ssh.address: host n1: ssh address is empty, begins with `-`, or has spaces or control characters in it
        hosts[0].ssh.user: host n1: ssh user is empty, begins with `-`, or has spaces or control characters in it
        hosts[0].ssh.key: host n1: ssh key is empty, begins with `-`, or has spaces or control characters in it
        hosts[0].ssh.port: host n1: ssh port 0 is not a port; 22 is usual
        ");
    }

    #[test]
    fn each_node_has_room_for_its_pods() {
        insta::assert_snapshot!(problems(&[ALL, WORKER, WORKER], "network: {pod-cidr: 10.1.0.0/23}"), @"network.pod-cidr: pod-cidr 10.1.0.0/23 has room for 2 nodes, each with a /24, and there are 3; take a larger network");
        assert_eq!(problems(&[ALL, WORKER], "network: {pod-cidr: 10.1.0.0/23}"), "fine");
    }
}
