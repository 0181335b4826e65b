//! k0sctl.yaml and KubeKey's cluster file, and how a file's form is detected.

use std::net::IpAddr;

use fs_err as fs;

use super::*;

fn resolver(name: &str) -> Vec<IpAddr> {
    if name == "named.example.com" { vec!["192.0.2.77".parse().unwrap()] } else { Vec::new() }
}

/// The form, the cluster.yaml and the remarks; or the problems.
fn imported(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.yaml");
    fs::write(&path, text).unwrap();
    match super::read(&path, &resolver) {
        Ok((form, imported)) => {
            let spec = imported.spec(None).unwrap();
            let problems = spec.validate().err().map(|error| format!("invalid: {error}"));
            let yaml = serde_yaml::to_string(&imported.settings.part_of(&spec, &["hosts", "ssh"])).unwrap();
            let remarks = imported.remarks.iter().map(ToString::to_string);
            let lines = [form.name().to_owned(), yaml.trim_end().to_owned()].into_iter().chain(problems).chain(remarks);
            lines.collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("refused\n{error}"),
    }
}

const K0SCTL: &str = "\
apiVersion: k0sctl.k0sproject.io/v1beta1
kind: Cluster
metadata:
  name: plant-7
  user: admin
spec:
  hosts:
  - role: worker
    hostname: w1
    privateAddress: 192.0.2.21
    installFlags: [--debug, '--labels=disk=ssd,rack=r1', --taints, 'db=yes:NoSchedule']
    uploadBinary: true
    hooks: {apply: {before: [date]}}
    ssh:
      address: 198.51.100.21
      port: 2222
      user: ops
      keyPath: ~/.ssh/k
      bastion: {address: 198.51.100.7, user: jump, port: 2200, keyPath: ~/.ssh/gate}
  - role: controller+worker
    noTaints: true
    ssh: {address: 192.0.2.11, user: ops, keyPath: ~/.ssh/k}
  - role: controller
    openSSH: {address: named.example.com, options: {ForwardAgent: true}}
  - role: controller+worker
    hostname: c3
    privateAddress: 192.0.2.13
    localhost: {enabled: true}
  k0s:
    version: v1.33.1+k0s.0
    dynamicConfig: true
    config:
      apiVersion: k0s.k0sproject.io/v1beta1
      kind: ClusterConfig
      spec:
        api: {externalAddress: 192.0.2.10, sans: [api.example.com], extraArgs: {profiling: 'false'}}
        network:
          podCIDR: 10.240.0.0/16
          serviceCIDR: 10.100.0.0/16
          clusterDomain: plant.example
          provider: calico
          calico: {mode: bird, overlay: CrossSubnet, mtu: 1480, wireguard: true}
          kubeProxy: {mode: ipvs, ipvs: {strictARP: true}}
          nodeLocalLoadBalancing: {enabled: true}
          dualStack: {enabled: true, IPv6podCIDR: 'fd00::/108'}
        storage: {type: kine}
        telemetry: {enabled: true}
  options: {concurrency: {limit: 5}}
";

#[test]
fn a_k0sctl_yaml_is_a_cluster() {
    insta::assert_snapshot!(imported(K0SCTL), @"
    k0sctl's cluster file
    name: plant-7
    hosts:
    - name: node-192-0-2-11
      address: 192.0.2.11
      roles:
      - control-plane
      - etcd
      - worker
      ssh:
        user: ops
        key: ~/.ssh/k
        sudo: passwordless
    - name: named.example.com
      address: 192.0.2.77
      roles:
      - control-plane
      - etcd
      ssh:
        address: named.example.com
    - name: c3
      address: 192.0.2.13
      roles:
      - control-plane
      - etcd
      ssh:
        connection: local
    - name: w1
      address: 192.0.2.21
      roles:
      - worker
      ssh:
        address: 198.51.100.21
        port: 2222
        user: ops
        key: ~/.ssh/k
        jump: jump@198.51.100.7:2200
        jump-key: ~/.ssh/gate
        sudo: passwordless
      labels:
        disk: ssd
        rack: r1
      taints:
      - db=yes:NoSchedule
    network:
      pod-cidr: 10.240.0.0/16
      service-cidr: 10.100.0.0/16
      dns-domain: plant.example
      cni: calico
      calico:
        mode: ipip
        encapsulation: cross-subnet
        mtu: 1480
      kube-proxy:
        mode: ipvs
        strict-arp: true
    api:
      address: 192.0.2.10
      load-balancer: external
      certificate-sans:
      - api.example.com
    lines 5, 12, 13 and 5 more: left out: `metadata.user`, `spec.hosts[].hooks`, `spec.hosts[].openSSH.options`, `spec.hosts[].uploadBinary`, `spec.k0s.config.spec.api.extraArgs`, `spec.k0s.config.spec.network.calico.wireguard`, `spec.k0s.config.spec.telemetry`, `spec.k0s.dynamicConfig`: kinstall does not import this field
    line 11: the flag `--debug` of `k0s install` is left out; kinstall does not install k0s
    line 20: a node cannot be named as an address: hosts without a name are called `node-` and their address with `-`
    line 23: `named.example.com` has the address that its name resolves to here, 192.0.2.77
    line 23: a controller is a node here, with the taint that keeps pods of users away
    line 30: left out: `spec.k0s.version`: the bundle decides the version of Kubernetes; build it with `--k8s VERSION`
    line 45: left out: `spec.k0s.config.spec.network.dualStack`: hosts of k0sctl.yaml have one address; write `second-address` of each, and networks of both IP families under `network`
    line 46: `spec.storage.type: kine` is left out; the cluster has etcd
    line 48: left out: `spec.options`: they are about how k0sctl works
    ");
}

#[test]
fn what_a_k0sctl_yaml_leaves_open_is_refused() {
    insta::assert_snapshot!(imported("\
apiVersion: k0sctl.k0sproject.io/v1beta1
kind: Cluster
spec:
  hosts:
  - role: controller
    ssh: {address: $CONTROLLER, user: root}
  - role: server
    ssh: {address: 192.0.2.2}
  - role: worker
    ssh: {address: nowhere.example.com}
  - role: worker
    localhost: {enabled: true}
  - role: worker
    hostname: A_b
    ssh: {address: 192.0.2.3, port: 70000}
"), @"
    refused
    `spec.hosts` lists no host
    lines 5, 11: this host has no address; add `privateAddress`
    line 6: `spec.hosts[].ssh.address` is filled in from elsewhere, `$CONTROLLER`; write the value itself
    line 7: role `server` is none of controller, controller+worker, single and worker
    line 9: `nowhere.example.com` is not an IPv4 address, and resolves to none here
    line 13: `A_b` cannot name a node; lowercase letters, digits, `-` and `.` can
    line 15: `spec.hosts[].ssh.port` is not a number between 0 and 65535
    ");
    insta::assert_snapshot!(imported("apiVersion: k0sctl.k0sproject.io/v1beta1\nkind: Cluster\n---\nkind: Secret\n"), @"
    refused
    `spec.hosts` lists no host
    ");
}

const KUBEKEY: &str = "\
apiVersion: kubekey.kubesphere.io/v1alpha2
kind: Cluster
metadata: {name: sample}
spec:
  hosts:
  - {name: node1, address: 198.51.100.1, internalAddress: 192.0.2.1, port: 8022, user: ubuntu, password: hunter2}
  - {name: node2, address: 198.51.100.2, internalAddress: 192.0.2.2, user: ubuntu, privateKeyPath: ~/.ssh/id_rsa, labels: {disk: SSD}}
  - {name: node3, address: 192.0.2.3, privateKeyPath: ~/.ssh/id_rsa, arch: arm64, timeout: 30}
  - {name: spare, address: 192.0.2.9}
  roleGroups:
    etcd: [node1]
    master: ['node[1:1]']
    worker: ['node[2:3]']
    registry: [node3]
  controlPlaneEndpoint:
    internalLoadbalancer: kube-vip
    domain: lb.example.com
    address: 192.0.2.10
    port: 6443
  system: {ntpServers: [time.example.com]}
  kubernetes:
    version: v1.23.10
    clusterName: cluster.local
    maxPods: 120
    nodeCidrMaskSize: 25
    proxyMode: ipvs
    apiserverCertExtraSans: [api.example.com]
    containerManager: docker
    audit: {enabled: true}
    featureGates: {A: true}
  etcd: {type: kubekey, dataDir: /var/lib/etcd}
  network:
    plugin: calico
    calico: {ipipMode: CrossSubnet, vxlanMode: Never, vethMTU: 0}
    kubePodsCIDR: 10.233.64.0/18
    kubeServiceCIDR: 10.233.0.0/18
  registry:
    privateRegistry: registry.example.com
    registryMirrors: ['https://mirror.example.com']
    insecureRegistries: []
    auths: {registry.example.com: {username: u, password: hunter3}}
  addons: []
---
apiVersion: installer.kubesphere.io/v1alpha1
kind: ClusterConfiguration
";

#[test]
fn a_kubekey_file_is_a_cluster() {
    insta::assert_snapshot!(imported(KUBEKEY), @"
    KubeKey's cluster file
    name: sample
    hosts:
    - name: node1
      address: 192.0.2.1
      roles:
      - control-plane
      - etcd
      ssh:
        address: 198.51.100.1
        port: 8022
        user: ubuntu
        sudo: password
    - name: node2
      address: 192.0.2.2
      roles:
      - worker
      ssh:
        address: 198.51.100.2
        user: ubuntu
        key: ~/.ssh/id_rsa
        sudo: passwordless
      labels:
        disk: SSD
    - name: node3
      address: 192.0.2.3
      roles:
      - worker
      ssh:
        user: root
        key: ~/.ssh/id_rsa
    network:
      pod-cidr: 10.233.64.0/18
      service-cidr: 10.233.0.0/18
      node-cidr-mask-size: 25
      dns-domain: cluster.local
      cni: calico
      calico:
        mode: ipip
        encapsulation: cross-subnet
      kube-proxy:
        mode: ipvs
    registries:
    - host: docker.io
      mirrors:
      - https://mirror.example.com
    api:
      endpoint: lb.example.com
      address: 192.0.2.10
      load-balancer: vip
      certificate-sans:
      - api.example.com
    security:
      audit-log: enabled
    kubelet:
      max-pods: 120
    line 6: left out: `spec.hosts[].password`: passwords and keys are not copied; kinstall logs in with keys, by OpenSSH's agent or `ssh.key`
    lines 8, 14, 30 and 1 more: left out: `spec.etcd.dataDir`, `spec.hosts[].timeout`, `spec.kubernetes.featureGates`, `spec.roleGroups.registry`: kinstall does not import this field
    line 9: host `spare` is in no group of `spec.roleGroups`, so it is left out
    line 20: left out: `spec.system`: kinstall leaves packages, time and scripts of hosts alone
    line 21: `containerManager: docker` is left out; the container runtime is containerd
    line 22: left out: `spec.kubernetes.version`: the bundle decides the version of Kubernetes; build it with `--k8s VERSION`
    line 38: left out: `spec.registry.privateRegistry`: images come with the bundle
    line 41: left out: `spec.registry.auths`: passwords of registries are not copied
    line 44: this document, `ClusterConfiguration`, is left out
    ");
}

#[test]
fn a_kubekey_file_of_both_families_is_taken() {
    let text = imported(
        "\
apiVersion: kubekey.kubesphere.io/v1alpha2
kind: Cluster
spec:
  hosts:
  - {name: a, address: 192.0.2.1, internalAddress: '192.0.2.1, 2001:db8::1', user: root}
  roleGroups: {control-plane: [a], etcd: [a], worker: [a]}
  network: {kubePodsCIDR: '10.233.64.0/18,fd00:64::/48', kubeServiceCIDR: '10.233.0.0/18,fd00::/112'}
",
    );
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| line.starts_with("- fd")).collect();
    assert_eq!(lines.join("\n"), "- fd00:64::/48\n- fd00::/112", "{text}");
    assert!(text.contains("second-address: 2001:db8::1"), "{text}");
    assert!(!text.contains("invalid"), "{text}");
}

#[test]
fn what_a_kubekey_file_leaves_open_is_refused() {
    insta::assert_snapshot!(imported("\
apiVersion: kubekey.kubesphere.io/v1alpha2
kind: Cluster
spec:
  hosts: [{name: a, address: 192.0.2.1}]
  roleGroups: {control-plane: [a, 'b[1']}
  controlPlaneEndpoint: {internalLoadbalancer: nginx}
  etcd: {type: external}
  network: {kubePodsCIDR: x, calico: {ipipMode: often}}
"), @"
    refused
    line 5: a range is written `[1:3]`
    line 6: `internalLoadbalancer: nginx` is none of haproxy and kube-vip
    line 7: `etcd.type: external` is not imported; give hosts of the file the group `etcd`, or write `etcd.external` in cluster.yaml
    line 8: Calico's mode `often` is none of Always, CrossSubnet and Never
    line 8: `kubePodsCIDR`: `x` is not a network such as `10.244.0.0/16` (no bits set after the prefix)
    ");
    insta::assert_snapshot!(imported("apiVersion: kubekey.kubesphere.io/v1\nkind: Inventory\n"), @"
    refused
    no host of `spec.hosts` is in a group of `spec.roleGroups`
    line 1: version `v1` of KubeKey's files is not read; v1alpha1 and v1alpha2 are
    ");
    // A single host, and a network of the site's own.
    insta::assert_snapshot!(imported("\
apiVersion: kubekey.kubesphere.io/v1alpha1
kind: Cluster
spec:
  hosts: [{name: a, address: 192.0.2.1}]
  roleGroups: {master: [a], worker: [a]}
  controlPlaneEndpoint: {address: '', port: '6443'}
  kubernetes: {disableKubeProxy: true}
  network: {plugin: cilium}
"), @"
    KubeKey's cluster file
    hosts:
    - name: a
      address: 192.0.2.1
      roles:
      - control-plane
      - etcd
      - worker
    ssh:
      user: root
    network:
      cni: none
      kube-proxy:
        mode: none
    no host is in group `etcd`; etcd goes beside the control planes
    line 8: kinstall does not set up `cilium`; with `network.cni: none` the site brings it
    ");
}

#[test]
fn a_file_without_an_api_version_is_an_inventory() {
    insta::assert_snapshot!(imported("all: {children: {kube_control_plane: {hosts: {a: {ip: 192.0.2.1}}}}}\n"), @"
    Kubespray's inventory
    hosts:
    - name: a
      address: 192.0.2.1
      roles:
      - control-plane
      - etcd
      ssh:
        address: a
    no host is in group `etcd`; etcd goes beside the control planes
    ");
    insta::assert_snapshot!(imported("apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n"), @"
    kubeadm's configuration
    {}
    ");
}

#[test]
fn remarks_name_their_places() {
    let place = |file: &str, line| SourceLine { file: file.into(), line };
    let remark = |places: &[SourceLine]| {
        Remark { places: places.iter().cloned().collect(), message: "x".to_owned() }.to_string()
    };
    assert_eq!(remark(&[]), "x");
    assert_eq!(remark(&[place("", 0)]), "x");
    assert_eq!(remark(&[place("", 3)]), "line 3: x");
    assert_eq!(remark(&[place("", 3), place("", 1)]), "lines 1, 3: x");
    assert_eq!(remark(&[place("", 3), place("a.yml", 2)]), "line 3, a.yml line 2: x");
    assert_eq!(remark(&[place("a.yml", 0)]), "a.yml: x");
    assert_eq!(remark(&[place("", 1), place("", 2), place("", 3), place("", 4)]), "lines 1, 2, 3 and 1 more: x");
}
