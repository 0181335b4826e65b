//! Inventories as people have them.

use proptest::prelude::*;

use super::*;

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

/// What is read, one line a host, and the remarks; or the problems.
fn read(text: &str) -> String {
    let inventory = match Inventory::parse(text) {
        Ok(inventory) => inventory,
        Err(error) => return format!("refused\n{error}"),
    };
    let flow = |value: &Ssh| serde_json::to_string(value).unwrap().replace('"', "");
    let host = |host: &HostSpec| {
        let roles: Vec<_> = host.roles.iter().map(|role| role.as_str()).collect();
        format!("{} {} {} {}", host.name, host.address, roles.join("+"), flow(&host.ssh))
    };
    let hosts = inventory.hosts.iter().map(host);
    let remarks = inventory.remarks.iter().map(ToString::to_string);
    let lines: Vec<_> = hosts.chain([format!("all {}", flow(&inventory.ssh))]).chain(remarks).collect();
    lines.join("\n")
}

/// An inventory whose only host is the whole cluster and has `variables`.
fn one(variables: &str) -> String {
    read(&format!("[kube_control_plane]\na ip=192.0.2.1 {variables}\n"))
}

#[test]
fn kubesprays_sample_is_a_cluster() {
    insta::assert_snapshot!(read(SAMPLE), @"");
    let spec = Inventory::parse(SAMPLE).unwrap().into_spec(ClusterSpec::default());
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
        "\u{feff}; two kinds of comment\n\
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
    ), @"");
}

#[test]
fn a_host_that_is_in_both_groups_has_both_roles_and_etcd_goes_beside() {
    insta::assert_snapshot!(read("a ansible_host=192.0.2.1\n[kube_control_plane]\na\n[kube_node]\na\n"), @"");
}

#[test]
fn how_hosts_are_reached_is_taken_over() {
    insta::assert_snapshot!(one("ansible_host=a.example.com ansible_user=u ansible_port=2222 ansible_ssh_private_key_file=~/.ssh/k"), @"");
    insta::assert_snapshot!(one("ansible_host=192.0.2.1 ansible_become=true ansible_become_user=root"), @"");
    insta::assert_snapshot!(one("ansible_connection=local ansible_host=198.51.100.1 ansible_become=no"), @"");
    insta::assert_snapshot!(one("ansible_ssh_common_args='-o ProxyJump=u@gate.example.com:22 -C'"), @"");
    insta::assert_snapshot!(one("access_ip=192.0.2.1"), @"");
    insta::assert_snapshot!(one("access_ip=198.51.100.1"), @"");
    insta::assert_snapshot!(one("ansible_connection=docker"), @"");
}

#[test]
fn a_bastion_is_gone_through() {
    insta::assert_snapshot!(read(
        "[bastion]\nbastion ansible_host=198.51.100.9 ansible_user=u ansible_port=2022 ansible_ssh_private_key_file=k\nother\n\
         [kube_control_plane]\na ansible_host=192.0.2.1\nb ansible_host=192.0.2.2 ansible_ssh_common_args='-J own'\n",
    ), @"");
}

#[test]
fn no_secret_is_copied_or_shown() {
    let read = one("ansible_password=hunter2 ansible_become=yes ansible_become_pass=hunter3 my_token=hunter4");
    assert!(!read.contains("hunter"), "{read}");
    insta::assert_snapshot!(read, @"");
}

#[test]
fn what_is_left_out_is_told_once_with_its_lines() {
    insta::assert_snapshot!(read(
        "[kube_control_plane]\na ip=192.0.2.1 node_labels=x\n[kube_node]\n\
         b ip=192.0.2.2 node_labels=x\nc ip=192.0.2.3 node_labels=x\nd ip=192.0.2.4 node_labels=x\ne ip=192.0.2.5 node_labels=x\n\
         [spare]\nf\n[calico_rr]\nf\n[kube_node:vars]\nkube_version=v1.25.2\n",
    ), @"");
}

#[test]
fn what_cannot_be_is_refused_all_at_once() {
    insta::assert_snapshot!(read(
        "[kube_control_plane]\nA_b ip=192.0.2.1\nb ip=192.0.2\nc\nd ip='{{ secret }}'\ne ip=192.0.2.5 ansible_port=0\n\
         f ip=192.0.2.6 ansible_become_user=admin ansible_become=maybe\ng ip=192.0.2.7 ansible_become_method=su\n\
         h ip=fd00::1\n",
    ), @"");
}

#[test]
fn lines_that_make_no_sense_are_refused_all_at_once() {
    insta::assert_snapshot!(read(
        "[kube_control_plane]\na b\nc 'd\ne[1:2\n[x:y]\nignored\n[x\n[ ]\n[x:children]\nnobody\ntwo words\n[y:vars]\nz=1\nno value\n",
    ), @"");
    insta::assert_snapshot!(read("[a:children]\nb\n[b:children]\na\nc\n[c]\n"), @"");
    insta::assert_snapshot!(read("a[1:9999]\nb[1:9999]\n"), @"");
}

#[test]
fn a_yaml_inventory_is_named_as_such() {
    insta::assert_snapshot!(read("---\nall:\n  hosts:\n    node1:\n      ansible_host: 192.0.2.1\n"), @"");
}

#[test]
fn no_host_is_no_cluster() {
    insta::assert_snapshot!(read(""), @"");
    insta::assert_snapshot!(read("[all]\na ip=192.0.2.1\n"), @"");
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in "\\PC*|(\\[?[a-c:]{0,4}(vars|children)?\\]?[ =a-c'\"#\\[\\]:0-9.\n]{0,9}\n?){0,30}") {
        let _ = Inventory::parse(&text);
    }

    /// The hosts and roles that were written are those that are read.
    #[test]
    fn roles_come_from_groups(roles in prop::collection::vec(1_u8..8, 1..20)) {
        let groups = [(1, "kube_control_plane"), (2, "etcd"), (4, "kube_node")];
        let mut text = "[all]\n".to_owned();
        for number in 0..roles.len() {
            text += &format!("n{number} ip=192.0.2.{number}\n");
        }
        for (bit, group) in groups {
            text += &format!("[{group}]\n");
            for (number, _) in roles.iter().enumerate().filter(|(_, roles)| *roles & bit != 0) {
                text += &format!("n{number}\n");
            }
        }
        let inventory = Inventory::parse(&text).unwrap();
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
