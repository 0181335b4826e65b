//! `KubeletConfiguration`: the settings that all kubelets of the cluster share. What depends on the host is in
//! [`host_settings`](super::host_settings). Source: staging/src/k8s.io/kubelet/config/v1beta1 of Kubernetes.

use serde::Serialize;
use serde_json::Value;
use serde_yaml::Mapping;

use super::{CIPHER_SUITES, LOWEST_TLS, overlay};
use crate::config::{ClusterSpec, Fields, Kubelet};
use crate::inputs::Inputs;

/// Settings of every kubelet of the cluster.
///
/// Some of kubeadm's own defaults are wanted (anonymous requests off, webhook authorisation, certificate rotation, the address of the
/// cluster's DNS). They are still written if an auditor would look for them, and left out otherwise.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KubeletConfiguration {
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

/// The configuration, overridden by the fields of cluster.yaml.
pub(super) fn of_cluster(inputs: &Inputs<'_>) -> Mapping {
    let mut configuration = overlay::mapping(&KubeletConfiguration::new(inputs.spec.kubelet.max_pods));
    overlay::merge(&mut configuration, overlay::mapping(&inputs.spec.kubelet.config));
    configuration
}

/// Whether all kubelets request their serving certificates from the cluster, so that the API server can verify them.
#[must_use]
pub fn kubelets_are_signed(spec: &ClusterSpec) -> bool {
    let asks = |config: &Fields| config.get("serverTLSBootstrap").and_then(Value::as_bool);
    asks(&spec.kubelet.config) == Some(true) && spec.hosts.iter().all(|host| asks(&host.kubelet.config) != Some(false))
}

/// The settings that kinstall itself writes into the configuration.
#[must_use]
pub fn own_kubelet_configuration() -> Fields {
    let configuration = KubeletConfiguration::new(Kubelet::default().max_pods);
    match serde_json::to_value(configuration) {
        Ok(Value::Object(fields)) => fields,
        _ => unreachable!("a structure with names is an object"),
    }
}

impl KubeletConfiguration {
    fn new(max_pods: u16) -> Self {
        Self {
            api_version: "kubelet.config.k8s.io/v1beta1",
            kind: "KubeletConfiguration",
            authentication: Authentication {
                anonymous: Enabled { enabled: false },
                webhook: Enabled { enabled: true },
            },
            authorization: Authorization { mode: "Webhook" },
            // The same on all hosts: containerd gets the same setting (`steps::containerd`), and kinstall takes no host without systemd.
            cgroup_driver: "systemd",
            event_record_qps: 5,
            // Off: the site cannot pull an image again after it was collected. See `steps::image_keeper` for what this does not prevent.
            image_gc_high_threshold_percent: 100,
            max_pods,
            read_only_port: 0,
            rotate_certificates: true,
            tls_cipher_suites: CIPHER_SUITES,
            tls_min_version: LOWEST_TLS,
        }
    }
}
