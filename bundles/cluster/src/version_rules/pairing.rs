//! Which etcd and containerd suit a version of Kubernetes: the lowest versions that it accepts. Newer ones are not refused.

use kbundle_format::{ComponentName, KubeVersion};

use super::Release;

/// The lowest version of a program that a range of Kubernetes takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The first version of Kubernetes that it holds for, up to the next row's.
    pub kubernetes: KubeVersion,
    /// The lowest version.
    pub lowest: Release,
    /// The source of the row.
    pub source: &'static str,
}

const fn floor(kubernetes: (u16, u16), lowest: Release, source: &'static str) -> Floor {
    Floor { kubernetes: KubeVersion::new(1, kubernetes.0, kubernetes.1), lowest, source }
}

/// kubeadm's preflight refuses an external etcd below this.
const KUBEADM: &str = "cmd/kubeadm/app/constants/constants.go, MinExternalEtcdVersion";

/// The floors for etcd. Patch releases of Kubernetes raised them too, because of the members that 3.5.23 and older left behind on the way
/// to 3.6.
pub const ETCD: [Floor; 10] = [
    floor((25, 0), Release::new(3, 2, 18), KUBEADM),
    floor((28, 0), Release::new(3, 4, 13), KUBEADM),
    floor((31, 0), Release::new(3, 5, 11), KUBEADM),
    floor((31, 14), Release::new(3, 5, 24), KUBEADM),
    floor((32, 0), Release::new(3, 5, 11), KUBEADM),
    floor((32, 10), Release::new(3, 5, 24), KUBEADM),
    floor((33, 0), Release::new(3, 5, 11), KUBEADM),
    floor((33, 6), Release::new(3, 5, 24), KUBEADM),
    floor((34, 0), Release::new(3, 5, 21), KUBEADM),
    floor((34, 2), Release::new(3, 5, 24), KUBEADM),
];

/// The source for containerd.
const CONTAINERD: &str = "containerd/containerd RELEASES.md, \"Kubernetes Support\"";

/// The floors for containerd.
pub const CONTAINERD_FLOORS: [Floor; 3] = [
    // This Kubernetes speaks only v1alpha2 of the CRI; `config_path` for registries came with 1.5.
    floor((25, 0), Release::new(1, 5, 0), CONTAINERD),
    // The kubelet speaks v1 of the CRI alone (CHANGELOG-1.26.md, pull request #110618).
    floor((26, 0), Release::new(1, 6, 15), CONTAINERD),
    // The kubelet asks containerd for the cgroup driver (CRI method RuntimeConfig), which 1.x does not support.
    floor((36, 0), Release::new(2, 0, 0), CONTAINERD),
];

/// The row of `floors` for a version of Kubernetes; `None` if that is older than all rows.
#[must_use]
pub fn floor_of(floors: &[Floor], version: KubeVersion) -> Option<&Floor> {
    floors.iter().rev().find(|floor| floor.kubernetes <= version)
}

/// A program that is too old for the Kubernetes with which it is paired.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Kubernetes {kubernetes} takes {component} {lowest} or later ({source_of_floor}), and the bundle has {found}")]
pub struct TooOld {
    /// The version of Kubernetes.
    pub kubernetes: KubeVersion,
    /// The component.
    pub component: ComponentName,
    /// The lowest version that is accepted.
    pub lowest: Release,
    /// The source of that.
    pub source_of_floor: &'static str,
    /// The version that was found.
    pub found: Release,
}

/// Refuses a component that Kubernetes `version` does not accept. `version_of` returns a component's version; a component that is absent,
/// or whose version is not upstream's, is not judged.
///
/// # Errors
/// The first component that is too old.
pub fn check<'a>(version: KubeVersion, version_of: impl Fn(ComponentName) -> Option<&'a str>) -> Result<(), TooOld> {
    for (component, floors) in [(ComponentName::Etcd, &ETCD[..]), (ComponentName::Containerd, &CONTAINERD_FLOORS[..])] {
        let found = version_of(component).and_then(Release::read);
        let (Some(found), Some(floor)) = (found, floor_of(floors, version)) else { continue };
        if found < floor.lowest {
            let (lowest, source_of_floor) = (floor.lowest, floor.source);
            return Err(TooOld { kubernetes: version, component, lowest, source_of_floor, found });
        }
    }
    Ok(())
}
