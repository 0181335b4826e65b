//! Every variable of Kubespray and Ansible that the import knows, and what the import does with it. The import, its notes and the manual
//! share this one table.
//!
//! Sources: `inventory/sample/group_vars` and `roles/kubespray_defaults/defaults/main/main.yml` of Kubespray 2.24 to 2.29, and
//! Ansible's list of special variables.

use super::left_out::LEFT;
use super::row::Fate::Taken;
use super::row::{Fate, Row, row};

/// The variables that are taken over, as the manual shows them, with their full names.
const TAKEN: &[Row] = &[
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
    row(&["kube_apiserver_node_port_range"], Taken("`api-server.service-node-ports`")),
    row(&["supplementary_addresses_in_ssl_keys"], Taken("`api.certificate-sans`")),
    // The programs of the control plane, the kubelet and kube-proxy.
    row(
        &[
            "kube_kubeadm_apiserver_extra_args",
            "event_ttl_duration",
            "kube_apiserver_request_timeout",
            "kube_apiserver_pod_eviction_not_ready_timeout_seconds",
            "kube_apiserver_pod_eviction_unreachable_timeout_seconds",
            "kube_api_runtime_config",
        ],
        Taken("`api-server.extra-args`; flags that kinstall sets itself are named in a note"),
    ),
    row(
        &[
            "kube_kubeadm_controller_extra_args",
            "kube_controller_node_monitor_grace_period",
            "kube_controller_node_monitor_period",
            "kube_controller_terminated_pod_gc_threshold",
        ],
        Taken("`controller-manager.extra-args`, likewise"),
    ),
    row(&["kube_kubeadm_scheduler_extra_args"], Taken("`scheduler.extra-args`, likewise")),
    row(&["kube_profiling"], Taken("`extra-args` of all three")),
    row(&["tls_min_version", "tls_cipher_suites"], Taken("`extra-args` of all three, and `kubelet.config`")),
    row(
        &["kube_apiserver_feature_gates", "kube_controller_feature_gates", "kube_scheduler_feature_gates"],
        Taken("`feature-gates` of `api-server`, `controller-manager` and `scheduler`"),
    ),
    row(
        &["kubelet_feature_gates", "kube_proxy_feature_gates"],
        Taken("`featureGates` in `kubelet.config` and `network.kube-proxy.config`"),
    ),
    row(&["kube_feature_gates"], Taken("the gates of each of these that has none of its own")),
    row(
        &["apiserver_extra_volumes", "controller_manager_extra_volumes", "scheduler_extra_volumes"],
        Taken("`extra-volumes` of `api-server`, `controller-manager` and `scheduler`"),
    ),
    row(
        &["kube_apiserver_enable_admission_plugins", "kube_apiserver_disable_admission_plugins"],
        Taken("`api-server.admission`: `enable` and `disable`"),
    ),
    row(
        &[
            "kube_oidc_auth",
            "kube_oidc_url",
            "kube_oidc_client_id",
            "kube_oidc_username_claim",
            "kube_oidc_username_prefix",
            "kube_oidc_groups_claim",
            "kube_oidc_groups_prefix",
            "kube_oidc_ca_cert",
            "kube_oidc_ca_file",
        ],
        Taken("`api-server.oidc`, where `kube_oidc_auth` is true; a file of the hosts is named in a note"),
    ),
    row(
        &[
            "kubelet_config_extra_args",
            "kubelet_status_update_frequency",
            "kubelet_streaming_connection_idle_timeout",
            "kubelet_event_record_qps",
            "kubelet_shutdown_grace_period",
            "kubelet_shutdown_grace_period_critical_pods",
            "kubelet_logfiles_max_nr",
            "kubelet_logfiles_max_size",
            "kubelet_cpu_manager_policy",
            "kubelet_cpu_manager_policy_options",
            "kubelet_topology_manager_policy",
            "kubelet_topology_manager_scope",
            "eviction_hard",
        ],
        Taken("`kubelet.config`; fields that kinstall sets itself are named in a note"),
    ),
    row(
        &[
            "kube_reserved",
            "kube_cpu_reserved",
            "kube_memory_reserved",
            "kube_ephemeral_storage_reserved",
            "kube_pid_reserved",
            "system_reserved",
            "system_cpu_reserved",
            "system_memory_reserved",
            "system_ephemeral_storage_reserved",
            "system_pid_reserved",
        ],
        Taken(
            "`kubeReserved` and `systemReserved` in `kubelet.config`, where `kube_reserved` or `system_reserved` is true",
        ),
    ),
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
    row(
        &["kube_version"],
        Taken("nothing: the bundle brings Kubernetes; a note tells how to build one with this version"),
    ),
];

/// Every row, in the order in which they are searched.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    TAKEN.iter().chain(LEFT)
}

/// What becomes of the variable of this name; `None` if it is unknown.
#[must_use]
pub fn fate(name: &str) -> Option<Fate> {
    let matches = |pattern: &str| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        _ => false,
    };
    let whole = rows().find(|row| row.names.contains(&name));
    whole.or_else(|| rows().find(|row| row.names.iter().any(|pattern| matches(pattern)))).map(|row| row.fate)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_whole_name_is_found_before_a_pattern() {
        assert!(matches!(fate("kubelet_max_pods"), Some(Taken(_))));
        assert!(matches!(fate("kubelet_rotate_certificates"), Some(Fate::Left(_))));
        assert!(matches!(fate("metallb_enabled"), Some(Taken(_))));
        assert_eq!(fate("my_token"), None);
    }

    #[test]
    fn no_name_stands_twice() {
        let names: Vec<_> = rows().flat_map(|row| row.names).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        // A `*` within a name would match nothing.
        assert!(names.iter().all(|name| !name.trim_matches('*').contains('*')));
    }
}
