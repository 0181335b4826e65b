//! The hosts of a cluster, as one of them sees it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kbundle_format::Role;

use crate::config::{ClusterSpec, HostSpec, IpFamily};
use crate::facts::HostFacts;

/// A host as the others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name as a node and as a member of etcd.
    pub name: String,
    /// The address at which it is reached.
    pub address: IpAddr,
    /// Its address of the other IP family, if the cluster has both.
    pub second_address: Option<IpAddr>,
    /// Its roles.
    pub roles: BTreeSet<Role>,
}

impl Member {
    /// Its addresses, the main one first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        [Some(self.address), self.second_address].into_iter().flatten()
    }

    /// Whether it has this role.
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
        Self {
            name: host.name.to_string(),
            address: host.address,
            second_address: host.second_address,
            roles: host.roles.clone(),
        }
    }
}

/// The hosts that a host has to know, and which of them it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Sorted by address, whatever the order in cluster.yaml: everything that is made from them is the same on every host and in every run.
    members: Vec<Member>,
    this: usize,
    leader: Option<usize>,
}

/// Why a host has no place in a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// A single host without an address.
    #[error(
        "no {} address for this host: it has no default route of that family and not exactly one address",
        family.name()
    )]
    NoAddress {
        /// The family that is needed.
        family: IpFamily,
    },
    /// No host has this name.
    #[error("cluster.yaml has no host {name}")]
    NoHost {
        /// The name.
        name: String,
    },
}

impl Topology {
    /// The cluster that consists of one host, which has all roles.
    pub fn single(spec: &ClusterSpec, facts: &HostFacts) -> Result<Self, TopologyError> {
        let network = &spec.network;
        let found = spec.api.address.or_else(|| facts.primary_address(network.main_family()));
        let address = found.ok_or(TopologyError::NoAddress { family: network.main_family() })?;
        let other = network.pod_cidr.families().find(|family| *family != IpFamily::of(address));
        let second_address = match other {
            Some(family) => {
                let found = facts.address_beside(address, family);
                Some(found.ok_or(TopologyError::NoAddress { family })?)
            }
            None => None,
        };
        let mut roles: BTreeSet<_> = Role::ALL.into();
        if spec.etcd.external.is_some() {
            roles.remove(&Role::Etcd);
        }
        let this = Member { name: facts.hostname.to_ascii_lowercase(), address, second_address, roles };
        Ok(Self { members: vec![this], this: 0, leader: Some(0) })
    }

    /// The cluster of `spec`'s hosts, seen from the host called `name`.
    pub fn of(spec: &ClusterSpec, name: &str) -> Result<Self, TopologyError> {
        let mut members: Vec<_> = spec.hosts.iter().map(Member::from).collect();
        members.sort_by_key(|member| member.address);
        let place = |name: &str| members.iter().position(|member| member.name == name);
        let this = place(name).ok_or_else(|| TopologyError::NoHost { name: name.to_owned() })?;
        let leader = spec.hosts.iter().find(|host| host.roles.contains(&Role::ControlPlane));
        let leader = leader.and_then(|host| place(host.name.as_str()));
        Ok(Self { members, this, leader })
    }

    /// The cluster of `spec` seen from the host that it calls `name`, or from the single host that has no name there.
    pub fn seen_from(name: Option<&str>, spec: &ClusterSpec, facts: &HostFacts) -> Result<Self, TopologyError> {
        match name {
            Some(name) => Self::of(spec, name),
            None => Self::single(spec, facts),
        }
    }

    /// The host that the topology is seen from.
    #[must_use]
    pub fn this(&self) -> &Member {
        &self.members[self.this]
    }

    /// Every host, by address.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The hosts with this role, by address.
    pub fn with(&self, role: Role) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.has(role))
    }

    /// The first control plane in cluster.yaml, which acts for the whole cluster.
    #[must_use]
    pub fn leader(&self) -> Option<&Member> {
        self.leader.map(|place| &self.members[place])
    }

    /// The control planes in the order in which this host tries them: this host first if it is one.
    #[must_use]
    pub fn nearest_control_planes(&self) -> Vec<&Member> {
        let mut found: Vec<_> = self.with(Role::ControlPlane).collect();
        found.sort_by_key(|member| *member != self.this());
        found
    }

    /// Whether this host is the whole cluster.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.members.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_host_has_no_etcd_where_the_site_has_one() {
        let etcd = "etcd: {external: {endpoints: ['https://a:1'], ca-file: /a, certificate-file: /b, key-file: /c}}";
        let roles = |text: &str| {
            let topology = Topology::single(&ClusterSpec::parse(text).unwrap(), &crate::fixture::facts()).unwrap();
            topology.this().roles.clone()
        };
        assert_eq!(roles(""), Role::ALL.into());
        assert_eq!(roles(etcd), [Role::ControlPlane, Role::Worker].into());
    }

    #[test]
    fn the_order_in_the_file_decides_who_leads_and_nothing_else() {
        let read = |order: [u8; 3]| {
            let host =
                |number| format!("- {{name: c{number}, address: 192.0.2.{number}, roles: [control-plane, etcd]}}\n");
            let text = order.into_iter().map(host).collect::<String>();
            Topology::of(&ClusterSpec::parse(&format!("hosts:\n{text}")).unwrap(), "c2").unwrap()
        };
        let (one, other) = (read([1, 2, 3]), read([3, 1, 2]));
        assert_eq!(one.members(), other.members());
        assert_eq!((one.leader().unwrap().name.as_str(), other.leader().unwrap().name.as_str()), ("c1", "c3"));
    }

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
