//! Cases of users, each reduced to the part that was once read wrongly, and inventories in folders.

use std::path::Path;

use fs_err as fs;
use tempfile::TempDir;

use super::samples::{LAYOUT, case};
use super::tests::{resolver, shown};

/// The result of reading `path` in a folder with these files.
fn read(files: &[(&str, &str)], path: &str) -> String {
    let folder = folder(files);
    match super::read(&folder.path().join(path), &resolver) {
        Ok(imported) => shown(&imported),
        Err(error) => format!("refused\n{error}"),
    }
}

/// The result of reading a case.
fn of(name: &str) -> String {
    read(&[(name, case(name))], name)
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

#[test]
fn an_inventory_in_yaml_is_read() {
    insta::assert_snapshot!(of("flow.yaml"), @"
    a 192.0.2.1 control-plane+etcd+worker {address:198.51.100.1}
    b 192.0.2.2 control-plane+worker {address:198.51.100.2}
    all {}
    ");
    insta::assert_snapshot!(of("block.yml"), @"
    c-01 192.0.2.11 control-plane+etcd {port:2222}
    w-01 192.0.2.21 worker {} disk=ssd gpu=True
    all {user:ops,key:/keys/site,jump:jump@198.51.100.7,jump-key:/keys/site,sudo:passwordless}
    ");
    insta::assert_snapshot!(of("whole.json"), @"
    n1 192.0.2.1 control-plane+etcd {address:n1}
    n2 192.0.2.2 worker {address:n2}
    all {port:2200}
    no host is in group `etcd`; etcd goes beside the control planes
    ");
    assert_eq!(read(&[("hosts", case("block.yml"))], "hosts"), of("block.yml"), "no end, and YAML all the same");
}

#[test]
fn yaml_that_is_no_inventory_is_told() {
    let of = |text: &str| read(&[("hosts.yaml", text)], "hosts.yaml");
    insta::assert_snapshot!(of("all: [a]\n- b\n"), @"
    refused
    line 2: it is not valid YAML: while parsing a block mapping, did not find expected key
    ");
    insta::assert_snapshot!(of("- a\n"), @"
    refused
    line 1: an inventory in YAML is a mapping of groups, such as `all:`
    ");
    insta::assert_snapshot!(of("all:\n  hosts: [a]\n  host: {b: }\n  x: 1\nb: c\n"), @"
    refused
    line 2: `hosts`, `vars` and `children` are mappings, with `:` behind each name
    ");
    insta::assert_snapshot!(of("all:\n  hosts:\n    a: 1\n    'b[1': \n  children: {x: {children: {all: }}}\n"), @"
    refused
    group `all` is a child of another group, and it is above all of them
    line 3: host `a` has a value that is not a mapping of variables
    line 4: a range is written `[1:3]`
    line 5: group `x` is a child of itself, through its children
    ");
    insta::assert_snapshot!(of("plugin: aws_ec2\n"), @"
    refused
    line 1: it configures a plugin that makes an inventory; let Ansible write it out, `ansible-inventory -i FILE --list --yaml --output hosts.yaml`, and give that file
    ");
    insta::assert_snapshot!(of("_meta: {hostvars: {}}\n"), @"
    refused
    line 1: it is what `ansible-inventory --list` prints, which Ansible itself does not read; add `--yaml`
    ");
    insta::assert_snapshot!(read(&[("hosts.toml", "[all]\n")], "hosts.toml"), @"
    refused
    inventories in TOML are not read; let Ansible write it out, `ansible-inventory -i FILE --list --yaml --output hosts.yaml`, and give that file
    ");
    insta::assert_snapshot!(read(&[("hosts", "#!/usr/bin/env python3\n")], "hosts"), @"
    refused
    it is a program that prints an inventory; let Ansible write it out, `ansible-inventory -i FILE --list --yaml --output hosts.yaml`, and give that file
    ");
    insta::assert_snapshot!(read(&[("hosts.ini", "$ANSIBLE_VAULT;1.1;AES256\n6162\n")], "hosts.ini"), @"
    refused
    it is encrypted by `ansible-vault`; decrypt it for the import (`ansible-vault decrypt`)
    ");
}

#[test]
fn a_name_may_be_the_address_or_resolve_to_it() {
    insta::assert_snapshot!(of("addresses.ini"), @"
    node-192-0-2-11 192.0.2.11 control-plane+etcd {}
    node-192-0-2-12 192.0.2.12 control-plane+etcd {}
    node-192-0-2-21 192.0.2.21 worker {}
    all {key:/keys/id}
    lines 2, 8: a node cannot be named as an address: hosts that are named by theirs are called `node-` and their address with `-`
    ");
    let text = "[kube_control_plane]\nnamed.example.com\n";
    insta::assert_snapshot!(read(&[("named.ini", text)], "named.ini"), @"
    named.example.com 192.0.2.77 control-plane+etcd {address:named.example.com}
    all {}
    no host is in group `etcd`; etcd goes beside the control planes
    line 2: host `named.example.com` has no `ip`; other hosts reach it at 192.0.2.77, which `named.example.com` resolves to here
    ");
    let text = "[kube_control_plane]\nnamed.example.com\n[kube_node]\nb ansible_host=named.example.com\nc\n";
    insta::assert_snapshot!(read(&[("named.ini", text)], "named.ini"), @"
    refused
    line 5: host `c` has no address that other hosts reach it by, and `c` resolves to none here; add `ip=`
    ");
}

#[test]
fn a_bastion_in_a_proxy_command_is_gone_through() {
    insta::assert_snapshot!(of("proxy-command.ini"), @"
    c1 10.0.1.11 control-plane+etcd {}
    w1 10.0.1.21 worker {}
    all {port:22,user:ubuntu,jump:ops@198.51.100.7,sudo:passwordless}
    line 15: left out of the arguments of ssh: `-q` of the ProxyCommand, `StrictHostKeyChecking`, `StrictHostKeyChecking` of the ProxyCommand; OpenSSH's own configuration (~/.ssh/config) is the place for them
    ");
    insta::assert_snapshot!(of("proxy-command-with-key.ini"), @"
    c1 10.0.1.11 control-plane+etcd+worker {}
    all {user:ops,jump:jump@198.51.100.7:2222,jump-key:keys/gate}
    line 10: left out of the arguments of ssh: `UserKnownHostsFile` of the ProxyCommand; OpenSSH's own configuration (~/.ssh/config) is the place for them
    ");
    insta::assert_snapshot!(of("same-name.ini"), @"
    a 192.0.2.1 control-plane+etcd {jump:u@198.51.100.9:2022,jump-key:k}
    b 192.0.2.2 worker {jump:own}
    all {}
    no host is in group `etcd`; etcd goes beside the control planes
    ");
}

#[test]
fn labels_and_taints_are_those_of_the_node() {
    insta::assert_snapshot!(of("labels-of-groups.ini"), @"
    m1 192.0.2.1 control-plane+etcd+worker {} nic=disabled
    m3 192.0.2.3 etcd {}
    m2 192.0.2.2 worker {} nic=enabled
    all {user:root}
    ");
    insta::assert_snapshot!(of("labels-and-taints.ini"), @"
    c1 192.0.2.11 control-plane+etcd {}
    w1 192.0.2.21 worker {} disk=ssd example.org/rack=7 dedicated=db:NoSchedule
    all {}
    line 3: `node_labels` is left out; it is not a mapping, and Kubespray labels nodes from nothing else
    line 3: `node_taints` is left out; it is not a list, and Kubespray taints nodes from nothing else
    ");
}

#[test]
fn booleans_and_ports_are_ansibles() {
    insta::assert_snapshot!(of("booleans.ini"), @"
    n1 192.0.2.1 control-plane+etcd {}
    n2 192.0.2.2 worker {}
    all {sudo:passwordless}
    ");
    insta::assert_snapshot!(of("ports.ini"), @"
    n1 192.0.2.1 control-plane+etcd {}
    n2 192.0.2.2 worker {port:2222}
    n3 192.0.2.3 worker {port:2023}
    all {}
    ");
}

#[test]
fn a_folder_is_read_with_its_variables() {
    let files = [
        (
            "site/inventory.ini",
            "[kube_control_plane]\na\n[kube_node]\nb\n[k8s_cluster:children]\nkube_control_plane\nkube_node\n[kube_node:vars]\nansible_port=1\n[all:vars]\nansible_user=one\n",
        ),
        ("site/more.yaml", "etcd: {children: {kube_control_plane: }}\n"),
        ("site/notes.md", "# no inventory\n"),
        ("site/.hidden", "[x"),
        ("site/artifacts/admin.conf", "apiVersion: v1\n"),
        ("site/group_vars/all/all.yml", "ansible_user: two\nansible_port: 2\nadmin: ops\n"),
        ("site/group_vars/all/sub/z.yml", "ansible_user: '{{ admin }}'\n"),
        ("site/group_vars/all/.z.yml", "ansible_user: hidden\n"),
        ("site/group_vars/all/readme.txt", "no YAML: at: all\n"),
        ("site/group_vars/all.yml", "ansible_user: never\n"),
        ("site/group_vars/kube_node.json", "{\"ansible_port\": 3}"),
        ("site/group_vars/nobody.yml", "ansible_user: nobody\n"),
        ("site/host_vars/a.yml", "ip: 192.0.2.1\nansible_port: 4\n"),
        ("site/host_vars/b", "ip: 192.0.2.2\n"),
        ("site/group_vars/etcd.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
    ];
    insta::assert_snapshot!(read(&files, "site"), @"
    a 192.0.2.1 control-plane+etcd {address:a,port:4}
    b 192.0.2.2 worker {address:b,port:3}
    all {user:ops}
    artifacts/admin.conf line 1: this file is not an inventory and is left out: `apiVersion:` ends in `:`, and no port follows
    group_vars/etcd.yml: it is encrypted by `ansible-vault` and not read; what it says is unknown to kinstall
    ");
    // Also beside a single file; the other inventories of the folder are not read.
    insta::assert_snapshot!(read(&files, "site/inventory.ini"), @"
    a 192.0.2.1 control-plane+etcd {address:a,port:4}
    b 192.0.2.2 worker {address:b,port:3}
    all {user:ops}
    no host is in group `etcd`; etcd goes beside the control planes
    ");
}

#[test]
fn files_of_variables_that_cannot_be_read_are_refused() {
    let files = [
        ("inventory.ini", "[kube_control_plane]\na ip=192.0.2.1\n"),
        ("group_vars/all.yml", "a: b: c\n"),
        ("group_vars/kube_control_plane.yml", "- a\n"),
        ("host_vars/a.yml", "ansible_user: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n"),
    ];
    insta::assert_snapshot!(read(&files, "inventory.ini"), @"
    refused
    group_vars/all.yml line 1: it is not valid YAML: mapping values are not allowed in this context
    group_vars/kube_control_plane.yml line 1: a file of variables is a mapping, `name: value`
    host_vars/a.yml line 1: `ansible_user` is encrypted by `ansible-vault`; write the value itself
    ");
}

#[test]
fn kubesprays_sample_layout_is_a_cluster() {
    let folder = folder(&LAYOUT);
    let imported = super::read(folder.path(), &resolver).unwrap();
    imported.spec(None).unwrap().validate().unwrap();
    insta::assert_snapshot!(shown(&imported), @"
    node1 192.0.2.1 control-plane+etcd {address:198.51.100.1}
    node2 192.0.2.2 control-plane+etcd {address:198.51.100.2}
    node3 192.0.2.3 control-plane+etcd {address:198.51.100.3}
    node4 192.0.2.4 worker {address:198.51.100.4}
    node5 192.0.2.5 worker {address:198.51.100.5}
    all {}
    network:
      pod-cidr: 10.233.64.0/18
      service-cidr: 10.233.0.0/18
      node-cidr-mask-size: 24
      dns-domain: cluster.local
      cni: calico
      kube-proxy:
        mode: ipvs
    security:
      encryption-at-rest: disabled
      audit-log: disabled
    api-server:
      extra-args:
        event-ttl: 1h0m0s
    group_vars/all/all.yml lines 2, group_vars/all/etcd.yml lines 2, group_vars/k8s_cluster/k8s-cluster.yml lines 2 and 4 more: left out: `bin_dir`, `credentials_dir`, `etcd_data_dir`, `kube_config_dir`, `kube_manifest_dir`, `kube_owner`, `kube_script_dir`: kinstall has its own places for files and its own names for users
    group_vars/all/all.yml line 4: left out: `loadbalancer_apiserver_healthcheck_port`: kinstall sets up HAProxy and kube-vip with settings of its own
    group_vars/all/all.yml lines 6, 7, group_vars/k8s_cluster/k8s-cluster.yml line 42: left out: `auto_renew_certificates`, `ntp_enabled`, `ntp_servers`: kinstall has no such setting
    group_vars/all/all.yml line 9, group_vars/k8s_cluster/k8s-cluster.yml line 37: left out: `k8s_image_pull_policy`, `unsafe_show_logs`: files, images and their versions come with the bundle
    group_vars/k8s_cluster/addons.yml line 12: left out: `krew_root_dir`: bundles have no such add-on; manifests of the site are applied once the cluster runs
    group_vars/k8s_cluster/k8s-cluster.yml lines 5, 8, 15: left out: `kube_api_anonymous_auth`, `kube_apiserver_ip`, `kube_log_level`: this setting of the API server is not imported; write flags under `api-server.extra-args` in cluster.yaml
    group_vars/k8s_cluster/k8s-cluster.yml line 6: `kube_version` is left out; the bundle decides the version of Kubernetes; build it with `--k8s 1.36.3`
    group_vars/k8s_cluster/k8s-cluster.yml line 19: left out: `kube_proxy_nodeport_addresses`: of kube-proxy's settings only its mode, its gates and `kube_proxy_strict_arp` are imported; write others under `network.kube-proxy.config` in cluster.yaml
    group_vars/k8s_cluster/k8s-cluster.yml line 25: `kube_encrypt_secret_data: false` is taken over; kinstall's default is `security.encryption-at-rest: enabled`
    group_vars/k8s_cluster/k8s-cluster.yml lines 27, 28, 29 and 3 more: left out: `dns_mode`, `enable_nodelocaldns`, `ndots`, `nodelocaldns_ip`, `resolvconf_mode`, `skydns_server`: the cluster's DNS is kubeadm's CoreDNS, and hosts keep their own resolvers
    group_vars/k8s_cluster/k8s-cluster.yml lines 36, 43, 44: left out: `kubeadm_certificate_key`, `kubeadm_patches_dir`, `kubeadm_patches`: this setting of the controller manager, the scheduler or kubeadm is not imported; write flags under `controller-manager.extra-args` and `scheduler.extra-args` in cluster.yaml
    group_vars/k8s_cluster/k8s-cluster.yml line 38: `kubernetes_audit: false` is taken over; kinstall's default is `security.audit-log: enabled`
    group_vars/k8s_cluster/k8s-net-calico.yml lines 2, 3: left out: `calico_cni_name`, `calico_pool_blocksize`: of Calico's settings only its mode, encapsulation, MTU and network of the hosts are imported
    inventory.ini lines 3, 4, 5: `etcd_member_name` is left out; kinstall names members of etcd after their hosts
    ");
}
