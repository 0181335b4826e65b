//! Which hosts a cluster has, as one of them sees it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kbundle_format::Role;

use crate::config::{ClusterSpec, HostSpec};
use crate::facts::HostFacts;

/// A host as the others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name as a node and as a member of etcd.
    pub name: String,
    /// Where it is reached.
    pub address: IpAddr,
    /// What it does.
    pub roles: BTreeSet<Role>,
}

impl Member {
    /// Whether it does this.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether it is a node of the cluster; a host that has etcd alone is none.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.has(Role::ControlPlane) || self.has(Role::Worker)
    }
}

impl From<&HostSpec> for Member {
    fn from(host: &HostSpec) -> Self {
        Self { name: host.name.to_string(), address: host.address, roles: host.roles.clone() }
    }
}

/// The hosts that a host has to know, and which of them it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    members: Vec<Member>,
    this: usize,
}

/// Why a host has no place in a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// A single host without an address.
    #[error("no address for the API server: the host has no default route and not exactly one address")]
    NoAddress,
    /// No host has this name.
    #[error("cluster.yaml has no host {name}")]
    NoHost {
        /// The name.
        name: String,
    },
}

impl Topology {
    /// The cluster that is one host, which does everything.
    pub fn single(spec: &ClusterSpec, facts: &HostFacts) -> Result<Self, TopologyError> {
        let address = spec.api.address.or_else(|| facts.primary_address()).ok_or(TopologyError::NoAddress)?;
        let this = Member { name: facts.hostname.to_ascii_lowercase(), address, roles: Role::ALL.into() };
        Ok(Self { members: vec![this], this: 0 })
    }

    /// The cluster of `spec`'s hosts, seen from the host called `name`.
    pub fn of(spec: &ClusterSpec, name: &str) -> Result<Self, TopologyError> {
        let members: Vec<_> = spec.hosts.iter().map(Member::from).collect();
        let this = members.iter().position(|member| member.name == name);
        let this = this.ok_or_else(|| TopologyError::NoHost { name: name.to_owned() })?;
        Ok(Self { members, this })
    }

    /// The cluster of `spec` seen from the host that it calls `name`, or from the single host that has no name there.
    pub fn seen_from(name: Option<&str>, spec: &ClusterSpec, facts: &HostFacts) -> Result<Self, TopologyError> {
        match name {
            Some(name) => Self::of(spec, name),
            None => Self::single(spec, facts),
        }
    }

    /// The host that is looked from.
    #[must_use]
    pub fn this(&self) -> &Member {
        &self.members[self.this]
    }

    /// Every host, in the order of cluster.yaml.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The hosts that do this, in the order of cluster.yaml.
    pub fn with(&self, role: Role) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.has(role))
    }

    /// The first control plane, which acts for the whole cluster.
    #[must_use]
    pub fn leader(&self) -> Option<&Member> {
        self.with(Role::ControlPlane).next()
    }

    /// The control planes, this host first where it is one: the order in which this host turns to them.
    #[must_use]
    pub fn nearest_control_planes(&self) -> Vec<&Member> {
        let mut found: Vec<_> = self.with(Role::ControlPlane).collect();
        found.sort_by_key(|member| *member != self.this());
        found
    }

    /// Whether the cluster is this host alone.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.members.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_turns_to_itself_first() {
        let spec = ClusterSpec::parse(
            "hosts:\n\
             - {name: a, address: 192.0.2.1, roles: [control-plane, etcd]}\n\
             - {name: b, address: 192.0.2.2, roles: [control-plane]}\n\
             - {name: c, address: 192.0.2.3, roles: [worker]}\n",
        )
        .unwrap();
        let order = |name: &str| {
            let topology = Topology::of(&spec, name).unwrap();
            topology.nearest_control_planes().iter().map(|member| member.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(order("b"), ["b", "a"]);
        assert_eq!(order("c"), ["a", "b"]);
        assert_eq!(Topology::of(&spec, "d").unwrap_err().to_string(), "cluster.yaml has no host d");
    }
}
