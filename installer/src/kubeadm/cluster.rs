//! `InitConfiguration` and `ClusterConfiguration`, in kubeadm's own words.
//!
//! Source: cmd/kubeadm/app/apis/kubeadm/v1beta3 and v1beta4 of Kubernetes. Fields that both versions share
//! are plain; those that differ are made by version.

use std::net::{IpAddr, Ipv4Addr};

use kbundle_format::{ImageRef, Role};
use serde::Serialize;

use super::arguments::Arguments;
use super::host_settings::Patches;
use super::images::{self, ClusterImages};
use super::registration::NodeRegistration;
use super::{ConfigApi, components};
use crate::config::ExtraVolume;
use crate::etcd_layout as etcd;
use crate::inputs::Inputs;
use crate::kube_types::Program;

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

/// The address of this host's API server.
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
    ca_file: String,
    cert_file: String,
    key_file: String,
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extra_volumes: Vec<Volume>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    name: String,
    host_path: String,
    mount_path: String,
    read_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_type: Option<String>,
}

impl From<ExtraVolume> for Volume {
    fn from(volume: ExtraVolume) -> Self {
        let ExtraVolume { name, host_path, mount_path, read_only, path_type } = volume;
        Self { name, mount_path: mount_path.unwrap_or_else(|| host_path.clone()), host_path, read_only, path_type }
    }
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
            etcd: Etcd { external: ExternalEtcd::of(inputs) },
            api_server: ApiServer {
                cert_sans: certificate_sans(inputs),
                extra_args: Arguments::new(api, components::flags_of(Program::ApiServer, spec)),
                extra_volumes: volumes(components::api_server_volumes(spec)),
            },
            controller_manager: Component {
                extra_args: Arguments::new(api, components::flags_of(Program::ControllerManager, spec)),
                extra_volumes: volumes(spec.controller_manager.extra_volumes.clone()),
            },
            scheduler: Component {
                extra_args: Arguments::new(api, components::flags_of(Program::Scheduler, spec)),
                extra_volumes: volumes(spec.scheduler.extra_volumes.clone()),
            },
            dns: images.coredns.as_ref().map(dns),
        }
    }
}

fn volumes(volumes: Vec<ExtraVolume>) -> Vec<Volume> {
    volumes.into_iter().map(Volume::from).collect()
}

impl ExternalEtcd {
    /// kinstall's own etcd, which is external for kubeadm, or the site's.
    fn of(inputs: &Inputs<'_>) -> Self {
        let endpoints = etcd_endpoints(inputs);
        let [ca_file, cert_file, key_file] = match &inputs.spec.etcd.external {
            Some(external) => external.files().map(|(_, path)| path),
            None => [etcd::CLIENT_CA_PATH, etcd::CLIENT_CERTIFICATE_PATH, etcd::CLIENT_KEY_PATH],
        }
        .map(str::to_owned);
        Self { endpoints, ca_file, cert_file, key_file }
    }
}

/// The endpoints at which an API server reaches etcd: the member on the same host, or else all members.
///
/// A client that knows all members uses them in turn. If a member's host disappears, the client notices it only after ten seconds (gRPC's
/// `TCP_USER_TIMEOUT`); until then requests hang at every API server. An API server that loses the member on its own host reports that it
/// is not ready, and load balancers use another one.
#[must_use]
pub fn etcd_endpoints(inputs: &Inputs<'_>) -> Vec<String> {
    if let Some(external) = &inputs.spec.etcd.external {
        return external.endpoints.clone();
    }
    if inputs.topology.with(Role::ControlPlane).all(|member| member.has(Role::Etcd)) {
        return vec![etcd::client_url(Ipv4Addr::LOCALHOST.into())];
    }
    inputs.topology.with(Role::Etcd).map(|member| etcd::client_url(member.address)).collect()
}

/// Every name and address that a client of this site may use. kubeadm adds the ones inside the cluster and each control plane's own name
/// and address.
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

/// kubeadm appends `/coredns` to the repository, so it gets the parent repository.
fn dns(coredns: &ImageRef) -> Dns {
    Dns {
        image_repository: images::parent(coredns),
        image_tag: coredns.tag().expect("only images with a tag are taken").to_owned(),
    }
}
