//! `etcd` of `cluster.yaml`: an etcd that the site already has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the cluster's data is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct EtcdSpec {
    /// The site's own etcd. No host has the role etcd then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEtcd>,
}

impl EtcdSpec {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// An etcd of the site's own. Its files lie on every control plane; kinstall neither makes, copies nor removes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExternalEtcd {
    /// Its members: URLs that begin with `https://`.
    pub endpoints: Vec<String>,
    /// The certificates of its authority, PEM: a path on every control plane.
    pub ca_file: String,
    /// The certificate that the API servers show it, PEM: a path on every control plane.
    pub certificate_file: String,
    /// The key to that certificate, PEM: a path on every control plane.
    pub key_file: String,
}

impl ExternalEtcd {
    /// The paths that have to be on every control plane, each with its key in cluster.yaml.
    #[must_use]
    pub fn files(&self) -> [(&'static str, &str); 3] {
        [("ca-file", &self.ca_file), ("certificate-file", &self.certificate_file), ("key-file", &self.key_file)]
    }
}
