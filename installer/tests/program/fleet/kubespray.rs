//! Kubespray's layout, three control planes and two workers: one command looks at the hosts, one installs.

use fs_err as fs;
use serde_json::{Value, json};

use super::cluster::Network;
use super::stubs::{Stubs, answer};
use super::{SERVER, WORKER};

const HOSTS: &str = "\
[all]
h1 ansible_host=192.0.2.2 ip=192.0.2.2 etcd_member_name=etcd1
h2 ansible_host=192.0.2.3 ip=192.0.2.3 etcd_member_name=etcd2
h3 ansible_host=192.0.2.4 ip=192.0.2.4 etcd_member_name=etcd3
h4 ansible_host=192.0.2.5 ip=192.0.2.5
h5 ansible_host=192.0.2.6 ip=192.0.2.6

[kube_control_plane]
h1
h2
h3

[etcd]
h1
h2
h3

[kube_node]
h4
h5

[calico_rr]

[k8s_cluster:children]
kube_control_plane
kube_node
calico_rr
";

const SETTINGS: &str = "\
kube_network_plugin: flannel
kube_pods_subnet: 10.233.64.0/18
kube_service_addresses: 10.233.0.0/18
kube_version: v1.25.2
loadbalancer_apiserver: {address: 192.0.2.100, port: 6443}
";

#[test]
fn an_inventory_of_five_hosts_takes_one_command_to_look_and_one_to_install() {
    let stubs = Stubs::new(&[SERVER, SERVER, SERVER, WORKER, WORKER]);
    stubs.write_bundle(Network::Flannel);
    fs::create_dir_all(stubs.path("inventory/mycluster/group_vars/k8s_cluster")).unwrap();
    fs::write(stubs.path("inventory/mycluster/inventory.ini"), HOSTS).unwrap();
    fs::write(stubs.path("inventory/mycluster/group_vars/k8s_cluster/k8s-cluster.yml"), SETTINGS).unwrap();
    for number in 1..=3 {
        let seen = ["192.0.2.2:6443", "192.0.2.3:6443", "192.0.2.4:6443"];
        stubs.set(number, "reply-behind", &answer(&json!({ "seen": seen, "tries": 1, "error": null })));
    }

    let said = stubs.kinstall(&["preflight", "--inventory", "inventory/mycluster"], &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!((1..=5).all(|number| stubs.requests(number).contains("survey")), "all hosts were looked at");

    let run = ["run", "cluster.tar.zst", "--key", "signing.pub", "--inventory", "inventory/mycluster"];
    let said = stubs.kinstall(&run, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let sent: Value = serde_json::from_slice(&fs::read(stubs.host(4, "apply-worker")).unwrap()).unwrap();
    let spec = &sent["work"]["spec"];
    assert_eq!(spec["network"]["pod-cidr"], "10.233.64.0/18");
    assert_eq!(spec["network"]["cni"], "flannel");
    assert_eq!(spec["api"]["address"], "192.0.2.100");
    assert!(stubs.requests(5).ends_with("finish"));
}
