//! kubeadm: its configuration, and [`run`], which calls it.
//!
//! The configuration is one YAML file of several documents: `InitConfiguration` and `ClusterConfiguration` in the form of kubeadm's
//! version, `KubeletConfiguration`, and `KubeProxyConfiguration` unless the site does not use kube-proxy. It is decided from [`Inputs`]
//! alone. Only [`run`] and `half_written` read or change the host.

mod arguments;
mod cluster;
mod components;
mod credential;
mod files;
mod half_written;
pub mod host_settings;
pub mod images;
mod join;
mod kubelet;
mod overlay;
mod proxy;
mod registration;
pub mod run;
pub mod written;

use kbundle_format::KubeVersion;
use serde::Serialize;

use crate::config::KubeProxyMode;
use crate::inputs::Inputs;
use crate::version_rules::kubernetes::KUBEADM_V1BETA4;
use images::{ClusterImages, MissingImage};

pub use cluster::etcd_endpoints;
pub use components::{flags_of, own_volumes};
pub use credential::{Part, credential};
pub use files::{ControlPlaneFile, control_plane_files, own_audit_policy, patches};
pub use half_written::kubelet_is_told;
pub use host_settings::PATCHES_DIRECTORY;
pub use join::join_configuration;
pub use kubelet::{kubelets_are_signed, own_kubelet_configuration};
pub use registration::kubelet_may_set;

/// Holds the files of kubeadm and the API server.
pub const DIRECTORY: &str = "/etc/kubernetes";
/// Its certificates and keys.
pub const PKI: &str = "/etc/kubernetes/pki";
/// The certificate of the cluster's authority.
pub const AUTHORITY_PATH: &str = "/etc/kubernetes/pki/ca.crt";
/// The configuration.
pub const CONFIG_PATH: &str = "/etc/kubernetes/kubeadm.yaml";
/// The configuration of `kubeadm join`. It holds a secret, and exists only while kubeadm reads it.
pub const JOIN_PATH: &str = "/etc/kubernetes/join.yaml";
/// The address at which the kubelet and crictl reach containerd.
pub const CRI_SOCKET: &str = "unix:///run/containerd/containerd.sock";
/// Holds the manifests of static pods for the kubelet.
pub const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// The static pods of a control plane whose etcd is a service.
pub const STATIC_PODS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
/// The kubelet's unit.
pub const KUBELET_UNIT: &str = "kubelet.service";
/// The keys that Secrets are encrypted with in etcd. Only the API server and root may read it.
pub const ENCRYPTION_PATH: &str = "/etc/kubernetes/encryption.yaml";
/// The audit policy of the API server.
pub const AUDIT_POLICY_PATH: &str = "/etc/kubernetes/audit-policy.yaml";
/// Where the audit log lies.
pub const AUDIT_LOG_DIRECTORY: &str = "/var/log/kubernetes/audit";

/// The cipher suites that all servers offer for TLS 1.2; TLS 1.3 has its own list. Every Go since 1.12 knows them.
pub const CIPHER_SUITES: [&str; 4] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
];
/// The lowest version of TLS, as the flags of Kubernetes name it.
pub const LOWEST_TLS: &str = "VersionTLS12";

/// A version of kubeadm's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigApi {
    /// Before [`KUBEADM_V1BETA4`] holds.
    V1Beta3,
    /// From then on.
    V1Beta4,
}

impl ConfigApi {
    /// The newest version that kubeadm `version` reads without a warning.
    #[must_use]
    pub fn of(version: KubeVersion) -> Self {
        if KUBEADM_V1BETA4.holds(version) { Self::V1Beta4 } else { Self::V1Beta3 }
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::V1Beta3 => "kubeadm.k8s.io/v1beta3",
            Self::V1Beta4 => "kubeadm.k8s.io/v1beta4",
        }
    }
}

/// The whole configuration as YAML.
pub fn configuration(inputs: &Inputs<'_>) -> Result<String, ConfigurationError> {
    let images = ClusterImages::find(inputs.list, &inputs.facts.platform)?;
    let mut documents = vec![
        document(&cluster::InitConfiguration::new(inputs)),
        document(&cluster::ClusterConfiguration::new(inputs, &images)),
        document(&kubelet::of_cluster(inputs)),
    ];
    documents.extend(proxy::of_cluster(inputs).as_ref().map(document));
    Ok(documents.join("---\n"))
}

/// The path of a static pod's manifest.
#[must_use]
pub fn manifest_path(pod: &str) -> String {
    format!("{MANIFESTS}/{pod}.yaml")
}

/// Whether the cluster gets kube-proxy. A site may use something else in its place.
#[must_use]
pub fn has_kube_proxy(inputs: &Inputs<'_>) -> bool {
    inputs.spec.network.kube_proxy.mode != KubeProxyMode::None
}

/// Whether the cluster gets `CoreDNS`: whether the bundle has its image.
pub fn has_coredns(inputs: &Inputs<'_>) -> Result<bool, MissingImage> {
    Ok(ClusterImages::find(inputs.list, &inputs.facts.platform)?.coredns.is_some())
}

/// Why no configuration can be written. Planning refuses for the same reasons.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// The bundle lacks an image.
    #[error(transparent)]
    Image(#[from] MissingImage),
}

fn document(value: &impl Serialize) -> String {
    serde_yaml::to_string(value).expect("the types here have string keys and no failing serializer")
}

#[cfg(test)]
mod tests;
