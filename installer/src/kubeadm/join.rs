//! `JoinConfiguration`. Source: cmd/kubeadm/app/apis/kubeadm/v1beta3 and v1beta4 of Kubernetes.

use kbundle_format::Role;
use serde::Serialize;

use super::cluster::ApiEndpoint;
use super::host_settings::Patches;
use super::registration::NodeRegistration;
use super::{ConfigApi, document};
use crate::inputs::Inputs;
use crate::join_material::JoinCredentials;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JoinConfiguration<'a> {
    api_version: &'static str,
    kind: &'static str,
    discovery: Discovery<'a>,
    node_registration: NodeRegistration,
    patches: Patches,
    #[serde(skip_serializing_if = "Option::is_none")]
    control_plane: Option<JoinControlPlane>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Discovery<'a> {
    bootstrap_token: BootstrapToken<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BootstrapToken<'a> {
    api_server_endpoint: &'a str,
    token: &'a str,
    ca_cert_hashes: [&'a str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JoinControlPlane {
    #[serde(rename = "localAPIEndpoint")]
    local_api_endpoint: ApiEndpoint,
}

/// The configuration for `kubeadm join`, as YAML. Holds a secret.
#[must_use]
pub fn join_configuration(inputs: &Inputs<'_>, credentials: &JoinCredentials) -> String {
    let control_plane = JoinControlPlane { local_api_endpoint: ApiEndpoint::of(inputs) };
    document(&JoinConfiguration {
        api_version: ConfigApi::of(inputs.list.kubernetes_version).api_version(),
        kind: "JoinConfiguration",
        discovery: Discovery {
            bootstrap_token: BootstrapToken {
                api_server_endpoint: &credentials.api_server,
                token: &credentials.token,
                ca_cert_hashes: [&credentials.authority_hash],
            },
        },
        node_registration: NodeRegistration::of(inputs),
        patches: Patches::OURS,
        control_plane: inputs.has(Role::ControlPlane).then_some(control_plane),
    })
}
