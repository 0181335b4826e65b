//! What each host is told about the cluster, and which part of the bundle it gets.

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::indexed::Excerpt;
use kbundle_format::{IndexedBundle, ReadError, Role};

use crate::agent::needs;
use crate::config::{ClusterSpec, DnsName, HostSpec, Ssh};

/// The cluster in the form that its hosts get: the first control plane comes first.
pub struct Shares {
    leader: DnsName,
    /// All hosts, for the first control plane, which labels and taints nodes.
    all: ClusterSpec,
    /// Control planes and members of etcd, for every other host.
    serving: ClusterSpec,
}

impl Shares {
    /// Puts `leader` first among the hosts.
    #[must_use]
    pub fn led_by(spec: &ClusterSpec, leader: &HostSpec) -> Self {
        let bare = |host: &HostSpec| HostSpec { ssh: Ssh::default(), ..host.clone() };
        let mut all = ClusterSpec { ssh: Ssh::default(), ..spec.clone() };
        all.hosts = spec.hosts.iter().map(bare).collect();
        all.hosts.sort_by_key(|host| host.name != leader.name);
        // No host has this name, so that no worker is added.
        let serving = all.for_host("");
        Self { leader: leader.name.clone(), all, serving }
    }

    /// The cluster for `host`: all of it for the first control plane, [`ClusterSpec::for_host`] for every other host.
    #[must_use]
    pub fn of(&self, host: &HostSpec) -> ClusterSpec {
        if host.name == self.leader {
            return self.all.clone();
        }
        // The same as `for_host`, without a pass through all hosts for each of them.
        let mut spec = self.serving.clone();
        let own = HostSpec { ssh: Ssh::default(), ..host.clone() };
        match spec.hosts.iter_mut().find(|other| other.name == host.name) {
            Some(listed) => *listed = own,
            None => spec.hosts.push(own),
        }
        spec
    }
}

/// Parts of a bundle, by the roles that need them.
pub struct Parts<'a>(BTreeMap<BTreeSet<Role>, Excerpt<'a>>);

impl<'a> Parts<'a> {
    /// Divides the bundle for these hosts.
    pub fn of(bundle: &'a IndexedBundle, hosts: &[HostSpec]) -> Result<Self, ReadError> {
        let mut parts = BTreeMap::new();
        for host in hosts {
            if !parts.contains_key(&host.roles) {
                let wanted = |entry: &_| needs(host.roles.iter().copied(), entry);
                parts.insert(host.roles.clone(), Excerpt::of(bundle, wanted)?);
            }
        }
        Ok(Self(parts))
    }

    /// The part for `host`.
    #[must_use]
    pub fn for_host(&self, host: &HostSpec) -> &Excerpt<'a> {
        &self.0[&host.roles]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> ClusterSpec {
        ClusterSpec::parse(
            "ssh: {user: admin}\n\
             hosts:\n\
             - {name: c1, address: 192.0.2.1, roles: [control-plane, etcd], labels: {a: b}}\n\
             - {name: c2, address: 192.0.2.2, roles: [control-plane, etcd], ssh: {port: 2222}}\n\
             - {name: c3, address: 192.0.2.3, roles: [control-plane, etcd]}\n\
             - {name: w1, address: 192.0.2.4, roles: [worker], labels: {c: d}}\n\
             - {name: w2, address: 192.0.2.5, roles: [worker]}\n",
        )
        .unwrap()
    }

    #[test]
    fn every_host_gets_the_hosts_that_it_needs_with_the_leader_first() {
        let spec = cluster();
        let shares = Shares::led_by(&spec, &spec.hosts[1]);
        let names = |spec: &ClusterSpec| spec.hosts.iter().map(|host| host.name.to_string()).collect::<Vec<_>>();
        for host in &spec.hosts {
            let told = shares.of(host);
            if host.name.as_str() == "c2" {
                assert_eq!(names(&told), ["c2", "c1", "c3", "w1", "w2"]);
            } else {
                assert_eq!(told, shares.all.for_host(host.name.as_str()), "{}", host.name);
            }
            assert!(told.hosts.iter().all(|host| host.ssh == Ssh::default()) && told.ssh == Ssh::default());
            assert_eq!(told.same_cluster_as(&spec), Ok(()));
        }
    }
}
