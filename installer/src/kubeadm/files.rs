//! Files of every control plane whose content depends on cluster.yaml, except kubeadm's own configuration.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::host_settings::PATCHES_DIRECTORY;
use super::{AUDIT_POLICY_PATH, document};
use crate::config::{ApiServer, ClusterSpec, Fields, KubeadmPatch, PodSecurity, Switch};

/// Certificates of the authorities that sign the certificate of the OIDC provider.
pub const OIDC_CA_PATH: &str = "/etc/kubernetes/oidc-ca.crt";
/// The configuration of admission plugins, and the files that it names.
pub const ADMISSION_DIRECTORY: &str = "/etc/kubernetes/admission";
/// Names each plugin's configuration.
pub const ADMISSION_CONFIGURATION_PATH: &str = "/etc/kubernetes/admission/configuration.yaml";

/// Namespaces of pods that need the host: of kubeadm and Calico, and of add-ons in the built-in catalog.
const EXEMPT_NAMESPACES: [&str; 4] = ["kube-flannel", "kube-system", "local-path-storage", "metallb-system"];

const OWN_AUDIT_POLICY: &str = include_str!("../../../manifests/templates/audit-policy.yaml");

/// kinstall's own audit policy, for clusters without one of the site's.
#[must_use]
pub fn own_audit_policy() -> Fields {
    serde_yaml::from_str(OWN_AUDIT_POLICY).expect("it is this program's own")
}

/// A file of a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlaneFile {
    /// Its path on the host.
    pub path: String,
    /// Its content.
    pub content: String,
    /// Its mode. A file that reveals permissions is readable by root only.
    pub mode: u32,
}

/// The files of the control plane that is called `name` in cluster.yaml; in a cluster of one host it has no name there.
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
    let configured = admission_plugins(spec);
    if !configured.is_empty() {
        let plugins: Vec<_> = configured
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

/// Admission plugins with their configuration: the ones of cluster.yaml, and the one that `security.pod-security` selects.
pub(super) fn admission_plugins(spec: &ClusterSpec) -> BTreeMap<&str, Cow<'_, Fields>> {
    let of_site = spec.api_server.admission.configuration.iter();
    let mut plugins: BTreeMap<_, _> = of_site.map(|(name, fields)| (name.as_str(), Cow::Borrowed(fields))).collect();
    plugins.extend(pod_security(spec.security.pod_security).map(|fields| ("PodSecurity", Cow::Owned(fields))));
    plugins
}

/// `PodSecurityConfiguration`. Source: staging/src/k8s.io/pod-security-admission/admission/api/v1 of Kubernetes.
fn pod_security(level: PodSecurity) -> Option<Fields> {
    let level = match level {
        PodSecurity::Privileged => return None,
        PodSecurity::Baseline => "baseline",
        PodSecurity::Restricted => "restricted",
    };
    let modes = ["enforce", "audit", "warn"].into_iter();
    let defaults =
        modes.flat_map(|mode| [(mode.to_owned(), level.into()), (format!("{mode}-version"), "latest".into())]);
    let configuration = json!({
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": defaults.collect::<Fields>(),
        "exemptions": { "namespaces": EXEMPT_NAMESPACES },
    });
    configuration.as_object().cloned()
}

/// The patches of a control plane: first the common ones, then its own.
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
