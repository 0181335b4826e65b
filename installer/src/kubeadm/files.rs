//! Files of every control plane whose content cluster.yaml decides, besides kubeadm's own configuration.

use serde::Serialize;
use serde_json::json;

use super::host_settings::PATCHES_DIRECTORY;
use super::{AUDIT_POLICY_PATH, document};
use crate::config::{ApiServer, ClusterSpec, Fields, KubeadmPatch, Switch};

/// The certificates that vouch for the provider of users.
pub const OIDC_CA_PATH: &str = "/etc/kubernetes/oidc-ca.crt";
/// The configuration of admission plugins, and the files that it names.
pub const ADMISSION_DIRECTORY: &str = "/etc/kubernetes/admission";
/// Which plugin has which configuration.
pub const ADMISSION_CONFIGURATION_PATH: &str = "/etc/kubernetes/admission/configuration.yaml";

const OWN_AUDIT_POLICY: &str = include_str!("../../../manifests/templates/audit-policy.yaml");

/// kinstall's own audit policy, for clusters without one of the site's.
#[must_use]
pub fn own_audit_policy() -> Fields {
    serde_yaml::from_str(OWN_AUDIT_POLICY).expect("it is this program's own")
}

/// A file of a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlaneFile {
    /// Where it lies.
    pub path: String,
    /// Its content.
    pub content: String,
    /// Its mode. Only root reads what may tell who may do what.
    pub mode: u32,
}

/// The files of the control plane that cluster.yaml calls `name`; a cluster of one host gives it no name there.
#[must_use]
pub fn control_plane_files(spec: &ClusterSpec, name: &str) -> Vec<ControlPlaneFile> {
    let ApiServer { oidc, admission, audit_policy, .. } = &spec.api_server;
    let mut files = Vec::new();
    let mut add =
        |path: &str, mode: u32, content: String| files.push(ControlPlaneFile { path: path.to_owned(), content, mode });
    if spec.security.audit_log == Switch::Enabled {
        let content = audit_policy.as_ref().map_or_else(|| OWN_AUDIT_POLICY.to_owned(), document);
        add(AUDIT_POLICY_PATH, 0o600, content);
    }
    if let Some(ca) = oidc.as_ref().and_then(|oidc| oidc.ca.as_ref()) {
        add(OIDC_CA_PATH, 0o644, ca.clone());
    }
    if !admission.configuration.is_empty() {
        let plugins: Vec<_> = admission
            .configuration
            .iter()
            .map(|(name, configuration)| json!({ "name": name, "configuration": configuration }))
            .collect();
        let api_version = "apiserver.config.k8s.io/v1";
        add(
            ADMISSION_CONFIGURATION_PATH,
            0o600,
            document(&AdmissionConfiguration { api_version, kind: "AdmissionConfiguration", plugins }),
        );
        for (name, content) in &admission.files {
            add(&format!("{ADMISSION_DIRECTORY}/{name}"), 0o600, content.clone());
        }
    }
    for (index, patch) in patches(spec, name).enumerate() {
        let KubeadmPatch { target, kind, patch } = patch;
        // kubeadm applies the patches of a target in the order of these names.
        let path = format!("{PATCHES_DIRECTORY}/{}{index:02}+{}.yaml", target.as_str(), kind.as_str());
        add(&path, 0o600, document(patch));
    }
    files
}

/// The patches of a control plane: those for all, and its own.
pub fn patches<'a>(spec: &'a ClusterSpec, name: &'a str) -> impl Iterator<Item = &'a KubeadmPatch> {
    let own = spec.hosts.iter().filter(move |host| host.name.as_str() == name);
    spec.kubeadm_patches.iter().chain(own.flat_map(|host| &host.kubeadm_patches))
}

/// `AdmissionConfiguration` of the API server.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionConfiguration {
    api_version: &'static str,
    kind: &'static str,
    plugins: Vec<serde_json::Value>,
}
