//! Flags and volumes of the programs of the control plane: kinstall's own, overridden by those of cluster.yaml.

use std::collections::BTreeMap;

use super::files::{ADMISSION_CONFIGURATION_PATH, ADMISSION_DIRECTORY, OIDC_CA_PATH, admission_plugins};
use super::kubelet::kubelets_are_signed;
use super::{AUDIT_LOG_DIRECTORY, AUDIT_POLICY_PATH, AUTHORITY_PATH, CIPHER_SUITES, ENCRYPTION_PATH, LOWEST_TLS};
use crate::config::{
    ClusterSpec, Component, ExtraVolume, Flags, IpFamily, Network, Oidc, Switch, USUAL_NODE_PART, USUAL_NODE_PART_IPV6,
};
use crate::kube_types::Program;

/// The admission plugin that kubeadm switches on; a list of the site's own would replace its list.
const BY_KUBEADM: &str = "NodeRestriction";

/// The flags of the API server.
///
/// Anonymous requests stay allowed, as kubeadm's default is: joining hosts read `cluster-info` and load balancers ask `/readyz` before they
/// have a credential, and RBAC gives the anonymous user nothing else.
fn api_server_flags(spec: &ClusterSpec) -> Flags {
    let server = &spec.api_server;
    let mut flags = Flags::new();
    let mut set = |name: &str, value: String| drop(flags.insert(name.to_owned(), value.into()));
    set("profiling", "false".to_owned());
    set("tls-min-version", LOWEST_TLS.to_owned());
    set("tls-cipher-suites", CIPHER_SUITES.join(","));
    if kubelets_are_signed(spec) {
        set("kubelet-certificate-authority", AUTHORITY_PATH.to_owned());
    }
    if spec.security.encryption_at_rest == Switch::Enabled {
        set("encryption-provider-config", ENCRYPTION_PATH.to_owned());
    }
    if spec.security.audit_log == Switch::Enabled {
        set("audit-policy-file", AUDIT_POLICY_PATH.to_owned());
        set("audit-log-path", format!("{AUDIT_LOG_DIRECTORY}/audit.log"));
        // Days, files and MB: a month, and at most 1.1 GB.
        set("audit-log-maxage", "30".to_owned());
        set("audit-log-maxbackup", "10".to_owned());
        set("audit-log-maxsize", "100".to_owned());
    }
    if let Some(ports) = &server.service_node_ports {
        set("service-node-port-range", ports.clone());
    }
    admission_flags(spec, &mut set);
    if !server.service_account_issuers.is_empty() {
        flags.insert("service-account-issuer".to_owned(), server.service_account_issuers.iter().cloned().collect());
    }
    if let Some(oidc) = &server.oidc {
        oidc_flags(oidc, &mut flags);
    }
    with_those_of_the_site(flags, &server.extra_args, &server.feature_gates)
}

fn admission_flags(spec: &ClusterSpec, set: &mut impl FnMut(&str, String)) {
    let admission = &spec.api_server.admission;
    if !admission.enable.is_empty() {
        let others = admission.enable.iter().map(String::as_str).filter(|name| *name != BY_KUBEADM);
        set("enable-admission-plugins", [BY_KUBEADM].into_iter().chain(others).collect::<Vec<_>>().join(","));
    }
    if !admission.disable.is_empty() {
        set("disable-admission-plugins", admission.disable.join(","));
    }
    if !admission_plugins(spec).is_empty() {
        set("admission-control-config-file", ADMISSION_CONFIGURATION_PATH.to_owned());
    }
}

fn oidc_flags(oidc: &Oidc, flags: &mut Flags) {
    let texts = [
        ("oidc-issuer-url", Some(&oidc.issuer_url)),
        ("oidc-client-id", Some(&oidc.client_id)),
        ("oidc-username-claim", oidc.username_claim.as_ref()),
        ("oidc-username-prefix", oidc.username_prefix.as_ref()),
        ("oidc-groups-claim", oidc.groups_claim.as_ref()),
        ("oidc-groups-prefix", oidc.groups_prefix.as_ref()),
    ];
    for (name, value) in texts {
        flags.extend(value.map(|value| (name.to_owned(), value.clone().into())));
    }
    if !oidc.required_claims.is_empty() {
        let claims = oidc.required_claims.iter().map(|(claim, value)| format!("{claim}={value}"));
        flags.insert("oidc-required-claim".to_owned(), claims.collect());
    }
    if !oidc.signing_algs.is_empty() {
        flags.insert("oidc-signing-algs".to_owned(), oidc.signing_algs.join(",").into());
    }
    if oidc.ca.is_some() {
        flags.insert("oidc-ca-file".to_owned(), OIDC_CA_PATH.into());
    }
}

