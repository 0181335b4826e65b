//! `InitConfiguration` and `ClusterConfiguration`, in kubeadm's own words.
//!
//! Source: cmd/kubeadm/app/apis/kubeadm/v1beta3 and v1beta4 of Kubernetes. Fields that both versions share
//! are plain; those that differ are made by version.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use kbundle_format::{ImageRef, Role};
use serde::Serialize;

use super::host_settings::Patches;
use super::images::{self, ClusterImages};
use super::registration::NodeRegistration;
use super::{AUDIT_LOG_DIRECTORY, AUDIT_POLICY_PATH, CIPHER_SUITES, ConfigApi, ENCRYPTION_PATH, LOWEST_TLS};
use crate::config::Switch;
use crate::etcd_layout as etcd;
use crate::inputs::Inputs;

/// Settings of this run and this node.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InitConfiguration {
    api_version: &'static str,
    kind: &'static str,
    #[serde(rename = "localAPIEndpoint")]
    local_api_endpoint: ApiEndpoint,
    node_registration: NodeRegistration,
    patches: Patches,
}

/// Where this host's API server is reached.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiEndpoint {
    advertise_address: IpAddr,
    bind_port: u16,
}

impl ApiEndpoint {
    pub(super) fn of(inputs: &Inputs<'_>) -> Self {
        Self { advertise_address: inputs.address(), bind_port: inputs.spec.api.port }
    }
}

/// Flags of a program: a map until v1beta3, a list from v1beta4.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Arguments {
    Map(BTreeMap<&'static str, String>),
    List(Vec<Argument>),
}

#[derive(Serialize)]
pub(super) struct Argument {
    name: &'static str,
    value: String,
}

impl Arguments {
    pub(super) fn new(api: ConfigApi, arguments: BTreeMap<&'static str, String>) -> Self {
        match api {
            ConfigApi::V1Beta3 => Self::Map(arguments),
            ConfigApi::V1Beta4 => {
                Self::List(arguments.into_iter().map(|(name, value)| Argument { name, value }).collect())
            }
        }
    }
}

impl InitConfiguration {
    pub fn new(inputs: &Inputs<'_>) -> Self {
        Self {
            api_version: ConfigApi::of(inputs.list.kubernetes_version).api_version(),
            kind: "InitConfiguration",
            local_api_endpoint: ApiEndpoint::of(inputs),
            node_registration: NodeRegistration::of(inputs),
            patches: Patches::OURS,
        }
    }
}

/// Settings of the whole cluster; kubeadm keeps them in the `ConfigMap` `kubeadm-config`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterConfiguration {
    api_version: &'static str,
    kind: &'static str,
    cluster_name: String,
    kubernetes_version: String,
    image_repository: String,
    control_plane_endpoint: String,
    networking: Networking,
    etcd: Etcd,
    api_server: ApiServer,
    controller_manager: Component,
    scheduler: Component,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<Dns>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Networking {
    dns_domain: String,
    pod_subnet: String,
    service_subnet: String,
}

