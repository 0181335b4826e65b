//! Kubespray's variables, and the remarks about those that are left out.

use super::super::parse;
use super::super::tests::{resolver, shown};

/// The result of reading one host with these variables in YAML.
fn read(variables: &str) -> String {
    let lines: Vec<_> = variables.lines().map(|line| format!("    {line}\n")).collect();
    let text = format!(
        "all:\n  vars:\n{}  children:\n    kube_control_plane: {{hosts: {{a: {{ip: 192.0.2.1}}}}}}\n    etcd: {{hosts: {{a: }}}}\n",
        lines.concat()
    );
    match parse(&text, &resolver) {
        Ok(imported) => shown(&imported)
            .lines()
            .filter(|line| !line.starts_with("a 192") && !line.starts_with("all "))
            .collect::<Vec<_>>()
            .join("\n"),
        Err(error) => format!("refused\n{error}"),
    }
}

#[test]
fn settings_of_the_cluster_are_taken_over() {
    insta::assert_snapshot!(read("\
cluster_name: cluster.example
dns_domain: \"{{ cluster_name }}\"
kube_network_plugin: calico
kube_pods_subnet: 10.233.64.0/18
kube_service_addresses: 10.233.0.0/18
kube_network_node_prefix: 24
kube_proxy_mode: ipvs
kube_proxy_strict_arp: true
kube_apiserver_port: 8443
kubelet_max_pods: '200'
kubernetes_audit: yes
kube_encrypt_secret_data: false
metrics_server_enabled: true
ingress_nginx_enabled: false
metallb_enabled: true
container_manager: containerd
etcd_deployment_type: host
supplementary_addresses_in_ssl_keys: [192.0.2.100, api.example.com]
"), @"
    network:
      pod-cidr: 10.233.64.0/18
      service-cidr: 10.233.0.0/18
      node-cidr-mask-size: 24
      dns-domain: cluster.example
      cni: calico
      kube-proxy:
        mode: ipvs
        strict-arp: true
    addons:
    - metallb
    - metrics-server
    api:
      port: 8443
      certificate-sans:
      - 192.0.2.100
      - api.example.com
    security:
      encryption-at-rest: disabled
      audit-log: enabled
    kubelet:
      max-pods: 200
    line 14: `kube_encrypt_secret_data: false` is taken over; kinstall's default is `security.encryption-at-rest: enabled`
    ");
    insta::assert_snapshot!(read("cluster_name: plant-7\ndns_domain: plant.example\n"), @"
    name: plant-7
    network:
      dns-domain: plant.example
    ");
}

#[test]
fn networks_are_taken_over() {
    for (said, expected) in [
        ("calico_ipip_mode: Always\ncalico_vxlan_mode: Never", "ipip always"),
        ("calico_ipip_mode: CrossSubnet", "ipip cross-subnet"),
        ("calico_vxlan_mode: CrossSubnet", "vxlan cross-subnet"),
        ("calico_network_backend: vxlan", "vxlan always"),
        ("calico_network_backend: bird", "bgp"),
        ("calico_network_backend: bird\ncalico_ipip_mode: 'Always'", "ipip always"),
        ("calico_ipip_mode: Never\ncalico_vxlan_mode: Never", "bgp"),
    ] {
        let read = read(said);
        let value = |key: &str| {
            read.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap_or_default().trim().to_owned()
        };
        assert_eq!(format!("{} {}", value("mode:"), value("encapsulation:")).trim(), expected, "{said}");
    }
    insta::assert_snapshot!(read("calico_mtu: 1400\ncalico_veth_mtu: 1390\ncalico_ip_auto_method: cidr=192.0.2.0/24\n"), @"
    network:
      calico:
        mtu: 1390
        node-cidr: 192.0.2.0/24
    ");
    insta::assert_snapshot!(read("calico_ip_auto_method: interface=eth0\ncalico_pool_blocksize: 26\nkube_network_node_prefix: 25\n"), @"
    network:
      node-cidr-mask-size: 25
    line 3: `calico_ip_auto_method: interface=eth0` is left out; kinstall takes a network, `network.calico.node-cidr`
    line 4: left out: `calico_pool_blocksize`: of Calico's settings only its mode, encapsulation, MTU and network of the hosts are imported
    ");
    insta::assert_snapshot!(read("kube_network_plugin: flannel\ncalico_ipip_mode: Always\nflannel_backend_type: vxlan\n"), @"
    network:
      cni: flannel
    line 4: `calico_ipip_mode` is left out; it is for Calico, and `kube_network_plugin` is `flannel`
    line 5: left out: `flannel_backend_type`: settings of other networks than Calico are not imported
    ");
    insta::assert_snapshot!(read("kube_network_plugin: cilium\nkube_proxy_remove: true\n"), @"
    network:
      cni: none
      kube-proxy:
        mode: none
    line 3: kinstall does not set up `cilium`; with `network.cni: none` the site brings it
    ");
    insta::assert_snapshot!(read("kube_network_plugin: cni\nkube_proxy_mode: iptables\nkube_proxy_strict_arp: true\n"), @"
    network:
      cni: none
      kube-proxy:
        mode: iptables
    line 5: `kube_proxy_strict_arp` is left out; it is for `kube_proxy_mode: ipvs`
    ");
    insta::assert_snapshot!(read("kube_network_plugin: cloud\nkube_proxy_mode: userspace\nkube_pods_subnet: 10.0.0.1/8\ncalico_vxlan_mode: Sometimes\nkubelet_max_pods: many\nkubernetes_audit: perhaps\n"), @"
    refused
    line 3: `kube_network_plugin: cloud` is not possible; there are `calico`, `flannel` and `cni`
    line 4: `kube_proxy_mode: userspace` is none of iptables, ipvs and nftables
    line 5: `kube_pods_subnet`: `10.0.0.1/8` is not a network such as `10.244.0.0/16` (no bits set after the prefix)
    line 7: `kubelet_max_pods` is not a number between 0 and 65535
    line 8: `kubernetes_audit` is neither true nor false
    ");
}

#[test]
fn the_way_to_the_api_is_taken_over() {
    insta::assert_snapshot!(read("apiserver_loadbalancer_domain_name: api.example.com\nloadbalancer_apiserver: {address: 192.0.2.10, port: 8383}\n"), @"
    api:
      endpoint: api.example.com
      address: 192.0.2.10
      load-balancer: external
    line 4: `loadbalancer_apiserver.port` 8383 is left out; in kinstall the load balancer has the port of the API servers, 6443
    ");
    insta::assert_snapshot!(read("loadbalancer_apiserver: {address: named.example.com}\n"), @"
    api:
      address: 192.0.2.77
      load-balancer: external
    line 3: the load balancer `named.example.com` has the address that its name resolves to here, 192.0.2.77
    ");
    insta::assert_snapshot!(read("loadbalancer_apiserver: {address: elb.example.com}\n"), @"
    api:
      endpoint: elb.example.com
      load-balancer: external
    line 3: the load balancer `elb.example.com` is known by its name alone, which resolves to no address here; hosts and pods have to resolve it
    ");
    insta::assert_snapshot!(read("kube_vip_enabled: true\nkube_vip_controlplane_enabled: true\nkube_vip_arp_enabled: true\nkube_vip_address: 192.0.2.10\nkube_vip_interface: eth1\nloadbalancer_apiserver: {address: '{{ kube_vip_address }}', port: 6443}\nkube_vip_services_enabled: true\n"), @"
    api:
      address: 192.0.2.10
      interface: eth1
      load-balancer: vip
    line 9: left out: `kube_vip_services_enabled`: kinstall sets up HAProxy and kube-vip with settings of its own
    ");
    insta::assert_snapshot!(read("loadbalancer_apiserver_localhost: false\nloadbalancer_apiserver_type: nginx\nloadbalancer_apiserver_port: 6444\nloadbalancer_apiserver_healthcheck_port: 8081\napiserver_loadbalancer_domain_name: localhost\n"), @"
    line 3: `loadbalancer_apiserver_localhost: false` is left out; each worker has a HAProxy of its own in front of the API servers
    line 4: `loadbalancer_apiserver_type: nginx` is left out; it is HAProxy on every worker
    line 5: `loadbalancer_apiserver_port: 6444` is left out; HAProxy has the port of the API servers, 6443
    line 6: left out: `loadbalancer_apiserver_healthcheck_port`: kinstall sets up HAProxy and kube-vip with settings of its own
    line 7: `apiserver_loadbalancer_domain_name: localhost` is left out; the API has a name of its own (`api.endpoint`)
    ");
}

#[test]
fn mirrors_of_registries_are_taken_over() {
    insta::assert_snapshot!(read("\
containerd_registries_mirrors:
- prefix: docker.io
  mirrors:
  - {host: 'https://mirror.example.com/', capabilities: [pull, resolve], skip_verify: false}
- prefix: registry.k8s.io
  server: https://mirror.example.com
  mirrors:
  - {host: 'http://192.0.2.5:5000', skip_verify: true, header: {Authorization: secret}}
"), @"
    registries:
    - host: docker.io
      mirrors:
      - https://mirror.example.com
    - host: registry.k8s.io
      mirrors:
      - http://192.0.2.5:5000
    line 3: `header` of `containerd_registries_mirrors` is left out; cluster.yaml has `host`, `mirrors` and `ca`
    line 3: `server` of `containerd_registries_mirrors` is left out; to have it asked, list it under `mirrors`
    line 3: `skip_verify` of `containerd_registries_mirrors` is left out; certificates of `https://` mirrors are verified, by `ca` where it is given
    line 3: registries `docker.io`, `registry.k8s.io` are only reached through their mirrors; Kubespray's containerd asks the registry itself when no mirror has an image
    ");
    insta::assert_snapshot!(read("containerd_registries_mirrors: [{prefix: a}]\n"), @"
    refused
    line 3: each entry of `containerd_registries_mirrors` needs a `prefix` and `mirrors`
    ");
}

#[test]
fn what_is_left_out_is_named_once_for_each_reason_and_no_value_is_shown() {
    let read = read(
        "\
kube_version: v1.28.3
bin_dir: /usr/local/bin
kube_cert_dir: '{{ kube_config_dir }}/ssl'
kube_config_dir: /etc/kubernetes
kubelet_rotate_certificates: true
kube_api_anonymous_auth: true
kube_oidc_auth: false
helm_enabled: true
registry_enabled: false
argocd_admin_password: hunter2
my_token: hunter3
ansible_password: hunter4
ansible_python_interpreter: /usr/bin/python3
rh_subscription_password: !vault |
  $ANSIBLE_VAULT;1.1;AES256
http_proxy: ''
enable_nodelocaldns: true
enable_dual_stack_networks: false
container_manager: docker
etcd_deployment_type: kubeadm
",
    );
    assert!(!read.contains("hunter"), "{read}");
    insta::assert_snapshot!(read, @"
    line 3: `kube_version` is left out; the bundle decides the version of Kubernetes; build it with `--k8s 1.28.3`
    lines 4, 5, 6: left out: `bin_dir`, `kube_cert_dir`, `kube_config_dir`: kinstall has its own places for files and its own names for users
    line 7: left out: `kubelet_rotate_certificates`: this setting of the kubelet is not imported; write fields under `kubelet.config` in cluster.yaml, for all hosts or for one
    line 8: left out: `kube_api_anonymous_auth`: this setting of the API server is not imported; write flags under `api-server.extra-args` in cluster.yaml
    lines 10, 12: left out: `argocd_admin_password`, `helm_enabled`: bundles have no such add-on; manifests of the site are applied once the cluster runs
    line 13: left out: `my_token`: not known to kinstall
    line 14: left out: `ansible_password`: a password is not copied; kinstall logs in with keys, by OpenSSH's agent or `ssh.key`
    line 15: left out: `ansible_python_interpreter`: used by Ansible alone
    line 16: left out: `rh_subscription_password`: kinstall has no such setting
    line 19: left out: `enable_nodelocaldns`: the cluster's DNS is kubeadm's CoreDNS, and hosts keep their own resolvers
    line 21: `container_manager: docker` is left out; the container runtime is containerd
    line 22: `etcd_deployment_type: kubeadm` is left out; etcd is a service of its host
    ");
}

#[test]
fn a_setting_that_differs_between_hosts_is_told() {
    let text = "[kube_control_plane]\na ip=192.0.2.1 kubelet_max_pods=50\n[kube_node]\nb ip=192.0.2.2\n[etcd]\na\n";
    insta::assert_snapshot!(shown(&parse(text, &resolver).unwrap()), @"
    a 192.0.2.1 control-plane+etcd {address:a}
    b 192.0.2.2 worker {address:b}
    all {}
    kubelet:
      max-pods: 50
    line 2: `kubelet_max_pods` differs between hosts, and a cluster has one; kinstall uses the value of host `a`
    ");
}

#[test]
fn a_cluster_of_both_families_is_taken_over() {
    let hosts = "[kube_control_plane]\na ip=192.0.2.1 ip6=2001:db8::1\n[etcd]\na\n[kube_node]\nb ip=192.0.2.2 ip6=2001:db8::2\n";
    let of = |variables: &str| {
        let imported = parse(&format!("{hosts}[all:vars]\n{variables}"), &resolver).unwrap();
        imported.spec(None).unwrap().validate().unwrap();
        shown(&imported)
    };
    let both = of("ipv6_stack=true\nkube_pods_subnet=10.233.64.0/18\nkube_network_node_prefix_ipv6=121\n");
    insta::assert_snapshot!(both, @"
    a 192.0.2.1 control-plane+etcd {address:a}
    b 192.0.2.2 worker {address:b}
    all {}
    network:
      pod-cidr:
      - 10.233.64.0/18
      - fd85:ee78:d8a6:8607::1:0/112
      service-cidr:
      - 10.96.0.0/12
      - fd85:ee78:d8a6:8607::1000/116
      node-cidr-mask-size-ipv6: 121
    ");
    assert!(of("enable_dual_stack_networks=true\n").contains("fd85:ee78:d8a6:8607::1000/116"), "the older name");
    let ipv6 = of("ipv4_stack=false\nipv6_stack=true\nkube_service_addresses_ipv6=fd00:96::/112\n");
    insta::assert_snapshot!(ipv6, @"
    a 2001:db8::1 control-plane+etcd {address:a}
    b 2001:db8::2 worker {address:b}
    all {}
    network:
      pod-cidr: fd85:ee78:d8a6:8607::1:0/112
      service-cidr: fd00:96::/112
      node-cidr-mask-size-ipv6: 120
    ");
    let ipv4 = of("ipv6_stack=false\n");
    assert!(!ipv4.contains("fd85") && !ipv4.contains("left out"), "{ipv4}");
}

#[test]
fn settings_of_programs_are_taken_over() {
    let text = "\
kube_apiserver_node_port_range: 30000-31000
event_ttl_duration: 2h
kube_profiling: false
tls_cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384]
kube_kubeadm_apiserver_extra_args: {max-requests-inflight: 800, goaway-chance: '0.001'}
kube_kubeadm_controller_extra_args: {concurrent-gc-syncs: 30}
kube_controller_terminated_pod_gc_threshold: 100
kube_feature_gates: [AllAlpha=false]
kube_apiserver_feature_gates: ['AllBeta=True']
apiserver_extra_volumes: [{name: site, hostPath: /etc/site, mountPath: /etc/site}]
kube_apiserver_enable_admission_plugins: [NodeRestriction, AlwaysPullImages]
kube_oidc_auth: true
kube_oidc_url: https://login.example.com
kube_oidc_client_id: kubernetes
kube_oidc_groups_claim: groups
kubelet_config_extra_args: {serializeImagePulls: false}
kubelet_logfiles_max_nr: 3
eviction_hard: {memory.available: 300Mi}
kube_reserved: true
kube_cpu_reserved: 200m
kube_memory_reserved: 512Mi
";
    insta::assert_snapshot!(read(text), @"
    network:
      kube-proxy:
        config:
          featureGates:
            AllAlpha: false
    kubelet:
      config:
        containerLogMaxFiles: 3
        evictionHard:
          memory.available: 300Mi
        featureGates:
          AllAlpha: false
        kubeReserved:
          cpu: 200m
          memory: 512Mi
        serializeImagePulls: false
        tlsCipherSuites:
        - TLS_AES_128_GCM_SHA256
        - TLS_AES_256_GCM_SHA384
    api-server:
      extra-args:
        event-ttl: 2h
        goaway-chance: '0.001'
        max-requests-inflight: '800'
        profiling: 'false'
        tls-cipher-suites: TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384
      extra-volumes:
      - name: site
        host-path: /etc/site
        mount-path: /etc/site
        read-only: true
      feature-gates:
        AllBeta: true
      oidc:
        issuer-url: https://login.example.com
        client-id: kubernetes
        groups-claim: groups
      admission:
        enable:
        - AlwaysPullImages
      service-node-ports: 30000-31000
    controller-manager:
      extra-args:
        concurrent-gc-syncs: '30'
        profiling: 'false'
        terminated-pod-gc-threshold: '100'
        tls-cipher-suites: TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384
      feature-gates:
        AllAlpha: false
    scheduler:
      extra-args:
        profiling: 'false'
        tls-cipher-suites: TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384
      feature-gates:
        AllAlpha: false
    ");
    let variables = text.lines().map(|line| format!("    {line}\n")).collect::<Vec<_>>().concat();
    let file =
        format!("all:\n  vars:\n{variables}  children:\n    kube_control_plane: {{hosts: {{a: {{ip: 192.0.2.1}}}}}}\n");
    parse(&file, &resolver).unwrap().spec(None).unwrap().validate().unwrap();
}

#[test]
fn settings_of_programs_that_cannot_be_given_are_named() {
    insta::assert_snapshot!(read("\
kube_kubeadm_apiserver_extra_args: {anonymous-auth: false, no-such-flag: 1}
kube_apiserver_enable_admission_plugins: [PodNodeSelector, PodSecurityPolice]
kubelet_config_extra_args: {cgroupDriver: cgroupfs, evictionSoft: {memory.available: 1Gi}, maxPod: 5}
kube_cpu_reserved: 200m
kube_oidc_auth: true
kube_oidc_url: https://login.example.com
kube_oidc_client_id: kubernetes
kube_oidc_ca_file: /etc/kubernetes/ssl/oidc.pem
kubelet_rotate_server_certificates: true
system_master_cpu_reserved: 100m
"), @"
    kubelet:
      config:
        evictionSoft:
          memory.available: 1Gi
    api-server:
      oidc:
        issuer-url: https://login.example.com
        client-id: kubernetes
      admission:
        enable:
        - PodNodeSelector
    line 3: `anonymous-auth` of `kube_kubeadm_apiserver_extra_args` is left out: hosts that join and load balancers ask without a credential, and RBAC gives them nothing else
    line 3: `no-such-flag` of `kube_kubeadm_apiserver_extra_args` is left out: no kube-apiserver of Kubernetes 1.25 to 1.37 has a flag `no-such-flag`
    line 4: `PodSecurityPolice` of `kube_apiserver_enable_admission_plugins` is left out: no kube-apiserver of Kubernetes 1.25 to 1.37 has a plugin for admission `PodSecurityPolice`
    line 5: `cgroupDriver` of `kubelet_config_extra_args` is left out: it is systemd on every host, and containerd is told the same
    line 5: `maxPod` of `kubelet_config_extra_args` is left out: no kubelet of Kubernetes 1.25 to 1.36 has a field `maxPod`; did you mean `maxPods`?
    line 6: `kube_cpu_reserved` is left out; `kube_reserved` is not true
    line 10: `kube_oidc_ca_file: /etc/kubernetes/ssl/oidc.pem` is left out; write its content under `api-server.oidc.ca`
    lines 11, 12: left out: `kubelet_rotate_server_certificates`, `system_master_cpu_reserved`: this setting of the kubelet is not imported; write fields under `kubelet.config` in cluster.yaml, for all hosts or for one
    ");
    insta::assert_snapshot!(read("\
kube_kubeadm_scheduler_extra_args: [v]
kube_kubeadm_controller_extra_args: {v: {deep: 1}}
kube_feature_gates: [AllAlpha]
kubelet_config_extra_args: fast
apiserver_extra_volumes: [{name: site}]
kube_oidc_auth: true
kube_oidc_ca_cert: '?'
"), @"
    refused
    line 3: `kube_kubeadm_scheduler_extra_args` is not a mapping
    line 4: `v` of `kube_kubeadm_controller_extra_args`: a flag takes a text, a number, true or false, or a list of these that is not empty
    line 5: `kube_feature_gates` is not a list of gates, `Name=true`
    line 6: `kubelet_config_extra_args` is not a mapping
    line 7: each entry of `apiserver_extra_volumes` needs a `name`, a `hostPath` and a `mountPath`
    line 9: `kube_oidc_ca_cert` is not a certificate in base64
    ");
}
