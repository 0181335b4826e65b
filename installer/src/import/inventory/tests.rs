//! Inventories as people have them.

use proptest::prelude::*;

use std::net::IpAddr;

use super::*;
use crate::config::{HostSpec, Ssh};

/// A name service that knows one name.
pub(super) fn resolver(name: &str) -> Vec<IpAddr> {
    let known = name == "named.example.com";
    known.then(|| ["127.0.1.1".parse().unwrap(), "192.0.2.77".parse().unwrap()]).into_iter().flatten().collect()
}

/// Kubespray's own sample, its comments shortened, with the addresses that it leaves to the user.
const SAMPLE: &str = "\
# ## Configure 'ip' variable to bind kubernetes services on a different ip than the default iface
# ## We should set etcd_member_name for etcd cluster.
[all]
node1 ansible_host=198.51.100.1 ip=192.0.2.1 etcd_member_name=etcd1
node2 ansible_host=198.51.100.2 ip=192.0.2.2 etcd_member_name=etcd2
node3 ansible_host=198.51.100.3 ip=192.0.2.3 etcd_member_name=etcd3
node4 ansible_host=198.51.100.4 ip=192.0.2.4
node5 ansible_host=198.51.100.5 ip=192.0.2.5

# ## configure a bastion host if your nodes are not directly reachable
# [bastion]
# bastion ansible_host=x.x.x.x ansible_user=some_user

[kube_control_plane]
node1
node2
node3

[etcd]
node1
node2
node3

[kube_node]
node3
node4
node5

[calico_rr]

[k8s_cluster:children]
kube_control_plane
kube_node
calico_rr
";

/// The result of reading: the hosts, one on each line, and the remarks; or the problems.
fn read(text: &str) -> String {
    let imported = match parse(text, &resolver) {
        Ok(imported) => imported,
        Err(error) => return format!("refused\n{error}"),
    };
    shown(&imported)
}

/// The hosts, one on each line, then their common settings, the cluster's settings, and the remarks.
pub(super) fn shown(imported: &Imported) -> String {
    let flow = |value: &Ssh| serde_json::to_string(value).unwrap().replace('"', "");
    let host = |host: &HostSpec| {
        let roles: Vec<_> = host.roles.iter().map(|role| role.as_str()).collect();
        let labels: Vec<_> = host.labels.iter().map(|(key, value)| format!(" {key}={value}")).collect();
        let taints: Vec<_> = host.taints.iter().map(|taint| format!(" {taint}")).collect();
        let more = format!("{}{}", labels.concat(), taints.concat());
        format!("{} {} {} {}{more}", host.name, host.address, roles.join("+"), flow(&host.ssh))
    };
    let hosts = imported.hosts.iter().map(host).chain([format!("all {}", flow(&imported.ssh))]);
    let spec = imported.settings.clone().into_spec().unwrap();
    let settings = serde_yaml::to_string(&imported.settings.part_of(&spec, &[])).unwrap();
    let settings = settings.lines().filter(|line| *line != "{}").map(str::to_owned).collect::<Vec<_>>();
    let remarks = imported.remarks.iter().map(ToString::to_string);
    hosts.chain(settings).chain(remarks).collect::<Vec<_>>().join("\n")
}

/// An inventory whose only host is the whole cluster and has `variables`.
fn one(variables: &str) -> String {
    read(&format!("[kube_control_plane]\na ip=192.0.2.1 {variables}\n"))
}