#[derive(Serialize)]
struct Etcd {
    external: ExternalEtcd,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalEtcd {
    endpoints: Vec<String>,
    ca_file: &'static str,
    cert_file: &'static str,
    key_file: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiServer {
    #[serde(rename = "certSANs")]
    cert_sans: Vec<String>,
    extra_args: Arguments,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extra_volumes: Vec<Volume>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    extra_args: Arguments,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    name: &'static str,
    host_path: &'static str,
    mount_path: &'static str,
    read_only: bool,
    path_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dns {
    image_repository: String,
    image_tag: String,
}

impl ClusterConfiguration {
    pub fn new(inputs: &Inputs<'_>, images: &ClusterImages) -> Self {
        let Inputs { spec, list, .. } = *inputs;
        let api = ConfigApi::of(list.kubernetes_version);
        Self {
            api_version: api.api_version(),
            kind: "ClusterConfiguration",
            cluster_name: spec.name.to_string(),
            kubernetes_version: format!("v{}", list.kubernetes_version),
            image_repository: images.repository.clone(),
            control_plane_endpoint: format!("{}:{}", spec.api_name(), spec.api.port),
            networking: Networking {
                dns_domain: spec.network.dns_domain.to_string(),
                pod_subnet: spec.network.pod_cidr.to_string(),
                service_subnet: spec.network.service_cidr.to_string(),
            },
            etcd: Etcd {
                external: ExternalEtcd {
                    endpoints: etcd_endpoints(inputs),
                    ca_file: etcd::CLIENT_CA_PATH,
                    cert_file: etcd::CLIENT_CERTIFICATE_PATH,
                    key_file: etcd::CLIENT_KEY_PATH,
                },
            },
            api_server: ApiServer {
                cert_sans: certificate_sans(inputs),
                extra_args: Arguments::new(api, api_server_arguments(inputs)),
                extra_volumes: api_server_volumes(inputs),
            },
            controller_manager: Component { extra_args: Arguments::new(api, controller_manager_arguments()) },
            scheduler: Component { extra_args: Arguments::new(api, quiet_component_arguments()) },
            dns: images.coredns.as_ref().map(dns),
        }
    }
}

/// Where the API servers reach etcd: at the member beside each of them, or else at all members.
///
/// A client that knows all members goes round them, and one whose host is gone without a word is noticed after ten seconds only
/// (gRPC's `TCP_USER_TIMEOUT`): until then requests hang at every API server. One that loses the member beside it says that it is
/// not ready, and load balancers turn to another.
#[must_use]
pub fn etcd_endpoints(inputs: &Inputs<'_>) -> Vec<String> {
    if inputs.topology.with(Role::ControlPlane).all(|member| member.has(Role::Etcd)) {
        return vec![etcd::client_url(Ipv4Addr::LOCALHOST.into())];
    }
    inputs.topology.with(Role::Etcd).map(|member| etcd::client_url(member.address)).collect()
}

/// Every name and address that a client on this site may use, besides those inside the cluster and each control plane's own
/// name and address, which kubeadm adds.
fn certificate_sans(inputs: &Inputs<'_>) -> Vec<String> {
    let api = &inputs.spec.api;
    let here = [inputs.spec.api_name(), "127.0.0.1".to_owned(), "localhost".to_owned()];
    let balancer = api.address.map(|address| address.to_string());
    let mut sans: Vec<String> = Vec::new();
    for san in here.into_iter().chain(balancer).chain(api.certificate_sans.iter().cloned()) {
        if !sans.contains(&san) {
            sans.push(san);
        }
    }
    sans
}

/// Anonymous requests stay allowed, as kubeadm sets it up: joining hosts read `cluster-info` and load balancers ask
/// `/readyz` before they have a credential, and RBAC gives the anonymous user nothing else.
fn api_server_arguments(inputs: &Inputs<'_>) -> BTreeMap<&'static str, String> {
    let mut arguments = BTreeMap::from([
        ("profiling", "false".to_owned()),
        ("tls-min-version", LOWEST_TLS.to_owned()),
        ("tls-cipher-suites", CIPHER_SUITES.join(",")),
    ]);
    if inputs.spec.security.encryption_at_rest == Switch::Enabled {
        arguments.insert("encryption-provider-config", ENCRYPTION_PATH.to_owned());
    }
    if inputs.spec.security.audit_log == Switch::Enabled {
        arguments.extend([
            ("audit-policy-file", AUDIT_POLICY_PATH.to_owned()),
            ("audit-log-path", format!("{AUDIT_LOG_DIRECTORY}/audit.log")),
            // Days, files and MB: a month, and at most 1.1 GB.
            ("audit-log-maxage", "30".to_owned()),
            ("audit-log-maxbackup", "10".to_owned()),
            ("audit-log-maxsize", "100".to_owned()),
        ]);
    }
    arguments
}

fn api_server_volumes(inputs: &Inputs<'_>) -> Vec<Volume> {
    let volume =
        |name, path, read_only, path_type| Volume { name, host_path: path, mount_path: path, read_only, path_type };
    let mut volumes = Vec::new();
    if inputs.spec.security.encryption_at_rest == Switch::Enabled {
        volumes.push(volume("encryption", ENCRYPTION_PATH, true, "File"));
    }
    if inputs.spec.security.audit_log == Switch::Enabled {
        volumes.push(volume("audit-policy", AUDIT_POLICY_PATH, true, "File"));
        volumes.push(volume("audit-log", AUDIT_LOG_DIRECTORY, false, "Directory"));
    }
    volumes
}

fn quiet_component_arguments() -> BTreeMap<&'static str, String> {
    [("profiling", "false".to_owned()), ("bind-address", "127.0.0.1".to_owned())].into()
}

fn controller_manager_arguments() -> BTreeMap<&'static str, String> {
    let mut arguments = quiet_component_arguments();
    // The default keeps 12500 ended pods in etcd (CIS Kubernetes Benchmark, 1.3.1).
    arguments.insert("terminated-pod-gc-threshold", "1000".to_owned());
    arguments
}

/// kubeadm appends `/coredns` to the repository, so it gets the one above.
fn dns(coredns: &ImageRef) -> Dns {
    Dns {
        image_repository: images::parent(coredns),
        image_tag: coredns.tag().expect("only images with a tag are taken").to_owned(),
    }
}
