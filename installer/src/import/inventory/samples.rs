//! Inventories for tests. The reader and the real Ansible have to read them alike.

/// Cases of users, each reduced to the part that was once read wrongly: file and text.
pub(super) const CASES: [(&str, &str); 11] = [
    (
        "flow.yaml",
        "\
all:
  hosts:
    a: {ansible_host: 198.51.100.1, ip: 192.0.2.1, access_ip: 192.0.2.1}
    b: {ansible_host: 198.51.100.2, ip: 192.0.2.2, access_ip: 192.0.2.2}
  children:
    kube-master:
      hosts: {a: , b: }
    kube-node:
      hosts: {a: , b: }
    etcd:
      hosts: {a: }
    k8s-cluster:
      children: {kube-master: , kube-node: }
    calico-rr:
      hosts: {}
",
    ),
    (
        "block.yml",
        "\
---
all:
  vars:
    ansible_user: ops
    ansible_become: yes
    ansible_ssh_private_key_file: /keys/site
  hosts:
    c-01:
      ansible_host: 192.0.2.11 # the first
      ansible_port: 2222
    w-01:
      ansible_host: 192.0.2.21
      node_labels: {disk: ssd, gpu: yes}
  children:
    kube_control_plane: {hosts: {c-01: }}
    etcd: {children: {kube_control_plane: }}
    kube_node: {hosts: {w-01: }}
    bastion: {hosts: {gate: {ansible_host: 198.51.100.7, ansible_user: jump}}}
",
    ),
    (
        "whole.json",
        r#"{"all": {"hosts": {"n[1:2]": {"ip": "192.0.2.1", "ansible_port": 2200}}, "children": {
  "kube_control_plane": {"hosts": "n1"}, "kube_node": {"hosts": {"n2": {"ip": "192.0.2.2"}}}}}}"#,
    ),
    (
        "addresses.ini",
        "\
[kube-master]
192.0.2.[11:12]

[etcd:children]
kube-master

[kube-node]
192.0.2.21

[k8s-cluster:children]
kube-node
kube-master

[all:vars]
ansible_ssh_private_key_file='/keys/id'
",
    ),
    (
        "proxy-command.ini",
        r#"
[all]
c1 ansible_host=10.0.1.11 ip=10.0.1.11 ansible_port=22 ansible_user=ubuntu ansible_become=true etcd_member_name=c1
w1 ansible_host=10.0.1.21 ip=10.0.1.21 ansible_port=22 ansible_user=ubuntu ansible_become=true
[kube_control_plane]
c1
[etcd]
c1
[kube_node]
w1
[k8s_cluster:children]
kube_control_plane
kube_node
[k8s_cluster:vars]
ansible_ssh_common_args='-o ProxyCommand="ssh -W %h:%p -q -o StrictHostKeyChecking=no ops@198.51.100.7" -o StrictHostKeyChecking=no'
"#,
    ),
    (
        "proxy-command-with-key.ini",
        r#"
[kube_control_plane]
c1 ansible_host=10.0.1.11
[etcd:children]
kube_control_plane
[kube_node:children]
kube_control_plane
[all:vars]
ansible_user=ops
ansible_ssh_common_args='-o ProxyCommand="ssh -o UserKnownHostsFile=/dev/null -i keys/gate -p 2222 -W %h:%p jump@198.51.100.7"'
"#,
    ),
    (
        "labels-of-groups.ini",
        "
[all]
m1 \t ansible_user=root ansible_host=192.0.2.1 # etcd_member_name=etcd1
m2 \t ansible_user=root ansible_host=192.0.2.2
m3 \t ansible_user=root ansible_host=192.0.2.3
[kube-master]
m1
[etcd]
m1
m3
[kube-node]
m1
m2
[fast]
m2
[slow]
m1
m3
[fast:vars]
node_labels={\"nic\":\"enabled\"}
[slow:vars]
node_labels={\"nic\":\"disabled\"}
",
    ),
    (
        "labels-and-taints.ini",
        r#"
[kube_control_plane]
c1 ansible_host=192.0.2.11 node_labels='{"gpu": true}' node_taints=dedicated
[etcd:children]
kube_control_plane
[kube_node]
w1 ansible_host=192.0.2.21 node_labels='{"disk": "ssd", "example.org/rack": 7}' node_taints='["dedicated=db:NoSchedule"]'
"#,
    ),
    (
        "booleans.ini",
        "\
[kube_control_plane]
n1 ansible_host=192.0.2.1 ansible_become=y

[etcd:children]
kube_control_plane

[kube_node]
n2 ansible_host=192.0.2.2 ansible_become=t
",
    ),
    // The port behind a name counts only on the line that names the host first.
    (
        "ports.ini",
        "\
[all]
n1 ansible_host=192.0.2.1
n2 ansible_host=192.0.2.2
[kube_control_plane]
n1
[etcd]
n1
[kube_node]
n2:2022
n3:2023 ansible_host=192.0.2.3
[kube_node:vars]
ansible_port=2222
",
    ),
    // A host with the name of a group has its variables from the group.
    (
        "same-name.ini",
        "\
[kube_control_plane]
a ansible_host=192.0.2.1
[bastion]
bastion ansible_host=198.51.100.9 ansible_user=u ansible_port=2022 ansible_ssh_private_key_file=k
[kube_node]
b ansible_host=192.0.2.2 ansible_ssh_common_args='-J own'
",
    ),
];

/// The text of a case.
pub(super) fn case(name: &str) -> &'static str {
    CASES.iter().find(|(file, _)| *file == name).expect("a case").1
}