#[test]
fn kubesprays_sample_is_a_cluster() {
    insta::assert_snapshot!(read(SAMPLE), @"
    node1 192.0.2.1 control-plane+etcd {address:198.51.100.1}
    node2 192.0.2.2 control-plane+etcd {address:198.51.100.2}
    node3 192.0.2.3 control-plane+etcd+worker {address:198.51.100.3}
    node4 192.0.2.4 worker {address:198.51.100.4}
    node5 192.0.2.5 worker {address:198.51.100.5}
    all {}
    lines 4, 5, 6: `etcd_member_name` is left out; kinstall names members of etcd after their hosts
    ");
    let spec = parse(SAMPLE, &resolver).unwrap().spec(None).unwrap();
    assert!(spec.validate().is_ok());
}

#[test]
fn old_names_mean_the_same() {
    let old = SAMPLE.replace("kube_control_plane", "kube-master").replace("kube_node", "kube-node");
    let old = old
        .replace("k8s_cluster", "k8s-cluster")
        .replace("calico_rr", "calico-rr")
        .replace("ansible_host", "ansible_ssh_host");
    assert_eq!(read(&old), read(SAMPLE));
}

#[test]
fn ranges_nesting_and_quotes_are_ansibles() {
    insta::assert_snapshot!(read(
        "; two kinds of comment\n\
         lonely ip=192.0.2.99\n\
         [masters]\r\n\
         m[1:2].example.com:2222 ansible_user='the admin'  # why not\n\
         m3.example.com\n\
         [kube_control_plane:children]  # of this group\n\
         masters\n\
         [racks:children]\n\
         rack-a\n\
         rack-b\n\
         [rack-a]\n\
         w[01:02] ip=192.0.2.1\n\
         [rack-b]\n\
         w[a:b]\n\
         [kube_node:children]\n\
         racks\n\
         [all:vars]\n\
         ansible_user = root\n\
         ansible_port = 22 # as usual\n\
         [rack-b:vars]\n\
         ansible_user=\"rack b\"   # inner groups win\n\
         [racks:vars]\n\
         ansible_user=racks\n\
         ansible_host=192.0.2.7\n\
         [masters:vars]\n\
         ip=192.0.2.5\n",
    ), @"
    m1.example.com 192.0.2.5 control-plane+etcd {address:m1.example.com,port:2222,user:the admin}
    m2.example.com 192.0.2.5 control-plane+etcd {address:m2.example.com,port:2222,user:the admin}
    m3.example.com 192.0.2.5 control-plane+etcd {address:m3.example.com,port:22,user:root}
    w01 192.0.2.1 worker {address:192.0.2.7,port:22,user:racks}
    w02 192.0.2.1 worker {address:192.0.2.7,port:22,user:racks}
    wa 192.0.2.7 worker {port:22,user:rack b}
    wb 192.0.2.7 worker {port:22,user:rack b}
    all {}
    no host is in group `etcd`; etcd goes beside the control planes
    line 2: this host is in no group of the cluster, so it is left out
    ");
}

#[test]
fn a_host_that_is_in_both_groups_has_both_roles_and_etcd_goes_beside() {
    insta::assert_snapshot!(read("a ansible_host=192.0.2.1\n[kube_control_plane]\na\n[kube_node]\na\n"), @"
    a 192.0.2.1 control-plane+etcd+worker {}
    all {}
    no host is in group `etcd`; etcd goes beside the control planes
    ");
}

#[test]
fn how_hosts_are_reached_is_taken_over() {
    insta::assert_snapshot!(one("ansible_host=a.example.com ansible_user=u ansible_port=2222 ansible_ssh_private_key_file=~/.ssh/k"), @"
    a 192.0.2.1 control-plane+etcd {address:a.example.com}
    all {port:2222,user:u,key:~/.ssh/k}
    no host is in group `etcd`; etcd goes beside the control planes
    ");
    insta::assert_snapshot!(one("ansible_host=192.0.2.1 ansible_become=true ansible_become_user=root"), @"
    a 192.0.2.1 control-plane+etcd {}
    all {sudo:passwordless}
    no host is in group `etcd`; etcd goes beside the control planes
    ");
    insta::assert_snapshot!(one("ansible_connection=local ansible_host=198.51.100.1 ansible_become=no"), @"
    a 192.0.2.1 control-plane+etcd {connection:local}
    all {sudo:never}
    no host is in group `etcd`; etcd goes beside the control planes
    ");
    insta::assert_snapshot!(one("ansible_ssh_common_args='-o ProxyJump=u@gate.example.com:22 -C'"), @"
    a 192.0.2.1 control-plane+etcd {address:a}
    all {jump:u@gate.example.com:22}
    no host is in group `etcd`; etcd goes beside the control planes
    line 2: left out of the arguments of ssh: `-C`; OpenSSH's own configuration (~/.ssh/config) is the place for them
    ");
    insta::assert_snapshot!(one("access_ip=192.0.2.1"), @"
    a 192.0.2.1 control-plane+etcd {address:a}
    all {}
    no host is in group `etcd`; etcd goes beside the control planes
    ");
    insta::assert_snapshot!(one("access_ip=198.51.100.1"), @"
    a 192.0.2.1 control-plane+etcd {address:a}
    all {}
    no host is in group `etcd`; etcd goes beside the control planes
    line 2: `access_ip` is left out, because kinstall has one address for a host, `ip`; the hosts have to reach each other there
    ");
    insta::assert_snapshot!(one("ansible_connection=docker"), @"
    refused
    line 2: connection `docker` is not one that kinstall has; there are `ssh` and `local`
    ");
}

#[test]
fn a_bastion_is_gone_through() {
    insta::assert_snapshot!(read(
        "[bastion]\nbastion ansible_host=198.51.100.9 ansible_user=u ansible_port=2022 ansible_ssh_private_key_file=k\nother\n\
         [kube_control_plane]\na ansible_host=192.0.2.1\nb ansible_host=192.0.2.2 ansible_ssh_common_args='-J own'\n",
    ), @"
    a 192.0.2.1 control-plane+etcd {jump:u@198.51.100.9:2022,jump-key:k}
    b 192.0.2.2 control-plane+etcd {jump:own}
    all {}
    no host is in group `etcd`; etcd goes beside the control planes
    line 3: kinstall goes through one bastion, the first; this one is left out
    ");
}

#[test]
fn a_members_name_is_remarked_upon_where_it_would_be_another() {
    let remarks = |name: &str| one(&format!("etcd_member_name={name}")).matches("etcd_member_name").count();
    assert_eq!([remarks("a"), remarks("''"), remarks("etcd1")], [0, 0, 1]);
}

#[test]
fn no_secret_is_copied_or_shown() {
    let read = one("ansible_password=hunter2 ansible_become=yes ansible_become_pass=hunter3 my_token=hunter4");
    assert!(!read.contains("hunter"), "{read}");
    insta::assert_snapshot!(read, @"
    a 192.0.2.1 control-plane+etcd {address:a}
    all {sudo:password}
    no host is in group `etcd`; etcd goes beside the control planes
    line 2: left out: `ansible_become_pass`: a password is not copied; with `ssh.sudo: password`, kinstall asks for it, once for all hosts
    line 2: left out: `ansible_password`: a password is not copied; kinstall logs in with keys, by OpenSSH's agent or `ssh.key`
    line 2: left out: `my_token`: not known to kinstall
    ");
}

#[test]
fn what_is_left_out_is_told_once_with_its_lines() {
    insta::assert_snapshot!(read(
        "[kube_control_plane]\na ip=192.0.2.1 my_token=x\n[kube_node]\n\
         b ip=192.0.2.2 my_token=x\nc ip=192.0.2.3 my_token=x\nd ip=192.0.2.4 my_token=x\ne ip=192.0.2.5 my_token=x\n\
         [spare]\nf\n[calico_rr]\nf\n[kube_node:vars]\nkube_version=v1.25.2\n",
    ), @"
    a 192.0.2.1 control-plane+etcd {address:a}
    b 192.0.2.2 worker {address:b}
    c 192.0.2.3 worker {address:c}
    d 192.0.2.4 worker {address:d}
    e 192.0.2.5 worker {address:e}
    all {}
    no host is in group `etcd`; etcd goes beside the control planes
    lines 2, 4, 5 and 2 more: left out: `my_token`: not known to kinstall
    line 9: kinstall sets up no route reflectors; group `calico_rr` is left out
    line 9: this host is in no group of the cluster, so it is left out
    line 13: `kube_version` is left out; the bundle decides the version of Kubernetes; build it with `--k8s 1.25.2`
    ");
}

#[test]
fn what_cannot_be_is_refused_all_at_once() {
    insta::assert_snapshot!(read(
        "[kube_control_plane]\nA_b ip=192.0.2.1\nb ip=192.0.2\nc\nd ip='{{ secret }}'\ne ip=192.0.2.5 ansible_port=0\n\
         f ip=192.0.2.6 ansible_become_user=admin ansible_become=maybe\ng ip=192.0.2.7 ansible_become_method=su\n\
         h ip=fd00::1\n",
    ), @"
    refused
    line 2: `A_b` cannot name a node; lowercase letters, digits, `-` and `.` can
    line 3: `192.0.2` is not an IPv4 address
    line 4: host `c` has no address that other hosts reach it by, and `c` resolves to none here; add `ip=`
    line 5: `ip` is a template that only Ansible can fill in; write the value itself
    line 6: `0` is not a TCP port
    line 7: `ansible_become_user` can only be `root` for kinstall
    line 7: `maybe` is neither true nor false
    line 8: `ansible_become_method` can only be `sudo` for kinstall
    line 9: `fd00::1` is IPv6, and `ipv6_stack` is not on; `ip` and `access_ip` are IPv4, and `ip6` is the other
    ");
}

#[test]
fn lines_that_make_no_sense_are_refused_all_at_once() {
    insta::assert_snapshot!(read(
        "[kube_control_plane]\na b\nc 'd\ne[1:2\n[x:y]\nignored\n[x\n[ ]\n[x:children]\nnobody\ntwo words\n[y:vars]\nz=1\nno value\n",
    ), @"
    refused
    line 2: a host's variable is written `name=value`
    line 3: a quotation mark is not closed
    line 4: a range is written `[1:3]`
    line 5: a section `:y` is not known; there are `:children` and `:vars`
    line 7: a section is written `[group]`
    line 8: a section needs the name of a group, without spaces
    line 10: group `nobody` has no section of its own; add `[nobody]`, even if it is empty
    line 11: a child is the name of a group alone
    line 12: group `y` has variables and no hosts; add `[y]`, even if it is empty
    line 14: a variable is written `name=value`
    ");
    insta::assert_snapshot!(read("[a:children]\nb\n[b:children]\na\nc\n[c]\n"), @"
    refused
    line 4: group `a` is a child of itself, through its children
    ");
    insta::assert_snapshot!(read("a[1:9999]\nb[1:9999]\n"), @"
    refused
    line 2: there are more than 10000 hosts
    ");
}

#[test]
fn no_host_is_no_cluster() {
    insta::assert_snapshot!(read(""), @"
    refused
    no host is in group kube_control_plane, etcd or kube_node
    ");
    insta::assert_snapshot!(read("[all]\na ip=192.0.2.1\n"), @"
    refused
    no host is in group kube_control_plane, etcd or kube_node
    ");
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in "\\PC*|(\\[?[a-c:]{0,4}(vars|children)?\\]?[ =a-c'\"#\\[\\]:0-9.\n]{0,9}\n?){0,30}") {
        let _ = parse(&text, &resolver);
    }

    /// The hosts and roles that are read are the ones that were written.
    #[test]
    fn roles_come_from_groups(roles in prop::collection::vec(1_u8..8, 1..20)) {
        let groups = [(1, "kube_control_plane"), (2, "etcd"), (4, "kube_node")];
        let mut lines = vec!["[all]".to_owned()];
        lines.extend((0..roles.len()).map(|number| format!("n{number} ip=192.0.2.{number}")));
        for (bit, group) in groups {
            lines.push(format!("[{group}]"));
            let members = roles.iter().enumerate().filter(|(_, roles)| *roles & bit != 0);
            lines.extend(members.map(|(number, _)| format!("n{number}")));
        }
        let inventory = parse(&lines.join("\n"), &resolver).unwrap();
        prop_assert_eq!(inventory.hosts.len(), roles.len());
        let etcd_apart = roles.iter().any(|roles| roles & 2 != 0);
        for host in inventory.hosts {
            let number: usize = host.name.as_str()[1..].parse().unwrap();
            let has = host.roles.iter().map(|role| match role {
                kbundle_format::Role::ControlPlane => 1,
                kbundle_format::Role::Etcd => 2,
                kbundle_format::Role::Worker => 4,
            });
            let wanted = roles[number] | if !etcd_apart && roles[number] & 1 != 0 { 2 } else { 0 };
            prop_assert_eq!(has.sum::<u8>(), wanted);
        }
    }
}
