//! `kinstall config`, and inventories beside `cluster.yaml`.

use fs_err as fs;
use insta::assert_snapshot;
use kbundle_format::Platform;
use serde_json::Value;

use crate::folder::{Folder, Signature};

const HOSTS: &str = "\
name: plant-7
ssh: {user: admin}
hosts:
- {name: a, address: 192.0.2.1, roles: [control-plane, etcd]}
- {name: b, address: 192.0.2.2, roles: [worker], ssh: {port: 2222}}
";

const WRONG: &str = "\
hosts:
- {name: a, address: 192.0.2.1, roles: [control-plane, etcd]}
- {name: a, address: 10.96.0.9, roles: [worker], taints: ['x:No']}
";

const INVENTORY: &str = "\
[kube_control_plane]
a ansible_host=198.51.100.1 ip=192.0.2.1 ansible_user=admin
[kube_node]
b ansible_host=198.51.100.2 ip=192.0.2.2 ansible_user=admin
[kube_node:vars]
kube_version=v1.25.2
";

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> Folder {
    let folder = Folder::new();
    for (name, content) in files {
        fs::write(folder.path(name), content).unwrap();
    }
    folder
}

#[test]
fn what_init_prints_is_good() {
    let folder = folder(&[]);
    let said = folder.kinstall(&["config", "init"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    fs::write(folder.path("cluster.yaml"), said.stdout).unwrap();
    assert_snapshot!(folder.kinstall(&["config", "validate", "cluster.yaml"]), @"
    exit code 0
    --- stdout
    cluster.yaml is good: cluster kubernetes, one host
    --- stderr
    ");
}

#[test]
fn validate_tells_all_problems_at_once() {
    let folder = folder(&[("good.yaml", HOSTS), ("wrong.yaml", WRONG), ("odd.yaml", "hosts: 5\n")]);
    assert_snapshot!(folder.kinstall(&["config", "validate", "good.yaml"]), @"
    exit code 0
    --- stdout
    good.yaml is good: cluster plant-7, 2 hosts: 1 control plane, 1 etcd member, 1 worker
    --- stderr
    ");
    assert_snapshot!(folder.kinstall(&["config", "validate", "wrong.yaml"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: wrong.yaml cannot be used
      caused by: hosts[0], hosts[1] have the name a; each host needs its own
        host a: address 10.96.0.9 lies in service-cidr 10.96.0.0/12; they need addresses of their own
        host a: taint `x:No`: effect `No` is none of NoSchedule, PreferNoSchedule, NoExecute
    ");
    assert_snapshot!(folder.kinstall(&["config", "validate", "odd.yaml"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: odd.yaml cannot be used
      caused by: the configuration cannot be read
      caused by: hosts: invalid type: integer `5`, expected a sequence at line 1 column 8
    ");
    assert_snapshot!(folder.kinstall(&["config", "validate", "absent.yaml"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: cannot read the cluster's description
      caused by: failed to open file `absent.yaml`: No such file or directory (os error 2)
    ");
}

#[test]
fn validate_tells_programs_where_the_problems_are() {
    let folder = folder(&[("good.yaml", HOSTS), ("wrong.yaml", WRONG), ("odd.yaml", "hosts: 5\n")]);
    assert_snapshot!(folder.kinstall(&["config", "validate", "good.yaml", "--output", "json"]), @r#"
    exit code 0
    --- stdout
    {"schema":1,"valid":true,"problems":[]}
    --- stderr
    "#);
    let said = folder.kinstall(&["config", "validate", "wrong.yaml", "--output", "json"]);
    assert_eq!(said.code, Some(2));
    let value: Value = serde_json::from_str(&said.stdout).unwrap();
    let places: Vec<_> = value["problems"].as_array().unwrap().iter().map(|problem| &problem["place"]).collect();
    assert_eq!(places, ["hosts[1].name", "hosts[1].address", "hosts[1].taints[0]"]);
    assert_snapshot!(folder.kinstall(&["config", "validate", "odd.yaml", "--output", "json"]), @r#"
    exit code 2
    --- stdout
    {"schema":1,"valid":false,"problems":[{"place":"","message":"the configuration cannot be read: hosts: invalid type: integer `5`, expected a sequence at line 1 column 8"}]}
    --- stderr
    "#);
}

#[test]
fn print_fills_in_every_default() {
    let folder = folder(&[("cluster.yaml", HOSTS)]);
    let said = folder.kinstall(&["config", "print", "cluster.yaml"]);
    assert_snapshot!(said, @"
    exit code 0
    --- stdout
    schema: 1
    name: plant-7
    hosts:
    - name: a
      address: 192.0.2.1
      roles:
      - control-plane
      - etcd
      ssh:
        user: admin
    - name: b
      address: 192.0.2.2
      roles:
      - worker
      ssh:
        port: 2222
        user: admin
    ssh:
      user: admin
    network:
      pod-cidr: 10.244.0.0/16
      service-cidr: 10.96.0.0/12
      dns-domain: cluster.local
      cni: bridge
    api:
      endpoint: api.plant-7.internal
      address: null
      load-balancer: node-local
      port: 6443
      certificate-sans: []
    security:
      encryption-at-rest: enabled
      audit-log: enabled
    kubelet:
      max-pods: 110
    --- stderr
    ");
    fs::write(folder.path("printed.yaml"), &said.stdout).unwrap();
    assert_eq!(folder.kinstall(&["config", "print", "printed.yaml"]).stdout, said.stdout);
}

#[test]
fn an_inventory_becomes_a_cluster_yaml() {
    let folder = folder(&[("inventory.ini", INVENTORY), ("wrong.ini", "[kube_node]\na ip=192.0.2.1\nb ip=\n")]);
    fs::create_dir_all(folder.path("group_vars")).unwrap();
    let said = folder.kinstall(&["config", "import", "inventory.ini"]);
    assert_snapshot!(said, @"
    exit code 0
    --- stdout
    # The hosts of Kubespray's inventory. Whatever else a cluster has, see `kinstall config init`.
    schema: 1
    hosts:
    - name: a
      address: 192.0.2.1
      roles:
      - control-plane
      - etcd
      ssh:
        address: 198.51.100.1
    - name: b
      address: 192.0.2.2
      roles:
      - worker
      ssh:
        address: 198.51.100.2
    ssh:
      user: admin
    --- stderr
    note: inventory.ini: no host is in group `etcd`; etcd goes beside the control planes
    note: inventory.ini: line 6: variable `kube_version` means nothing to kinstall and is left out
    note: group_vars is not read; write what matters of it into cluster.yaml
    ");
    fs::write(folder.path("cluster.yaml"), said.stdout).unwrap();
    assert_snapshot!(folder.kinstall(&["config", "validate", "cluster.yaml"]), @"
    exit code 0
    --- stdout
    cluster.yaml is good: cluster kubernetes, 2 hosts: 1 control plane, 1 etcd member, 1 worker
    --- stderr
    ");
    assert_snapshot!(folder.kinstall(&["config", "import", "wrong.ini"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: wrong.ini cannot be used
      caused by: line 3: `` is no IPv4 address
    ");
}

#[test]
fn an_imported_cluster_keeps_the_clusters_rules() {
    let folder = folder(&[("inventory.ini", "[kube_node]\na ip=192.0.2.1\nb ip=192.0.2.1\n")]);
    assert_snapshot!(folder.kinstall(&["config", "import", "inventory.ini"]), @"
    exit code 2
    --- stdout
    --- stderr
    note: inventory.ini: no host is in group `etcd`; etcd goes beside the control planes
    error: inventory.ini cannot be used
      caused by: hosts[0], hosts[1] have the address 192.0.2.1; each host needs its own
        no host has the role control-plane; one is needed, three let the cluster survive the loss of one
        no host has the role etcd; give it to the control planes, or to one, three or five hosts of its own
    ");
}

#[test]
fn run_takes_the_hosts_from_one_place() {
    let folder = folder(&[("inventory.ini", INVENTORY), ("cluster.yaml", HOSTS), ("bad.ini", "[kube_node\n")]);
    folder.bundle("good.tar.zst", &Platform::of_this_program(), Signature::Inside);
    let run = ["run", "good.tar.zst", "--key", "signing.pub", "--dry-run"];
    let with = |more: &[&str]| folder.kinstall(&[&run, more].concat());
    assert_snapshot!(with(&["--config", "cluster.yaml", "--inventory", "inventory.ini"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: both cluster.yaml and the inventory list hosts, and only one of them can
    hint: remove `hosts` from the one, or leave out `--inventory`
    ");
    assert_snapshot!(with(&["--inventory", "bad.ini"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: bad.ini cannot be used
      caused by: line 1: a section is written `[group]`
    ");
}