/// The flags of the controller manager.
fn controller_manager_flags(spec: &ClusterSpec) -> Flags {
    let mut flags = quiet_flags();
    // The default keeps 12500 ended pods in etcd (CIS Kubernetes Benchmark, 1.3.1).
    flags.insert("terminated-pod-gc-threshold".to_owned(), "1000".into());
    flags.extend(node_parts(&spec.network));
    let Component { extra_args, feature_gates, .. } = &spec.controller_manager;
    with_those_of_the_site(flags, extra_args, feature_gates)
}

/// The flag for the size of the nodes' networks, if it is not the default. With two families it has other names
/// (cmd/kube-controller-manager, `setNodeCIDRMaskSizes`).
fn node_parts(network: &Network) -> Flags {
    let flag = |family| {
        let (usual, name) = match family {
            IpFamily::Ipv4 => (USUAL_NODE_PART, "node-cidr-mask-size-ipv4"),
            IpFamily::Ipv6 => (USUAL_NODE_PART_IPV6, "node-cidr-mask-size-ipv6"),
        };
        let name = if network.pod_cidr.is_dual() { name } else { "node-cidr-mask-size" };
        let prefix = network.node_part(family);
        (prefix != usual).then(|| (name.to_owned(), prefix.to_string().into()))
    };
    network.pod_cidr.families().filter_map(flag).collect()
}

/// The flags of the scheduler.
fn scheduler_flags(spec: &ClusterSpec) -> Flags {
    with_those_of_the_site(quiet_flags(), &spec.scheduler.extra_args, &spec.scheduler.feature_gates)
}

fn quiet_flags() -> Flags {
    [("profiling", "false"), ("bind-address", "127.0.0.1")].map(|(name, value)| (name.to_owned(), value.into())).into()
}

fn with_those_of_the_site(mut flags: Flags, extra: &Flags, gates: &BTreeMap<String, bool>) -> Flags {
    if !gates.is_empty() {
        let gates: Vec<_> = gates.iter().map(|(name, is_on)| format!("{name}={is_on}")).collect();
        flags.insert("feature-gates".to_owned(), gates.join(",").into());
    }
    flags.extend(extra.clone());
    flags
}

/// The flags that a program is started with.
#[must_use]
pub fn flags_of(program: Program, spec: &ClusterSpec) -> Flags {
    match program {
        Program::ApiServer => api_server_flags(spec),
        Program::ControllerManager => controller_manager_flags(spec),
        Program::Scheduler => scheduler_flags(spec),
    }
}

/// Volumes of the API server: kinstall's own, and those of the site.
pub(super) fn api_server_volumes(spec: &ClusterSpec) -> Vec<ExtraVolume> {
    let mut volumes = own_volumes(spec);
    volumes.extend(spec.api_server.extra_volumes.iter().cloned());
    volumes
}

/// Volumes of the API server for files that kinstall puts there.
#[must_use]
pub fn own_volumes(spec: &ClusterSpec) -> Vec<ExtraVolume> {
    let volume = |name: &str, path: &str, read_only, path_type: &str| ExtraVolume {
        name: name.to_owned(),
        host_path: path.to_owned(),
        mount_path: None,
        read_only,
        path_type: Some(path_type.to_owned()),
    };
    let oidc = &spec.api_server.oidc;
    let mut volumes = Vec::new();
    if spec.security.encryption_at_rest == Switch::Enabled {
        volumes.push(volume("encryption", ENCRYPTION_PATH, true, "File"));
    }
    if spec.security.audit_log == Switch::Enabled {
        volumes.push(volume("audit-policy", AUDIT_POLICY_PATH, true, "File"));
        volumes.push(volume("audit-log", AUDIT_LOG_DIRECTORY, false, "Directory"));
    }
    if oidc.as_ref().is_some_and(|oidc| oidc.ca.is_some()) {
        volumes.push(volume("oidc", OIDC_CA_PATH, true, "File"));
    }
    if !admission_plugins(spec).is_empty() {
        volumes.push(volume("admission", ADMISSION_DIRECTORY, true, "Directory"));
    }
    volumes
}
