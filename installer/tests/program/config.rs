//! `kinstall config`, and inventories beside `cluster.yaml`.

use std::process::Command;

use fs_err as fs;
use insta::assert_snapshot;
use kbundle_format::Platform;
use kinstall::config::ClusterSpec;
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
      caused by: line 3, column 10: hosts[0], hosts[1] have the name a; each host needs its own
        line 3, column 22: host a: address 10.96.0.9 lies in service-cidr 10.96.0.0/12; they need addresses of their own
        line 3, column 59: host a: taint `x:No`: effect `No` is none of NoSchedule, PreferNoSchedule, NoExecute
    ");
    assert_snapshot!(folder.kinstall(&["config", "validate", "odd.yaml"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: odd.yaml cannot be used
      caused by: line 1, column 8: hosts: expected a list, found integer `5`
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
fn validate_tells_all_that_a_bundle_lacks() {
    let folder = folder(&[(
        "cluster.yaml",
        "network: {cni: calico}\naddons: [metrics-server]\nkubelet: {config: {imagePullCredentialsVerificationPolicy: NeverVerify}}\n",
    )]);
    folder.bundle("small.tar.zst", &Platform::of_this_program(), Signature::Inside);
    let validate = ["config", "validate", "cluster.yaml", "--bundle", "small.tar.zst"];
    let said = folder.kinstall(&[&validate[..], &["--key", "signing.pub"]].concat());
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{said}");
    for lacks in [
        "containerd",
        "kube-apiserver image",
        "network.cni calico",
        "add-on metrics-server",
        "line 3, column 60: `imagePull",
    ] {
        assert!(said.stderr.contains(lacks), "{lacks}: {said}");
    }
    assert_eq!(folder.kinstall(&validate).code, Some(2), "without a key");
    let said = folder.kinstall(&[&validate[..], &["--key", "stranger.pub"]].concat());
    assert_eq!(said.code, Some(3), "{said}");
}

#[test]
fn validate_takes_the_hosts_of_an_inventory() {
    let folder = folder(&[("inventory.ini", INVENTORY), ("cluster.yaml", "name: plant-7\n")]);
    let said = folder.kinstall(&["config", "validate", "cluster.yaml", "--inventory", "inventory.ini"]);
    assert!(said.code == Some(0) && said.stdout.contains("2 hosts: 1 control plane"), "{said}");
}

#[test]
fn validate_tells_programs_where_the_problems_are() {
    let folder = folder(&[("good.yaml", HOSTS), ("wrong.yaml", WRONG), ("odd.yaml", "hosts: 5\n")]);
    assert_snapshot!(folder.kinstall(&["config", "validate", "good.yaml", "--output", "json"]), @r#"
    exit code 0
    --- stdout
    {
      "schema": 1,
      "valid": true,
      "problems": []
    }
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
    {"schema":1,"problems":[{"column":8,"line":1,"message":"hosts: expected a list, found integer `5`","place":"hosts"}],"valid":false,"error":{"kind":"usage","message":"odd.yaml cannot be used","causes":["line 1, column 8: hosts: expected a list, found integer `5`"],"hint":null,"exitCode":2}}
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
          node-cidr-mask-size: 24
          dns-domain: cluster.local
          cni: null
          kube-proxy:
            mode: iptables
            strict-arp: false
        api:
          endpoint: api.plant-7.internal
          address: null
          load-balancer: node-local
          port: 6443
          certificate-sans: []
        security:
          encryption-at-rest: enabled
          audit-log: enabled
          pod-security: privileged
        kubelet:
          max-pods: 110
        --- stderr
        ");
    fs::write(folder.path("printed.yaml"), &said.stdout).unwrap();
    assert_eq!(folder.kinstall(&["config", "print", "printed.yaml"]).stdout, said.stdout);
}

#[test]
fn an_inventory_becomes_a_cluster_yaml() {
    let folder = folder(&[("inventory.ini", INVENTORY), ("wrong.ini", "[kube_node]\na ip=192.0.2.1\nb ip=1\n")]);
    fs::create_dir_all(folder.path("group_vars")).unwrap();
    fs::write(folder.path("group_vars/all.yml"), "kube_pods_subnet: 10.233.64.0/18\nbin_dir: /opt/bin\n").unwrap();
    let said = folder.kinstall(&["config", "import", "inventory.ini"]);
    assert_snapshot!(said, @"
    exit code 0
    --- stdout
    # From Kubespray's inventory. What else a cluster has, see `kinstall config init`.
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
    network:
      pod-cidr: 10.233.64.0/18
    --- stderr
    note: inventory.ini: no host is in group `etcd`; etcd goes beside the control planes
    note: inventory.ini: line 6: `kube_version` is left out; the bundle decides the version of Kubernetes; build it with `--k8s 1.25.2`
    note: inventory.ini: group_vars/all.yml line 2: left out: `bin_dir`: kinstall has its own places for files and its own names for users
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
      caused by: line 3: `1` is not an IPv4 address
    ");
    assert_snapshot!(folder.kinstall(&["config", "import", "absent.ini"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: absent.ini cannot be used
      caused by: cannot read it
      caused by: failed to open file `absent.ini`: No such file or directory (os error 2)
    ");
    fs::remove_file(folder.path("wrong.ini")).unwrap();
    let folder_itself = folder.kinstall(&["config", "import", "."]);
    assert!(folder_itself.stdout.contains("pod-cidr: 10.233.64.0/18"), "{}", folder_itself.stderr);
}

#[test]
fn a_cluster_yaml_beside_an_inventory_has_the_last_word() {
    let inventory = format!(
        "{INVENTORY}loadbalancer_apiserver={{'address': '192.0.2.100'}}\nkube_apiserver_port=7443\n[kube_control_plane:vars]\nloadbalancer_apiserver={{'address': '192.0.2.100'}}\n"
    );
    let files = [
        ("inventory.ini", inventory.as_str()),
        ("beside.yaml", "api: {port: 8443}\n"),
        ("wrong.yaml", "api: {prot: 8443}\n"),
    ];
    let folder = folder(&files);
    let print = |config: &str| {
        folder.kinstall(&["config", "load-balancer", "--config", config, "--inventory", "inventory.ini"])
    };
    let said = print("beside.yaml");
    assert!(said.stdout.contains("    server a 192.0.2.1:8443\n"), "{}{}", said.stdout, said.stderr);
    assert_snapshot!(print("wrong.yaml"), @"
    exit code 2
    --- stdout
    --- stderr
    error: wrong.yaml cannot be used
      caused by: the configuration cannot be read
      caused by: line 1, column 7: api: unknown field `prot`; did you mean `port`?
    ");
}

#[test]
fn names_are_resolved_as_the_host_does() {
    // A name that every host has means the host itself; other hosts could not reach it by that name.
    let folder = folder(&[("inventory.ini", "[kube_control_plane]\na ansible_host=localhost\n")]);
    assert_snapshot!(folder.kinstall(&["config", "import", "inventory.ini"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: inventory.ini cannot be used
      caused by: line 2: host `a` has no address that other hosts reach it by, and `localhost` resolves to none here; add `ip=`
    ");
}

#[test]
fn files_of_other_tools_become_a_cluster_yaml() {
    let k0sctl = "apiVersion: k0sctl.k0sproject.io/v1beta1\nkind: Cluster\nspec:\n  hosts:\n  - role: single\n    hostname: a\n    ssh: {address: 192.0.2.1}\n";
    let folder = folder(&[("k0sctl.yaml", k0sctl)]);
    assert_snapshot!(folder.kinstall(&["config", "import", "k0sctl.yaml"]), @"
    exit code 0
    --- stdout
    # From k0sctl's cluster file. What else a cluster has, see `kinstall config init`.
    schema: 1
    hosts:
    - name: a
      address: 192.0.2.1
      roles:
      - control-plane
      - etcd
      - worker
    ssh:
      user: root
    --- stderr
    ");
    assert_snapshot!(folder.kinstall(&["preflight", "--inventory", "k0sctl.yaml"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: k0sctl.yaml is k0sctl's cluster file, not an inventory
    hint: turn it into a cluster.yaml: `kinstall config import k0sctl.yaml > cluster.yaml`
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

#[test]
fn a_load_balancer_gets_a_configuration_that_haproxy_takes() {
    let external = format!("{HOSTS}api: {{load-balancer: external, address: 192.0.2.100, port: 8443}}\n");
    let without_hosts = "api: {load-balancer: external, address: 192.0.2.100}\n";
    let files = [("external.yaml", external.as_str()), ("node-local.yaml", HOSTS), ("bare.yaml", without_hosts)];
    let folder = folder(&[&files[..], &[("inventory.ini", INVENTORY)]].concat());
    let print = |more: &[&str]| folder.kinstall(&[&["config", "load-balancer", "--config"], more].concat());
    let said = print(&["external.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_snapshot!(said.stdout, @"
    # Written by kinstall. Spreads requests to the API of cluster plant-7 over the control planes that answer.
    global
        log stdout format raw local0 notice
        maxconn 4000
        user haproxy
        group haproxy

    defaults
        log global
        mode tcp
        option dontlognull
        option redispatch
        option clitcpka
        option srvtcpka
        retries 3
        timeout connect 3s
        timeout check 3s
        # Watches last long; whoever holds one sends something more often than this.
        timeout client 10m
        timeout server 10m

    frontend api
        bind *:8443
        default_backend control-planes

    backend control-planes
        balance leastconn
        option httpchk GET /readyz
        http-check expect status 200
        # What passes through is TLS between client and API server; only the question whether a server is ready trusts blindly.
        default-server check check-ssl verify none inter 2s fall 2 rise 1 on-marked-down shutdown-sessions
        server a 192.0.2.1:8443
    ");
    let node_local = kinstall::haproxy::node_local(&ClusterSpec::parse(HOSTS).unwrap(), 6444);
    for configuration in [&said.stdout, &node_local] {
        fs::write(folder.path("haproxy.cfg"), configuration).unwrap();
        let haproxy = Command::new("haproxy").args(["-c", "-f"]).arg(folder.path("haproxy.cfg")).output();
        let judged = haproxy.expect("no haproxy on this machine to judge with: apt-get install haproxy");
        assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    }

    let said = print(&["bare.yaml", "--inventory", "inventory.ini"]);
    assert!(said.stdout.contains("    server a 192.0.2.1:6443\n") && !said.stdout.contains(" b "), "{}", said.stdout);
    assert_snapshot!(print(&["node-local.yaml"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: the cluster has no load balancer of the site's own: there is nothing to configure
    hint: write `load-balancer: external` and its `address` under `api` in cluster.yaml
    ");
}

#[test]
fn a_typo_in_a_setting_of_kubernetes_is_found_with_its_line() {
    let folder = folder(&[(
        "cluster.yaml",
        "name: a\nkubelet:\n  config:\n    podPidLimit: 5\n    imagePullCredentialsVerificationPolicy: NeverVerify\n",
    )]);
    assert_snapshot!(folder.kinstall(&["config", "validate", "cluster.yaml"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: cluster.yaml cannot be used
      caused by: line 4, column 18: `podPidLimit`: no kubelet of Kubernetes 1.25 to 1.36 has a field `podPidLimit`; did you mean `podPidsLimit`?
    ");
    let right = fs::read_to_string(folder.path("cluster.yaml")).unwrap().replace("podPidLimit", "podPidsLimit");
    fs::write(folder.path("cluster.yaml"), right).unwrap();
    assert_eq!(folder.kinstall(&["config", "validate", "cluster.yaml", "--k8s", "1.36.3"]).code, Some(0));
    assert_snapshot!(folder.kinstall(&["config", "validate", "cluster.yaml", "--k8s", "1.30.14"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: cluster.yaml cannot be used
      caused by: line 5, column 45: `imagePullCredentialsVerificationPolicy`: the kubelet of Kubernetes 1.30.14 has no field `imagePullCredentialsVerificationPolicy`; those of 1.33 to 1.36 have
    ");
    fs::write(folder.path("inventory.ini"), "[kube_control_plane]\na ip=192.0.2.1\n").unwrap();
    let said =
        folder.kinstall(&["config", "validate", "cluster.yaml", "--inventory", "inventory.ini", "--k8s", "1.30.14"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("caused by: line 5, column 45: `imagePull"), "{said}");
}

#[test]
fn kubeadms_configuration_becomes_a_cluster_yaml() {
    let kubeadm = "\
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
imageRepository: registry.plant.example/k8s
apiServer:
  extraArgs: {audit-policy-file: /etc/kubernetes/own.yaml, service-node-port-range: 80-32767}
";
    let folder =
        folder(&[("kubeadm.yaml", kubeadm), ("own.yaml", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: []\n")]);
    let said = folder.kinstall(&["config", "import", "kubeadm.yaml"]);
    assert_snapshot!(said, @"
    exit code 0
    --- stdout
    # From kubeadm's configuration. What else a cluster has, see `kinstall config init`.
    schema: 1
    api-server:
      audit-policy:
        apiVersion: audit.k8s.io/v1
        kind: Policy
        rules: []
      service-node-ports: 80-32767
    --- stderr
    note: kubeadm.yaml: ClusterConfiguration.imageRepository: left out: images come from the bundle; `registries` are for others
    ");
    fs::write(folder.path("cluster.yaml"), &said.stdout).unwrap();
    assert_eq!(folder.kinstall(&["config", "validate", "cluster.yaml"]).code, Some(0));
    fs::write(folder.path("old.yaml"), kubeadm.replace("v1beta3", "v1beta1")).unwrap();
    assert_snapshot!(folder.kinstall(&["config", "import", "old.yaml"]), @"
        exit code 2
        --- stdout
        --- stderr
        error: old.yaml cannot be used
          caused by: ClusterConfiguration is of kubeadm.k8s.io/v1beta1, and kubeadm.k8s.io/v1beta2, v1beta3 and v1beta4 are read; `kubeadm config migrate` of an older release rewrites it
        ");
}
