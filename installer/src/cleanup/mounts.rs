//! Mounts that the kubelet and containerd made for pods, and Calico for itself: control groups below /run/calico.

use crate::host::{Host, HostError};
use crate::procfs::mounts;

/// Every mount below these is a pod's or was made by one. The directories themselves may be file systems that the site mounted.
const TREES: [&str; 4] = ["/run/containerd", "/var/lib/containerd", "/var/lib/kubelet", "/run/calico"];

/// Unmounts all of them, the last mounted first.
pub fn unmount(host: &Host) -> Result<(), HostError> {
    let text = host.read_text("/proc/self/mounts")?.unwrap_or_default();
    for mount in mounts(&text).iter().rev().filter(|mount| is_of_a_pod(&mount.path)) {
        host.unmount(&mount.path)?;
    }
    Ok(())
}

fn is_of_a_pod(path: &str) -> bool {
    path.starts_with("/run/netns/cni-")
        || TREES.iter().any(|tree| path.strip_prefix(tree).is_some_and(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_site_mounted_stays() {
        for (path, ours) in [
            ("/var/lib/kubelet", false),
            ("/var/lib/kubelet/pods/1/volumes/x", true),
            ("/run/calico/cgroup", true),
            ("/run/netns/cni-1", true),
            ("/run/netns/tenant", false),
            ("/var/lib/kubelet2/x", false),
        ] {
            assert_eq!(is_of_a_pod(path), ours, "{path}");
        }
    }
}