/// A folder with the layout of Kubespray's sample, three control planes and two workers, written from scratch.
pub(super) const LAYOUT: [(&str, &str); 8] = [
    (
        "inventory.ini",
        "\
# Hosts, and the addresses that they reach each other by.
[all]
node1 ansible_host=198.51.100.1 ip=192.0.2.1 etcd_member_name=etcd1
node2 ansible_host=198.51.100.2 ip=192.0.2.2 etcd_member_name=etcd2
node3 ansible_host=198.51.100.3 ip=192.0.2.3 etcd_member_name=etcd3
node4 ansible_host=198.51.100.4 ip=192.0.2.4
node5 ansible_host=198.51.100.5 ip=192.0.2.5

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
node4
node5

[calico_rr]

[k8s_cluster:children]
kube_control_plane
kube_node
calico_rr
",
    ),
    (
        "group_vars/all/all.yml",
        "\
---
bin_dir: /usr/local/bin
loadbalancer_apiserver_port: 6443
loadbalancer_apiserver_healthcheck_port: 8081
no_proxy_exclude_workers: false
ntp_enabled: false
ntp_servers:
  - \"0.pool.ntp.org iburst\"
unsafe_show_logs: false
",
    ),
    ("group_vars/all/containerd.yml", "---\n# containerd_storage_dir: /var/lib/containerd\n"),
    ("group_vars/all/etcd.yml", "---\netcd_data_dir: /var/lib/etcd\netcd_deployment_type: host\n"),
    (
        "group_vars/k8s_cluster/k8s-cluster.yml",
        "\
---
kube_config_dir: /etc/kubernetes
kube_script_dir: \"{{ bin_dir }}/kubernetes-scripts\"
kube_manifest_dir: \"{{ kube_config_dir }}/manifests\"
kube_api_anonymous_auth: true
kube_version: v1.36.3
kube_owner: kube
kube_log_level: 2
credentials_dir: \"{{ inventory_dir }}/credentials\"
kube_network_plugin: calico
kube_network_plugin_multus: false
kube_service_addresses: 10.233.0.0/18
kube_pods_subnet: 10.233.64.0/18
kube_network_node_prefix: 24
kube_apiserver_ip: \"{{ kube_service_addresses | ansible.utils.ipaddr('net') | ansible.utils.ipaddr(1) | ansible.utils.ipaddr('address') }}\"
kube_apiserver_port: 6443 # (https)
kube_proxy_mode: ipvs
kube_proxy_strict_arp: false
kube_proxy_nodeport_addresses: >-
  {%- if kube_proxy_nodeport_addresses_cidr is defined -%}
  [{{ kube_proxy_nodeport_addresses_cidr }}]
  {%- else -%}
  []
  {%- endif -%}
kube_encrypt_secret_data: false
cluster_name: cluster.local
ndots: 2
dns_mode: coredns
enable_nodelocaldns: true
nodelocaldns_ip: 169.254.25.10
resolvconf_mode: host_resolvconf
skydns_server: \"{{ kube_service_addresses | ansible.utils.ipaddr('net') | ansible.utils.ipaddr(3) | ansible.utils.ipaddr('address') }}\"
dns_domain: \"{{ cluster_name }}\"
container_manager: containerd
kata_containers_enabled: false
kubeadm_certificate_key: \"{{ lookup('password', credentials_dir + '/kubeadm_certificate_key.creds length=64 chars=hexdigits') | lower }}\"
k8s_image_pull_policy: IfNotPresent
kubernetes_audit: false
volume_cross_zone_attachment: false
persistent_volumes_enabled: false
event_ttl_duration: \"1h0m0s\"
auto_renew_certificates: false
kubeadm_patches_dir: \"{{ kube_config_dir }}/patches\"
kubeadm_patches: []
",
    ),
    ("group_vars/k8s_cluster/k8s-net-calico.yml", "---\ncalico_cni_name: k8s-pod-network\ncalico_pool_blocksize: 26\n"),
    (
        "group_vars/k8s_cluster/addons.yml",
        "\
---
helm_enabled: false
registry_enabled: false
metrics_server_enabled: false
local_path_provisioner_enabled: false
ingress_nginx_enabled: false
cert_manager_enabled: false
metallb_enabled: false
metallb_speaker_enabled: \"{{ metallb_enabled }}\"
argocd_enabled: false
krew_enabled: false
krew_root_dir: \"/usr/local/krew\"
",
    ),
    ("group_vars/etcd.yml", "---\n# etcd_quota_backend_bytes: \"2147483648\"\n"),
];
