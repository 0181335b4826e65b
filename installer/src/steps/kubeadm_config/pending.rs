//! The unfinished work of a change of settings on a control plane, recorded on the host from before its first change until its end.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::host::unfinished::UnfinishedWork;
use crate::static_pods::StaticPod;

/// The work that is left to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Pending {
    /// Whether the host's record has new settings, and the work that they require was not determined yet.
    pub begun: bool,
    /// Whether the API server's certificate lacks names of kubeadm's configuration, or has others.
    pub certificate: bool,
    /// The names that the certificate loses.
    pub names_gone: BTreeSet<String>,
    /// Static pods to make again, in this order.
    pub pods: BTreeSet<StaticPod>,
    /// The parts that the cluster keeps for hosts that join, and for upgrades.
    pub uploads: BTreeSet<Upload>,
    /// Whether kube-proxy has to read another configuration.
    pub kube_proxy: bool,
}

/// A part of kubeadm's configuration that the cluster keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upload {
    /// `ClusterConfiguration`, in the `ConfigMap` `kubeadm-config`.
    Kubeadm,
    /// `KubeletConfiguration`, in the `ConfigMap` `kubelet-config`.
    Kubelet,
}

impl Upload {
    /// kubeadm's name of it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kubeadm => "kubeadm",
            Self::Kubelet => "kubelet",
        }
    }
}

impl UnfinishedWork for Pending {
    const FILE: &str = "settings.json";
    const WORK: &str = "a change of settings";
}

impl Pending {
    /// The union of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.begun |= other.begun;
        self.certificate |= other.certificate;
        self.names_gone.extend(other.names_gone);
        self.pods.extend(other.pods);
        self.uploads.extend(other.uploads);
        self.kube_proxy |= other.kube_proxy;
        self
    }
}
