//! The data from which plans, steps and configurations are decided, and the one type that gathers them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use kbundle_cluster::needs::HostProfile;
use kbundle_format::{BundleList, ComponentName, EntryKind, Role};

use crate::config::{ClusterSpec, Cni};
use crate::facts::HostFacts;
use crate::host::{Host, HostError};
use crate::topology::{Member, Topology, TopologyError};

/// The data from which plans, steps and configurations are decided. Nothing here reads or changes anything.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// What the user wants.
    pub spec: &'a ClusterSpec,
    /// The host as it was before any change.
    pub facts: &'a HostFacts,
    /// The content of the bundle.
    pub list: &'a BundleList,
    /// The hosts of the cluster, seen from this one.
    pub topology: &'a Topology,
}

impl Inputs<'_> {
    /// The host's name as a node of the cluster.
    #[must_use]
    pub fn node_name(&self) -> String {
        self.topology.this().name.clone()
    }

    /// The address of this host's API server, etcd and kubelet.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.topology.this().address
    }

    /// Whether the host has this role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.topology.this().has(role)
    }

    /// Whether the host is the cluster's first control plane, which acts for the whole cluster.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.topology.leader() == Some(self.topology.this())
    }

    /// The host's roles.
    #[must_use]
    pub fn roles(&self) -> &BTreeSet<Role> {
        &self.topology.this().roles
    }

    /// The host, as far as it decides what a bundle has to contain.
    #[must_use]
    pub fn profile(&self) -> HostProfile<'_> {
        self.profile_of(self.topology.this())
    }

    /// The same for another host of the cluster, assumed to have this one's platform.
    #[must_use]
    pub fn profile_of<'a>(&'a self, member: &'a Member) -> HostProfile<'a> {
        HostProfile {
            name: Some(&member.name),
            platform: &self.facts.platform,
            roles: &member.roles,
            control_planes: self.topology.with(Role::ControlPlane).count(),
        }
    }

    /// The pod network. A plan is refused if the bundle has several and the configuration names none.
    #[must_use]
    pub fn cni(&self) -> Cni {
        self.spec.network.cni.or_else(|| Cni::brought_by(self.list)).unwrap_or(Cni::Bridge)
    }

    /// The version of a component in the bundle for this host's platform.
    #[must_use]
    pub fn version_of(&self, component: ComponentName) -> Option<&str> {
        let entry = self.list.component(component, &self.facts.platform)?;
        entry.component.as_ref().map(|component| component.version.as_str())
    }

    /// The version of an add-on in the bundle; its manifests suit every platform.
    #[must_use]
    pub fn version_of_addon(&self, addon: &str) -> Option<&str> {
        let mut components = self.list.entries.iter().filter(|entry| entry.kind == EntryKind::Manifest);
        components
            .find_map(|entry| entry.component.as_ref().filter(|found| found.name == addon))
            .map(|found| found.version.as_str())
    }
}

/// Everything that decisions about one host need, gathered once and owned; [`OwnedInputs::inputs`] lends it.
///
/// A caller that owns a part itself lends that part: the list mostly belongs to an open bundle.
pub struct OwnedInputs<'a> {
    spec: Cow<'a, ClusterSpec>,
    facts: Cow<'a, HostFacts>,
    list: Cow<'a, BundleList>,
    topology: Topology,
}

/// Why the inputs cannot be gathered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputsError {
    /// The host's facts cannot be read.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The cluster has no such host.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

impl<'a> OwnedInputs<'a> {
    /// Gathers the facts of `host`. The cluster calls it `name`; in a cluster of one host it has no name.
    pub fn gather(
        host: &Host,
        spec: Cow<'a, ClusterSpec>,
        name: Option<&str>,
        list: Cow<'a, BundleList>,
    ) -> Result<Self, InputsError> {
        let facts = HostFacts::gather(host)?;
        let topology = Topology::seen_from(name, &spec, &facts)?;
        Ok(Self { spec, facts: Cow::Owned(facts), list, topology })
    }

    /// The inputs for the host called `name`, whose facts were gathered elsewhere.
    pub fn about(
        spec: Cow<'a, ClusterSpec>,
        name: &str,
        facts: &'a HostFacts,
        list: &'a BundleList,
    ) -> Result<Self, TopologyError> {
        let topology = Topology::of(&spec, name)?;
        Ok(Self { spec, facts: Cow::Borrowed(facts), list: Cow::Borrowed(list), topology })
    }

    /// Lends all inputs.
    #[must_use]
    pub fn inputs(&self) -> Inputs<'_> {
        Inputs { spec: &self.spec, facts: &self.facts, list: &self.list, topology: &self.topology }
    }
}
