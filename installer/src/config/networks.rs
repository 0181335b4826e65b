//! Which network a cluster gets: the one that was asked for, or the one that the bundle brings.

use kbundle_format::{BundleList, EntryKind};

use super::{ClusterSpec, Cni};

impl Cni {
    /// The networks that a bundle has add-ons for.
    #[must_use]
    pub fn carried_by(list: &BundleList) -> Vec<Self> {
        let manifests = || list.entries.iter().filter(|entry| entry.kind == EntryKind::Manifest);
        let is_carried = |cni: &Self| {
            let folder = format!("manifests/{}/", cni.as_str());
            manifests().any(|entry| entry.path.as_str().starts_with(&folder))
        };
        [Self::Calico, Self::Flannel].into_iter().filter(is_carried).collect()
    }

    /// The network that a bundle brings: its only one, or the bridge, which needs nothing; `None` where it has several.
    #[must_use]
    pub fn brought_by(list: &BundleList) -> Option<Self> {
        match Self::carried_by(list)[..] {
            [] => Some(Self::Bridge),
            [only] => Some(only),
            _ => None,
        }
    }
}

impl ClusterSpec {
    /// The same cluster with the network that the bundle brings, where it asks for none.
    #[must_use]
    pub fn with_network_of(&self, list: &BundleList) -> Self {
        let mut spec = self.clone();
        spec.network.cni = spec.network.cni.or_else(|| Cni::brought_by(list));
        spec
    }
}
