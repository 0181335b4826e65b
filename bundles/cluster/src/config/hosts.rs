//! The hosts of a cluster, and how each is reached over SSH.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use kbundle_format::{Platform, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DnsName, HostKubelet, KubeadmPatch};

/// A host of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HostSpec {
    /// Its name as a node and as a member of etcd. The host's own name may differ.
    pub name: DnsName,
    /// Where the other hosts reach it: the address of its kubelet, API server and etcd member.
    pub address: IpAddr,
    /// Its address of the other IP family, if pods and Services have addresses of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_address: Option<IpAddr>,
    /// The architecture of its processor, so that a bundle is checked for it before it is carried to the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Architecture>,
    /// What it does; one or more.
    pub roles: BTreeSet<Role>,
    /// How it is reached, where that differs from the cluster's `ssh`.
    #[serde(default, skip_serializing_if = "Ssh::is_default")]
    pub ssh: Ssh,
    /// Labels for its node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Taints for its node, such as `dedicated=database:NoSchedule`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<String>,
    /// Settings of its kubelet that differ from those of the cluster.
    #[serde(default, skip_serializing_if = "HostKubelet::is_default")]
    pub kubelet: HostKubelet,
    /// Changes to what kubeadm writes on this host, after those for all hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kubeadm_patches: Vec<KubeadmPatch>,
}

/// The architecture of a host, in the words of Go and of container images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

impl Architecture {
    /// The name in platforms.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The platform of a host with this architecture.
    #[must_use]
    pub fn platform(self) -> Platform {
        format!("linux/{}", self.as_str()).parse().expect("a platform")
    }
}

/// How hosts are reached. OpenSSH's own configuration, agent and known hosts decide what is not given here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ssh {
    /// Address or name to connect to. Default: the host's `address`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// TCP port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The user to log in as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Hosts to go through, as `ssh -J` takes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jump: Option<String>,
    /// A private key for the `jump` hosts, if OpenSSH's agent and configuration have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jump_key: Option<PathBuf>,
    /// A file of known hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
    /// How the user becomes root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sudo: Option<Sudo>,
    /// Whether it is reached by SSH at all; `local` is this very host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
}

/// How a user becomes root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sudo {
    /// The user is root.
    Never,
    /// `sudo` asks for nothing.
    Passwordless,
    /// `sudo` asks for a password, which kinstall asks for once.
    Password,
}

/// What lies between kinstall and a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Connection {
    /// OpenSSH.
    Ssh,
    /// Nothing: it is the host that kinstall runs on.
    Local,
}

impl HostSpec {
    /// A host with defaults for everything else.
    #[must_use]
    pub fn new(name: DnsName, address: IpAddr, roles: BTreeSet<Role>) -> Self {
        Self {
            name,
            address,
            second_address: None,
            arch: None,
            roles,
            ssh: Ssh::default(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            kubelet: HostKubelet::default(),
            kubeadm_patches: Vec::new(),
        }
    }

    /// Its addresses, the main one first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        [Some(self.address), self.second_address].into_iter().flatten()
    }

    /// Whether it is a node of the cluster; a host that has etcd alone is none.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.roles.contains(&Role::ControlPlane) || self.roles.contains(&Role::Worker)
    }
}

impl Ssh {
    /// Whether no setting is given.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// These settings; those that are missing are taken from `defaults`.
    #[must_use]
    pub fn or(&self, defaults: &Self) -> Self {
        Self {
            address: self.address.clone().or_else(|| defaults.address.clone()),
            port: self.port.or(defaults.port),
            user: self.user.clone().or_else(|| defaults.user.clone()),
            key: self.key.clone().or_else(|| defaults.key.clone()),
            jump: self.jump.clone().or_else(|| defaults.jump.clone()),
            // The key belongs to its jump.
            jump_key: if self.jump.is_some() {
                self.jump_key.clone()
            } else {
                self.jump_key.clone().or_else(|| defaults.jump_key.clone())
            },
            known_hosts: self.known_hosts.clone().or_else(|| defaults.known_hosts.clone()),
            sudo: self.sudo.or(defaults.sudo),
            connection: self.connection.or(defaults.connection),
        }
    }
}
