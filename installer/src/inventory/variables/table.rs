//! Every variable of Kubespray and Ansible that the import knows, and what the import does with it. The import, its notes and the manual
//! share this one table.
//!
//! Sources: `inventory/sample/group_vars` and `roles/kubespray_defaults/defaults/main/main.yml` of Kubespray 2.24 to 2.29, and
//! Ansible's list of special variables.

/// What becomes of variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They become this part of cluster.yaml, or need nothing since kinstall works that way.
    Taken(&'static str),
    /// Left out, for this reason.
    Left(&'static str),
    /// Left out, for this reason, where it is not false or empty: switched off is what kinstall has.
    LeftWhereOn(&'static str),
}

/// Variables with one fate. A name may begin or end with `*`.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The names; the first row that has a name decides, and a whole name is found before one with `*`.
    pub names: &'static [&'static str],
    /// What becomes of them.
    pub fate: Fate,
}

use Fate::{Left, LeftWhereOn, Taken};

const fn row(names: &'static [&'static str], fate: Fate) -> Row {
    Row { names, fate }
}

/// The table, as the manual shows it.
pub const TABLE: &[Row] = &[
    // How hosts are reached.
    row(&["ansible_host", "ansible_ssh_host"], Taken("`ssh.address`, and `address` where nothing else gives it")),
    row(&["ip", "access_ip"], Taken("`address`: `ip`, or else `access_ip`")),
    row(&["ansible_user", "ansible_ssh_user"], Taken("`ssh.user`")),
    row(&["ansible_port", "ansible_ssh_port"], Taken("`ssh.port`")),
    row(
        &["ansible_ssh_private_key_file", "ansible_private_key_file"],
        Taken("`ssh.key`; of the bastion: `ssh.jump-key`"),
    ),
    row(
        &["ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"],
        Taken(
            "`ssh.jump`, `ssh.jump-key`, `ssh.key`, `ssh.user`, `ssh.port`, `ssh.known-hosts`; other arguments are named in a note",
        ),
    ),
    row(&["ansible_connection"], Taken("`ssh.connection`")),
    row(
        &["ansible_become", "ansible_become_user", "ansible_become_method"],
        Taken("`ssh.sudo`; only `sudo` to `root` is possible"),
    ),
    row(&["ansible_group_priority"], Taken("the order of groups")),
    row(
        &["ansible_password", "ansible_ssh_pass", "ansible_ssh_password", "ansible_pass"],
        Left("a password is not copied; kinstall logs in with keys, by OpenSSH's agent or `ssh.key`"),
    ),
    row(
        &["ansible_become_pass", "ansible_become_password", "ansible_sudo_pass"],
        Left("a password is not copied; with `ssh.sudo: password`, kinstall asks for it, once for all hosts"),
    ),
    row(&["ansible_*"], Left("used by Ansible alone")),
    // Nodes.
    row(&["kube_override_hostname"], Taken("`name`")),
    row(&["node_labels"], Taken("`labels`")),
    row(&["node_taints"], Taken("`taints`")),
    row(
        &["etcd_member_name"],
        Taken("nothing: members of etcd are named after their hosts; a note tells where that differs"),
    ),
    row(&["kubelet_max_pods"], Taken("`kubelet.max-pods`")),
    // The network.
    row(&["kube_network_plugin"], Taken("`network.cni`; for a network that kinstall does not set up, `none`")),
    row(&["kube_pods_subnet"], Taken("`network.pod-cidr`")),
    row(&["kube_service_addresses"], Taken("`network.service-cidr`")),
    row(&["kube_network_node_prefix"], Taken("`network.node-cidr-mask-size`")),
    row(
        &["ipv4_stack", "ipv6_stack", "enable_dual_stack_networks"],
        Taken("the IP families of `network.pod-cidr` and `network.service-cidr`"),
    ),
    row(
        &["kube_pods_subnet_ipv6", "kube_service_addresses_ipv6", "kube_network_node_prefix_ipv6"],
        Taken("the same of IPv6, where the cluster has it: `network.node-cidr-mask-size-ipv6` and the networks"),
    ),
    row(
        &["ip6", "access_ip6"],
        Taken("`second-address` of a host where the cluster has both families, `address` where it has IPv6 alone"),
    ),
    row(
        &["dns_domain", "cluster_name"],
        Taken("`network.dns-domain`: `dns_domain`, or else `cluster_name`; both: `cluster_name` is `name`"),
    ),
    row(&["kube_proxy_mode", "kube_proxy_remove"], Taken("`network.kube-proxy.mode`")),
    row(&["kube_proxy_strict_arp"], Taken("`network.kube-proxy.strict-arp`, with `ipvs`")),
    row(
        &["calico_ipip_mode", "calico_vxlan_mode", "calico_network_backend"],
        Taken("`network.calico.mode` and `network.calico.encapsulation`"),
    ),
    row(&["calico_mtu", "calico_veth_mtu"], Taken("`network.calico.mtu`")),
    row(
        &["calico_ip_auto_method"],
        Taken("`network.calico.node-cidr`, in the form `cidr=…`; other forms are named in a note"),
    ),
    // The API.
    row(&["kube_apiserver_port"], Taken("`api.port`")),
    row(
        &[
            "loadbalancer_apiserver",
            "loadbalancer_apiserver_localhost",
            "loadbalancer_apiserver_type",
            "loadbalancer_apiserver_port",
        ],
        Taken("`api.load-balancer` and `api.address`"),
    ),
    row(&["apiserver_loadbalancer_domain_name"], Taken("`api.endpoint`")),
    row(
        &[
            "kube_vip_enabled",
            "kube_vip_controlplane_enabled",
            "kube_vip_address",
            "kube_vip_interface",
            "kube_vip_arp_enabled",
        ],
        Taken("`api.load-balancer: vip`, `api.address` and `api.interface`"),
    ),
    row(&["kube_service_node_port_range"], Taken("`api-server.service-node-ports`")),
    row(&["supplementary_addresses_in_ssl_keys"], Taken("`api.certificate-sans`")),
    // Security, registries, add-ons.
    row(&["kubernetes_audit"], Taken("`security.audit-log`")),
    row(&["kube_encrypt_secret_data"], Taken("`security.encryption-at-rest`")),
    row(&["containerd_registries_mirrors"], Taken("`registries`")),
    row(
        &["metrics_server_enabled", "ingress_nginx_enabled", "cert_manager_enabled", "metallb_enabled"],
        Taken("`addons`, where true"),
    ),
    row(
        &["container_manager", "etcd_deployment_type"],
        Taken("nothing for `containerd` and `host`; a note tells where that differs"),
    ),
    // Left out.
    row(
        &["kube_version"],
        Taken("nothing: the bundle brings Kubernetes; a note tells how to build one with this version"),
    ),
    row(
        &[
            "*_version",
            "*_versions",
            "*_image_repo",
            "*_image_tag",
            "*_image_name",
            "*_download_url",
            "*_checksum",
            "*_checksums",
            "*_binary_checksum",
            "download_*",
            "skip_downloads",
            "skip_kubeadm_images",
            "files_repo",
            "registry_host",
            "*_repo_base_url",
            "*_rh_repo_gpgkey",
            "*_repo_gpgkey",
            "yum_repo",
            "ubuntu_repo",
            "debian_repo",
            "image_arch",
            "k8s_image_pull_policy",
            "retry_stagger",
            "local_release_dir",
            "unsafe_show_logs",
            "image_command_tool",
            "image_command_tool_on_localhost",
        ],
        Left("files, images and their versions come with the bundle"),
    ),
    row(
        &[
            "bin_dir",
            "*_bin_dir",
            "kube_config_dir",
            "kube_script_dir",
            "kube_manifest_dir",
            "kube_cert_dir",
            "kube_cert_compat_dir",
            "kube_token_dir",
            "kube_owner",
            "kube_cert_group",
            "credentials_dir",
            "etcd_data_dir",
            "etcd_config_dir",
            "etcd_cert_dir",
            "etcd_events_data_dir",
            "containerd_storage_dir",
            "containerd_state_dir",
            "containerd_cfg_dir",
            "containerd_systemd_dir",
            "docker_daemon_graph",
            "default_kubelet_config_dir",
            "kubelet_config_dir",
            "kubelet_flexvolumes_plugins_dir",
            "nginx_config_dir",
            "haproxy_config_dir",
            "kube_vip_cri_socket",
            "cri_socket",
        ],
        Left("kinstall has its own places for files and its own names for users"),
    ),
    row(
        &[
            "kube_apiserver_*",
            "kube_api_*",
            "kube_oidc_*",
            "kube_webhook_*",
            "kube_token_auth",
            "kube_basic_auth",
            "kube_profiling",
            "kube_feature_gates",
            "authorization_modes",
            "rbac_enabled",
            "remove_anonymous_access",
            "audit_*",
            "tls_min_version",
            "tls_cipher_suites",
            "event_ttl_duration",
            "kube_encryption_*",
            "podsecuritypolicy_*",
            "kube_pod_security_*",
            "kube_log_level",
        ],
        Left("flags and files of the API server are not imported; write them under `api-server` in cluster.yaml"),
    ),
    row(
        &["kube_controller_*", "kube_scheduler_*", "kube_kubeadm_*", "kubeadm_*", "node_cidr_mask_size"],
        Left(
            "settings of the controller manager, the scheduler and kubeadm are not imported; write flags under `controller-manager.extra-args` and `scheduler.extra-args` in cluster.yaml",
        ),
    ),
    row(
        &[
            "kubelet_*",
            "kube_reserved",
            "kube_reserved_*",
            "kube_*_reserved",
            "kube_master_*",
            "system_reserved",
            "system_reserved_*",
            "system_*_reserved",
            "eviction_*",
            "kube_read_only_port",
            "kubeconfig_cluster_name",
            "kubelet_max_pods_*",
        ],
        Left(
            "of the kubelet's settings only `kubelet_max_pods` is imported; write others under `kubelet.config` in cluster.yaml",
        ),
    ),
    row(
        &["kube_proxy_*"],
        Left(
            "of kube-proxy's settings only its mode and `kube_proxy_strict_arp` are imported; write others under `network.kube-proxy.config` in cluster.yaml",
        ),
    ),
    row(
        &[
            "calico_*",
            "typha_*",
            "nat_outgoing",
            "nat_outgoing_ipv6",
            "peer_with_router",
            "peer_with_calico_rr",
            "peers",
            "global_as_num",
            "local_as",
            "enable_network_policy",
        ],
        Left("of Calico's settings only its mode, encapsulation, MTU and network of the hosts are imported"),
    ),
    row(
        &[
            "cilium_*",
            "weave_*",
            "flannel_*",
            "kube_router_*",
            "kube_ovn_*",
            "canal_*",
            "macvlan_*",
            "contiv_*",
            "multus_*",
            "custom_cni_*",
            "kube_network_plugin_multus",
        ],
        LeftWhereOn("settings of other networks than Calico are not imported"),
    ),
    row(
        &[
            "dns_mode",
            "dns_*",
            "ndots",
            "searchdomains",
            "remove_default_searchdomains",
            "enable_nodelocaldns*",
            "nodelocaldns_*",
            "enable_coredns_*",
            "coredns_*",
            "enable_dns_autoscaler",
            "resolvconf_mode",
            "skydns_*",
            "manual_dns_server",
            "nameservers",
            "upstream_dns_servers",
            "kube_dns_servers",
            "deploy_netchecker",
            "netcheck_*",
            "docker_dns_*",
        ],
        Left("the cluster's DNS is kubeadm's CoreDNS, and hosts keep their own resolvers"),
    ),
    row(
        &["*_ipv6", "kube_pods_subnets", "kube_service_subnets"],
        LeftWhereOn("kinstall has no such setting for one IP family, or makes it of others"),
    ),
    row(
        &["etcd_*"],
        Left(
            "kinstall sets up etcd as a service with settings of its own; an etcd that the site already has is `etcd.external` in cluster.yaml",
        ),
    ),
    row(
        &[
            "containerd_*",
            "nri_enabled",
            "docker_*",
            "crio_*",
            "cri_*",
            "kata_containers_*",
            "gvisor_enabled",
            "runc_enabled",
            "crun_enabled",
            "youki_enabled",
            "nvidia_*",
            "deploy_container_engine",
        ],
        LeftWhereOn(
            "kinstall sets up containerd with settings of its own, and of registries only `containerd_registries_mirrors` is imported",
        ),
    ),
    row(
        &[
            "http_proxy",
            "https_proxy",
            "no_proxy",
            "no_proxy_exclude_workers",
            "additional_no_proxy",
            "skip_http_proxy_on_os_packages",
        ],
        LeftWhereOn("an installation reaches nothing outside of the site"),
    ),
    row(
        &[
            "cloud_provider",
            "external_cloud_provider",
            "openstack_*",
            "external_openstack_*",
            "cinder_*",
            "aws_*",
            "azure_*",
            "gcp_*",
            "vsphere_*",
            "external_vsphere_*",
            "oci_*",
            "external_oci_*",
            "hcloud_*",
            "external_hcloud_*",
            "upcloud_*",
            "huaweicloud_*",
            "external_huaweicloud_*",
            "cloudstack_*",
            "volume_cross_zone_attachment",
            "node_volume_attach_limit",
        ],
        LeftWhereOn("kinstall sets up no cloud provider"),
    ),
    row(
        &["kube_vip_*", "loadbalancer_apiserver_healthcheck_port", "nginx_*", "haproxy_*", "loadbalancer_apiserver_*"],
        LeftWhereOn("kinstall sets up HAProxy and kube-vip with settings of its own"),
    ),
    row(
        &["kubeconfig_localhost", "kubeconfig_localhost_ansible_host", "kubectl_localhost", "artifacts_dir"],
        LeftWhereOn(
            "nothing is fetched from the hosts; the kubeconfig is `/etc/kubernetes/admin.conf` of a control plane",
        ),
    ),
    row(
        &[
            "ntp_*",
            "additional_sysctl",
            "sysctl_*",
            "preinstall_selinux_state",
            "disable_swap",
            "disable_ipv6_dns",
            "ignore_assert_errors",
            "ping_access_ip",
            "rh_subscription_*",
            "pip_*",
            "bootstrap_os",
            "override_system_hostname",
            "populate_*",
            "disable_fapolicyd",
            "ubuntu_kernel_unattended_upgrades_disabled",
            "kube_resolv_conf",
            "auto_renew_certificates*",
            "cert_management",
            "certificates_*",
            "force_certificate_regeneration",
            "kube_external_ca_mode",
            "timezone",
            "dashboard_*",
        ],
        Left("kinstall has no such setting"),
    ),
    row(
        &[
            "helm_enabled",
            "registry_enabled",
            "registry_*",
            "local_path_provisioner_*",
            "local_volume_provisioner_*",
            "cephfs_provisioner_*",
            "rbd_provisioner_*",
            "ingress_alb_*",
            "alb_ingress_*",
            "argocd_*",
            "krew_*",
            "csi_snapshot_controller_*",
            "snapshot_controller_*",
            "persistent_volumes_enabled",
            "expand_persistent_volumes",
            "node_feature_discovery_*",
            "gateway_api_*",
            "prometheus_operator_crds_*",
            "scheduler_plugins_*",
            "ingress_ambassador_enabled",
            "netchecker_*",
            "ovn4nfv_*",
        ],
        LeftWhereOn("bundles have no such add-on; manifests of the site are applied once the cluster runs"),
    ),
    row(
        &[
            "metrics_server_*",
            "ingress_nginx_*",
            "ingress_publish_status_address",
            "cert_manager_*",
            "metallb_*",
            "matallb_*",
        ],
        LeftWhereOn("add-ons are applied as their projects publish them; change them once the cluster runs"),
    ),
];

/// What becomes of the variable of this name; nothing where it is unknown.
#[must_use]
pub fn fate(name: &str) -> Option<Fate> {
    let matches = |pattern: &str| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        _ => false,
    };
    let whole = TABLE.iter().find(|row| row.names.contains(&name));
    whole.or_else(|| TABLE.iter().find(|row| row.names.iter().any(|pattern| matches(pattern)))).map(|row| row.fate)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_whole_name_is_found_before_a_pattern() {
        assert!(matches!(fate("kubelet_max_pods"), Some(Taken(_))));
        assert!(matches!(fate("kubelet_rotate_certificates"), Some(Left(_))));
        assert!(matches!(fate("metallb_enabled"), Some(Taken(_))));
        assert_eq!(fate("my_token"), None);
    }

    #[test]
    fn no_name_stands_twice() {
        let names: Vec<_> = TABLE.iter().flat_map(|row| row.names).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}
