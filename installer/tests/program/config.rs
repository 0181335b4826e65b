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
    assert_snapshot!(folder.kinstall(&["config", "validate", "cluster.yaml"]), @"");
}

#[test]
fn validate_tells_all_problems_at_once() {
    let folder = folder(&[("good.yaml", HOSTS), ("wrong.yaml", WRONG), ("odd.yaml", "hosts: 5\n")]);
    assert_snapshot!(folder.kinstall(&["config", "validate", "good.yaml"]), @"");
    assert_snapshot!(folder.kinstall(&["config", "validate", "wrong.yaml"]), @"");
    assert_snapshot!(folder.kinstall(&["config", "validate", "odd.yaml"]), @"");
    assert_snapshot!(folder.kinstall(&["config", "validate", "absent.yaml"]), @"");
}

#[test]
fn validate_tells_programs_where_the_problems_are() {
    let folder = folder(&[("good.yaml", HOSTS), ("wrong.yaml", WRONG), ("odd.yaml", "hosts: 5\n")]);
    assert_snapshot!(folder.kinstall(&["config", "validate", "good.yaml", "--output", "json"]), @"");
    let said = folder.kinstall(&["config", "validate", "wrong.yaml", "--output", "json"]);
    assert_eq!(said.code, Some(2));
    let value: Value = serde_json::from_str(&said.stdout).unwrap();
    let places: Vec<_> = value["problems"].as_array().unwrap().iter().map(|problem| &problem["place"]).collect();
    assert_eq!(places, ["hosts[1].name", "hosts[1].address", "hosts[1].taints[0]"]);
    assert_snapshot!(folder.kinstall(&["config", "validate", "odd.yaml", "--output", "json"]), @"");
}

#[test]
fn print_fills_in_every_default() {
    let folder = folder(&[("cluster.yaml", HOSTS)]);
    let said = folder.kinstall(&["config", "print", "cluster.yaml"]);
    assert_snapshot!(said, @"");
    fs::write(folder.path("printed.yaml"), &said.stdout).unwrap();
    assert_eq!(folder.kinstall(&["config", "print", "printed.yaml"]).stdout, said.stdout);
}

#[test]
fn an_inventory_becomes_a_cluster_yaml() {
    let folder = folder(&[("inventory.ini", INVENTORY), ("wrong.ini", "[kube_node]\na ip=192.0.2.1\nb ip=\n")]);
    fs::create_dir_all(folder.path("group_vars")).unwrap();
    let said = folder.kinstall(&["config", "import", "inventory.ini"]);
    assert_snapshot!(said, @"");
    fs::write(folder.path("cluster.yaml"), said.stdout).unwrap();
    assert_snapshot!(folder.kinstall(&["config", "validate", "cluster.yaml"]), @"");
    assert_snapshot!(folder.kinstall(&["config", "import", "wrong.ini"]), @"");
}

#[test]
fn an_imported_cluster_keeps_the_clusters_rules() {
    let folder = folder(&[("inventory.ini", "[kube_node]\na ip=192.0.2.1\nb ip=192.0.2.1\n")]);
    assert_snapshot!(folder.kinstall(&["config", "import", "inventory.ini"]), @"");
}

#[test]
fn run_takes_the_hosts_from_one_place() {
    let folder = folder(&[("inventory.ini", INVENTORY), ("cluster.yaml", HOSTS), ("bad.ini", "[kube_node\n")]);
    folder.bundle("good.tar.zst", &Platform::of_this_program(), Signature::Inside);
    let run = ["run", "good.tar.zst", "--key", "signing.pub", "--dry-run"];
    let with = |more: &[&str]| folder.kinstall(&[&run, more].concat());
    assert_snapshot!(with(&["--config", "cluster.yaml", "--inventory", "inventory.ini"]), @"");
    assert_snapshot!(with(&["--inventory", "bad.ini"]), @"");
}
