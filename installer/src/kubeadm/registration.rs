//! How a host becomes a node: `NodeRegistration` of kubeadm's configuration.
//!
//! A worker registers with its labels and taints. So no pod comes to it before it has them, and nobody has to set them for a host that
//! joins by hand. The API server decides which labels a kubelet may give itself (admission plugin `NodeRestriction`); the first control
//! plane or an administrator sets the others.

use kbundle_format::Role;
use serde::Serialize;

use super::arguments::Arguments;
use super::{CRI_SOCKET, ConfigApi};
use crate::config::{Flags, HostSpec};
use crate::inputs::Inputs;
use crate::topology::Member;

/// Kubernetes' own labels that a kubelet may set. Source: `staging/src/k8s.io/kubelet/pkg/apis/well_known_labels.go`.
const OWN_LABELS: [&str; 5] = [
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];
/// Kubernetes' own prefixes of labels that a kubelet may set. Source: as above.
const OWN_PREFIXES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeRegistration {
    name: String,
    cri_socket: &'static str,
    image_pull_policy: &'static str,
    kubelet_extra_args: Arguments,
}

impl NodeRegistration {
    pub(super) fn of(inputs: &Inputs<'_>) -> Self {
        let api = ConfigApi::of(inputs.list.kubernetes_version);
        Self {
            name: inputs.node_name(),
            cri_socket: CRI_SOCKET,
            // There is nowhere to pull from.
            image_pull_policy: "Never",
            kubelet_extra_args: Arguments::new(api, kubelet_arguments(inputs.topology.this(), worker(inputs))),
        }
    }
}

/// This host in cluster.yaml, if it is only a worker.
fn worker<'a>(inputs: &Inputs<'a>) -> Option<&'a HostSpec> {
    let name = inputs.node_name();
    inputs.spec.hosts.iter().find(|host| host.name.as_str() == name && !host.roles.contains(&Role::ControlPlane))
}

fn kubelet_arguments(this: &Member, worker: Option<&HostSpec>) -> Flags {
    let addresses: Vec<_> = this.addresses().map(|address| address.to_string()).collect();
    let mut arguments = Flags::from([("node-ip".to_owned(), addresses.join(",").into())]);
    let labels = worker.into_iter().flat_map(|host| &host.labels).filter(|(key, _)| kubelet_may_set(key));
    let labels: Vec<_> = labels.map(|(key, value)| format!("{key}={value}")).collect();
    let taints = worker.map(|host| host.taints.join(",")).unwrap_or_default();
    let given = [("node-labels", labels.join(",")), ("register-with-taints", taints)];
    arguments.extend(
        given.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.to_owned(), value.into())),
    );
    arguments
}

/// Whether a kubelet may give its own node a label with this key.
#[must_use]
pub fn kubelet_may_set(key: &str) -> bool {
    let Some((prefix, _)) = key.split_once('/') else { return true };
    let within = |domain: &str| prefix == domain || prefix.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    let of_kubernetes = within("kubernetes.io") || within("k8s.io");
    !of_kubernetes || OWN_LABELS.contains(&key) || OWN_PREFIXES.into_iter().any(within)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_worker_brings_its_labels_and_taints_and_a_control_plane_does_not() {
        let mut cluster = fixture::Cluster::of_three_and_two();
        for host in &mut cluster.spec.hosts {
            host.labels =
                [("disk", "ssd"), ("node-role.kubernetes.io/gpu", "")].map(|(k, v)| (k.into(), v.into())).into();
            host.taints = vec!["db=yes:NoSchedule".into(), "x:NoExecute".into()];
        }
        let written = |name: &str| {
            let topology = cluster.seen_from(name);
            serde_yaml::to_string(&NodeRegistration::of(&cluster.inputs(&topology))).unwrap()
        };
        insta::assert_snapshot!(written("w1"), @"
        name: w1
        criSocket: unix:///run/containerd/containerd.sock
        imagePullPolicy: Never
        kubeletExtraArgs:
          node-ip: 192.0.2.11
          node-labels: disk=ssd
          register-with-taints: db=yes:NoSchedule,x:NoExecute
        ");
        assert!(!written("c2").contains("taints") && !written("c2").contains("labels"));
    }

    #[test]
    fn a_node_of_both_families_says_both_addresses() {
        let cluster = fixture::Cluster::of_both_families();
        let topology = cluster.seen_from("w1");
        let written = serde_yaml::to_string(&NodeRegistration::of(&cluster.inputs(&topology))).unwrap();
        assert!(written.contains("node-ip: 192.0.2.11,2001:db8::11\n"), "{written}");
    }

    #[test]
    fn kubernetes_own_labels_are_not_a_kubelets_to_give() {
        for free in ["disk", "example.com/rack", "notkubernetes.io/x", "topology.kubernetes.io/zone"] {
            assert!(kubelet_may_set(free), "{free}");
        }
        assert!(kubelet_may_set("node.kubernetes.io/speed") && kubelet_may_set("a.node.kubernetes.io/speed"));
        for forbidden in
            ["node-role.kubernetes.io/gpu", "kubernetes.io/x", "x.k8s.io/y", "node-restriction.kubernetes.io/z"]
        {
            assert!(!kubelet_may_set(forbidden), "{forbidden}");
        }
    }
}
