//! `KubeletConfiguration`: what all kubelets of the cluster have alike. What depends on the host is in [`host_settings`](super::host_settings).
//! Source: staging/src/k8s.io/kubelet/config/v1beta1 of Kubernetes.

use serde::Serialize;

use super::{CIPHER_SUITES, LOWEST_TLS};
use crate::inputs::Inputs;

/// Settings of every kubelet of the cluster.
///
/// Where kubeadm's own default is the wanted value (anonymous requests off, webhook authorisation, certificate rotation,
/// the address of the cluster's DNS), it is still written where an auditor would look for it, and left out elsewhere.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeletConfiguration {
    api_version: &'static str,
    kind: &'static str,
    authentication: Authentication,
    authorization: Authorization,
    cgroup_driver: &'static str,
    #[serde(rename = "eventRecordQPS")]
    event_record_qps: u32,
    #[serde(rename = "imageGCHighThresholdPercent")]
    image_gc_high_threshold_percent: u8,
    max_pods: u16,
    read_only_port: u16,
    rotate_certificates: bool,
    tls_cipher_suites: [&'static str; 4],
    tls_min_version: &'static str,
}

#[derive(Serialize)]
struct Authentication {
    anonymous: Enabled,
    webhook: Enabled,
}

#[derive(Serialize)]
struct Enabled {
    enabled: bool,
}

#[derive(Serialize)]
struct Authorization {
    mode: &'static str,
}

impl KubeletConfiguration {
    pub fn new(inputs: &Inputs<'_>) -> Self {
        Self {
            api_version: "kubelet.config.k8s.io/v1beta1",
            kind: "KubeletConfiguration",
            authentication: Authentication {
                anonymous: Enabled { enabled: false },
                webhook: Enabled { enabled: true },
            },
            authorization: Authorization { mode: "Webhook" },
            // Alike on all: containerd is told the same (`steps::containerd`), and no host without systemd is taken.
            cgroup_driver: "systemd",
            event_record_qps: 5,
            // Off: the site cannot pull again what is collected. See `steps::image_keeper` for what this does not stop.
            image_gc_high_threshold_percent: 100,
            max_pods: inputs.spec.kubelet.max_pods,
            read_only_port: 0,
            rotate_certificates: true,
            tls_cipher_suites: CIPHER_SUITES,
            tls_min_version: LOWEST_TLS,
        }
    }
}
