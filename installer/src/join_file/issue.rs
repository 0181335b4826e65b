//! What a control plane writes into a join file.

use kbundle_format::Role;

use crate::config::{ClusterSpec, ConfigError, HostSpec};
use crate::kubeadm::kubelet_may_set;
use crate::topology::{Member, Topology};

/// Why a host cannot be described for a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The cluster is a single host, whose name cannot be a node's name in a cluster of several.
    #[error("the name of this host, {name}, cannot be used in a cluster of several hosts")]
    Name {
        /// The name.
        name: String,
    },
    /// A host has the name already.
    #[error("the cluster has a host {name} already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// A host has the address already.
    #[error("{address} is the address of {holder}")]
    AddressTaken {
        /// The address.
        address: std::net::IpAddr,
        /// The host that has it.
        holder: String,
    },
    /// With this host the cluster would not be valid.
    #[error("this host cannot join the cluster")]
    Cluster(#[from] ConfigError),
}

/// The cluster as `newcomer` has to know it. `standing` is the cluster as one of its control planes knows it; `topology` is seen from that
/// control plane.
pub fn cluster_for(
    standing: &ClusterSpec,
    topology: &Topology,
    newcomer: &HostSpec,
) -> Result<ClusterSpec, IssueError> {
    for address in newcomer.addresses() {
        if let Some(holder) = topology.members().iter().find(|member| member.addresses().any(|taken| taken == address))
        {
            return Err(IssueError::AddressTaken { address, holder: holder.name.clone() });
        }
    }
    if topology.members().iter().any(|member| member.name == newcomer.name.as_str()) {
        return Err(IssueError::NameTaken { name: newcomer.name.to_string() });
    }
    let mut cluster = standing.clone();
    if cluster.hosts.is_empty() {
        // The single host becomes the first control plane. It now advertises its own address: with several hosts, `api.address` would be a
        // load balancer's.
        cluster.hosts = topology.members().iter().map(first_host).collect::<Result<_, _>>()?;
        cluster.api.address = None;
    }
    cluster.hosts.push(newcomer.clone());
    cluster.validate()?;
    Ok(cluster.for_host(newcomer.name.as_str()))
}

fn first_host(member: &Member) -> Result<HostSpec, IssueError> {
    let name = member.name.parse().map_err(|_| IssueError::Name { name: member.name.clone() })?;
    let (address, roles) = (member.address, member.roles.clone());
    Ok(HostSpec { second_address: member.second_address, ..HostSpec::new(name, address, roles) })
}

/// The first label of a worker that its own kubelet may not set.
#[must_use]
pub fn foreign_label(newcomer: &HostSpec) -> Option<&str> {
    debug_assert!(!newcomer.roles.contains(&Role::ControlPlane), "whose labels are not its kubelet's to give");
    newcomer.labels.keys().map(String::as_str).find(|key| !kubelet_may_set(key))
}
