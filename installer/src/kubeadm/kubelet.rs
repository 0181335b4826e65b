//! `KubeletConfiguration`. Source: staging/src/k8s.io/kubelet/config/v1beta1 of Kubernetes.

use serde::Serialize;

use super::{CIPHER_SUITES, LOWEST_TLS};
use crate::facts::CgroupVersion;
use crate::kernel_settings::kubelet_defaults_hold;
use crate::steps::Inputs;
use crate::version_rules::kubernetes::FAIL_CGROUP_V1;

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
    #[serde(skip_serializing_if = "Option::is_none")]
    fail_cgroup_v1: Option<bool>,
    #[serde(rename = "imageGCHighThresholdPercent")]
    image_gc_high_threshold_percent: u8,
    max_pods: u16,
    protect_kernel_defaults: bool,
    read_only_port: u16,
    resolv_conf: String,
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
        let Inputs { spec, facts, list, .. } = *inputs;
        let on_cgroup_v1 = facts.cgroups.version == CgroupVersion::V1;
        let fail_cgroup_v1 = (on_cgroup_v1 && FAIL_CGROUP_V1.holds(list.kubernetes_version)).then_some(false);
        Self {
            api_version: "kubelet.config.k8s.io/v1beta1",
            kind: "KubeletConfiguration",
            authentication: Authentication {
                anonymous: Enabled { enabled: false },
                webhook: Enabled { enabled: true },
            },
            authorization: Authorization { mode: "Webhook" },
            cgroup_driver: "systemd",
            event_record_qps: 5,
            fail_cgroup_v1,
            // Off: the site cannot pull again what is collected. See `steps::image_keeper` for what this does not stop.
            image_gc_high_threshold_percent: 100,
            max_pods: spec.kubelet.max_pods,
            protect_kernel_defaults: kubelet_defaults_hold(&facts.kernel.sysctls),
            read_only_port: 0,
            resolv_conf: facts.resolver.file.clone(),
            rotate_certificates: true,
            tls_cipher_suites: CIPHER_SUITES,
            tls_min_version: LOWEST_TLS,
        }
    }
}
