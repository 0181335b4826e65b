//! What a host of a cluster needs from a bundle, and which of that is missing or contradictory.

mod images;
mod mismatch;
mod network;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use kbundle_format::prerequisites::Need;
use kbundle_format::{ComponentName, Platform, Role};

use crate::config::{ClusterSpec, Cni, DnsName, KubeProxyMode, LoadBalancer};
use crate::contents::BundleContents;
use crate::version_rules::kubernetes::NFTABLES_PROXY;
use crate::version_rules::{OLDEST_KUBERNETES, pairing};

pub use images::{ClusterImages, MissingImage, parent};
pub use mismatch::{Mismatch, Remedy};
pub use network::{NetworkError, refuse_contradiction};

/// The image of the load balancer on workers, by its short name.
pub const LOAD_BALANCER_IMAGE: &str = ComponentName::Haproxy.as_str();
/// The image of the program that moves an address between control planes, by its short name.
pub const VIRTUAL_ADDRESS_IMAGE: &str = "kube-vip";

/// Trees that kinstall, kubeadm and the programs of the cluster fill.
const OWN_TREES: [&str; 9] = [
    "/etc/cni",
    "/etc/containerd",
    "/etc/kubernetes",
    "/opt/cni",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/kinstall",
    "/var/lib/kubelet",
];

/// A host of a cluster, as far as it decides what a bundle has to contain.
#[derive(Clone, Copy, Debug)]
pub struct HostProfile<'a> {
    /// Its name in `hosts` of cluster.yaml; the single host of a cluster has none.
    pub name: Option<&'a str>,
    /// Its platform.
    pub platform: &'a Platform,
    /// Its roles.
    pub roles: &'a BTreeSet<Role>,
    /// How many control planes the cluster has.
    pub control_planes: usize,
}

impl HostProfile<'_> {
    /// Whether it reaches the API servers through its own load balancer. With a single control plane it does if `is_in_bundle`.
    #[must_use]
    pub fn has_load_balancer(&self, spec: &ClusterSpec, is_in_bundle: impl FnOnce() -> bool) -> bool {
        let is_worker = self.roles.contains(&Role::Worker) && !self.roles.contains(&Role::ControlPlane);
        let chooses = || self.control_planes > 1 || is_in_bundle();
        is_worker && spec.api.load_balancer == LoadBalancer::NodeLocal && chooses()
    }

    /// Whether it may hold the virtual IP.
    #[must_use]
    pub fn may_hold_address(&self, spec: &ClusterSpec) -> bool {
        self.roles.contains(&Role::ControlPlane) && spec.api.load_balancer == LoadBalancer::Vip
    }
}

/// Everything that a bundle lacks for a host, or that its version of Kubernetes does not support.
#[must_use]
pub fn mismatches(spec: &ClusterSpec, contents: &BundleContents, host: &HostProfile<'_>) -> Vec<Mismatch> {
    let platform = host.platform;
    let mut found = Vec::new();
    found.extend(other_architecture(spec, host));
    found.extend(of_version(spec, contents));
    let components = ComponentName::OF_HOSTS.into_iter();
    let components: Vec<_> = components.filter(|name| contents.version_of(*name, platform).is_none()).collect();
    if !components.is_empty() {
        found.push(Mismatch::NoProgram { components });
    }
    let paired = pairing::check(contents.kubernetes, |component| contents.version_of(component, platform));
    found.extend(paired.err().map(Mismatch::from));
    found.extend(ClusterImages::among(&contents.images_for(platform), platform).err().map(Mismatch::from));
    found.extend(refuse_contradiction(&spec.network, contents).err().map(Mismatch::from));
    let addons = spec.addons.iter().enumerate().filter(|(_, name)| !contents.has_addon(name.as_str()));
    found.extend(addons.map(|(index, name)| Mismatch::NoAddon { name: name.to_string(), index }));
    found.extend(unlisted(spec, contents));
    let own = |path: &&_| OWN_TREES.iter().any(|tree| kbundle_format::host_file::HostPath::is_in(path, tree));
    found.extend(contents.host_files(host.roles).find(own).map(|path| Mismatch::OwnPath { path: path.clone() }));
    let has_charts = spec.addons.iter().any(|name| contents.has_chart(name.as_str()));
    if has_charts && contents.version_of(ComponentName::Helm, platform).is_none() {
        found.push(Mismatch::NoHelm);
    }
    let has_load_balancer = contents.has_image(LOAD_BALANCER_IMAGE, platform);
    if host.has_load_balancer(spec, || has_load_balancer) && !has_load_balancer {
        found.push(Mismatch::NoLoadBalancer);
    }
    if host.may_hold_address(spec) && !contents.has_image(VIRTUAL_ADDRESS_IMAGE, platform) {
        found.push(Mismatch::NoVirtualAddress);
    }
    found
}

/// Prerequisites of the listed add-ons that cluster.yaml does not list.
fn unlisted(spec: &ClusterSpec, contents: &BundleContents) -> Vec<Mismatch> {
    let listed: Vec<_> = spec.addons.iter().map(DnsName::as_str).collect();
    let mismatch = |need: Need<'_>| Mismatch::NotListed {
        of: need.of.to_owned(),
        name: need.name.to_owned(),
        index: listed.iter().position(|name| *name == need.of).unwrap_or_default(),
    };
    contents.after.unlisted(&listed).map(mismatch).collect()
}

/// cluster.yaml may state a host's architecture, which has to be right.
fn other_architecture(spec: &ClusterSpec, host: &HostProfile<'_>) -> Option<Mismatch> {
    let index = spec.hosts.iter().position(|known| Some(known.name.as_str()) == host.name)?;
    let stated = spec.hosts[index].arch?;
    let found = host.platform.architecture();
    (stated.as_str() != found).then(|| Mismatch::OtherArchitecture { stated, found: found.to_owned(), index })
}

/// Mismatches that depend on the version of Kubernetes and on no host.
fn of_version(spec: &ClusterSpec, contents: &BundleContents) -> Vec<Mismatch> {
    let version = contents.kubernetes;
    let mut found = Vec::new();
    if version < OLDEST_KUBERNETES {
        found.push(Mismatch::TooOld { version });
    }
    if let (KubeProxyMode::Nftables, Some(first)) = (spec.network.kube_proxy.mode, NFTABLES_PROXY.since)
        && !NFTABLES_PROXY.holds(version)
    {
        found.push(Mismatch::NoNftables { version, first });
    }
    found.extend(spec.validate_for(version).err().map(Mismatch::Settings));
    let cni = spec.network.cni.or_else(|| contents.network()).unwrap_or(Cni::Bridge);
    found.extend(spec.pods_do_not_fit(cni).map(Mismatch::TooFewAddresses));
    found
}
