//! Which network a cluster gets: the one in cluster.yaml, or the bundle's.

use kbundle_format::BundleList;

use super::{ClusterSpec, Cni};
use crate::contents::BundleContents;

impl Cni {
    /// The network that a bundle brings: its only one, or the bridge, which needs nothing; `None` if it has several.
    #[must_use]
    pub fn brought_by(list: &BundleList) -> Option<Self> {
        BundleContents::of(list).network()
    }
}

impl ClusterSpec {
    /// The same cluster; if it names no network, with the network that the bundle brings.
    #[must_use]
    pub fn with_network_of(&self, list: &BundleList) -> Self {
        let mut spec = self.clone();
        spec.network.cni = spec.network.cni.or_else(|| Cni::brought_by(list));
        spec
    }
}
