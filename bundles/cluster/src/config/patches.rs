//! `kubeadm-patches` of `cluster.yaml`: the last resort for settings that nothing else can express.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A change to what kubeadm writes, which kubeadm makes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KubeadmPatch {
    /// What is changed.
    pub target: PatchTarget,
    /// The format of `patch`.
    #[serde(rename = "type", default)]
    pub kind: PatchKind,
    /// The change: an excerpt of the manifest, or a list of operations for `json`.
    pub patch: Value,
}

/// A manifest that kubeadm writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PatchTarget {
    /// The static pod of the API server.
    KubeApiserver,
    /// The static pod of the controller manager.
    KubeControllerManager,
    /// The static pod of the scheduler.
    KubeScheduler,
}

impl PatchTarget {
    /// The name in cluster.yaml and in the names of kubeadm's files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
        }
    }
}

/// A way of writing changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PatchKind {
    /// A strategic merge patch of Kubernetes, which merges lists by the names of their entries.
    #[default]
    Strategic,
    /// A JSON merge patch (RFC 7386).
    Merge,
    /// A JSON patch (RFC 6902).
    Json,
}

impl PatchKind {
    /// The name in cluster.yaml and in the names of kubeadm's files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strategic => "strategic",
            Self::Merge => "merge",
            Self::Json => "json",
        }
    }
}
