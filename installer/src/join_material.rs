//! What a host needs from the rest of the cluster: keys that hosts share, credentials to join with, addresses that the cluster
//! assigned.
//!
//! Most of it is secret. SSH carries it between standard input and output of programs, never on a command line, and its `Debug` form shows
//! no secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::addon_data::AddonData;
use crate::config::{Cidr, Cidrs, IpFamily};

/// What the leader or a join file gives to a host. A field is empty if the phase does not need it, or if the host makes it itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct JoinMaterial {
    /// etcd's authority, for hosts with a member: they sign their own certificates with it.
    pub etcd_authority: Option<Pair>,
    /// The API server's certificate as a client of etcd and the authority's, for control planes without a member.
    pub etcd_client: Option<EtcdClient>,
    /// The members of a running etcd cluster that this host joins, including the host's own: name and peer URL.
    pub etcd_members: Option<BTreeMap<String, String>>,
    /// Files that all control planes share, for one that joins.
    pub shared_files: Vec<SharedFile>,
    /// The credentials with which a host joins the cluster.
    pub join: Option<JoinCredentials>,
    /// Hosts that failed or left. The host that waits for all nodes does not wait for them.
    pub absent: BTreeSet<String>,
    /// What happens to the data of add-ons that leave the cluster; for the host that leads.
    pub addon_data: AddonData,
    /// The pod network of each node, by node name.
    pub pod_networks: BTreeMap<String, PodNetwork>,
}

/// The pods of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PodNetwork {
    /// The addresses that the cluster has given them: a network of each of its families.
    pub pods: Cidrs,
    /// The node's own address, through which the pods are reached.
    pub node: IpAddr,
    /// The node's address of the other family, if the cluster has both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_node: Option<IpAddr>,
}

impl PodNetwork {
    /// Each network with the address of the same family that it is reached through.
    pub fn routes(&self) -> impl Iterator<Item = (Cidr, IpAddr)> + use<> {
        let addresses = [Some(self.node), self.second_node];
        self.pods.iter().filter_map(move |pods| {
            let via = addresses.into_iter().flatten().find(|address| IpFamily::of(*address) == pods.family())?;
            Some((pods, via))
        })
    }
}

/// A certificate and its key, both PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// What a control plane needs to speak to etcd members on other hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EtcdClient {
    /// Certificate of etcd's authority, PEM.
    pub authority: String,
    /// The API server's certificate and key.
    pub pair: Pair,
}

/// A file that is the same on every control plane.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SharedFile {
    /// Its path on the host.
    pub path: String,
    /// Its mode, such as 0o600.
    pub mode: u32,
    /// Its content.
    pub content: String,
}

/// Credentials with which a host joins a cluster.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct JoinCredentials {
    /// Address and port of a running API server.
    pub api_server: String,
    /// A bootstrap token.
    pub token: String,
    /// `sha256:` and the digest of the cluster authority's public key, as kubeadm writes it.
    pub authority_hash: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair { .. }")
    }
}

impl fmt::Debug for SharedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl fmt::Debug for JoinCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinCredentials").field("api_server", &self.api_server).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let pair = Pair { certificate: "visible".into(), key: "secret".into() };
        let material = JoinMaterial {
            etcd_authority: Some(pair.clone()),
            etcd_client: Some(EtcdClient { authority: String::new(), pair }),
            shared_files: vec![SharedFile {
                path: "/etc/kubernetes/pki/ca.key".into(),
                mode: 0o600,
                content: "secret".into(),
            }],
            join: Some(JoinCredentials {
                token: "secret".into(),
                api_server: String::new(),
                authority_hash: String::new(),
            }),
            ..JoinMaterial::default()
        };
        let shown = format!("{material:?}");
        assert!(!shown.contains("secret") && shown.contains("/etc/kubernetes/pki/ca.key"), "{shown}");
        assert_eq!(serde_json::from_str::<JoinMaterial>(&serde_json::to_string(&material).unwrap()).unwrap(), material);
    }
}
