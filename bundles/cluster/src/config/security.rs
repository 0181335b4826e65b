//! Hardening that cluster.yaml switches.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Switch;

/// Hardening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Security {
    /// Secrets are encrypted before etcd stores them.
    pub encryption_at_rest: Switch,
    /// The API server writes an audit log.
    pub audit_log: Switch,
    /// What pods may do in namespaces without a level of their own, by the Pod Security Standards. Namespaces of the system are exempt.
    pub pod_security: PodSecurity,
}

/// A level of the Pod Security Standards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PodSecurity {
    /// Everything, as Kubernetes has it by default.
    #[default]
    Privileged,
    /// Nothing that is known to lead to root on the host.
    Baseline,
    /// No more than a hardened application needs.
    Restricted,
}

impl Default for Security {
    fn default() -> Self {
        Self { encryption_at_rest: Switch::Enabled, audit_log: Switch::Enabled, pod_security: PodSecurity::default() }
    }
}
