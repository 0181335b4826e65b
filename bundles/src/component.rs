//! Upstream components: what kbundle packs by name and version, and what kinstall looks for in a bundle by the same name.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An upstream component and its version, such as `kubelet` `1.25.2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Component {
    /// The catalog's name of it.
    pub name: String,
    /// Without a leading `v`.
    pub version: String,
}

impl Component {
    /// Whether it is the component that the programs know by `name`.
    #[must_use]
    pub fn is(&self, name: ComponentName) -> bool {
        self.name == name.as_str()
    }
}

/// The components that the programs themselves know by name. A catalog may have others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentName {
    /// The container runtime.
    Containerd,
    /// The program with which containerd starts containers.
    Runc,
    /// The standard CNI plugins.
    CniPlugins,
    /// The command line of the container runtime interface.
    Crictl,
    /// The store of the cluster's state.
    Etcd,
    /// Runs the pods of a node.
    Kubelet,
    /// Sets up control planes and nodes.
    Kubeadm,
    /// The command line of Kubernetes.
    Kubectl,
    /// Installs charts.
    Helm,
    /// Spreads the requests of a node over the API servers.
    Haproxy,
    /// A pod network.
    Flannel,
    /// A pod network.
    Calico,
}

impl ComponentName {
    /// The components that hosts run as binaries, in the order of need.
    pub const OF_HOSTS: [Self; 8] = [
        Self::Containerd,
        Self::Runc,
        Self::CniPlugins,
        Self::Crictl,
        Self::Etcd,
        Self::Kubelet,
        Self::Kubeadm,
        Self::Kubectl,
    ];

    /// The name in catalogs and bundles.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Runc => "runc",
            Self::CniPlugins => "cni-plugins",
            Self::Crictl => "crictl",
            Self::Etcd => "etcd",
            Self::Kubelet => "kubelet",
            Self::Kubeadm => "kubeadm",
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
            Self::Haproxy => "haproxy",
            Self::Flannel => "flannel",
            Self::Calico => "calico",
        }
    }
}

impl fmt::Display for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
