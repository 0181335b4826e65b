//! Removes what a cluster leaves in a running kernel: containers, mounts, network links and rules, control groups. None of it is on the
//! ledger, since the kubelet, containerd and CNI plugins make it. A reboot would remove it too.

mod cgroups;
mod mounts;
pub mod network;
mod processes;

use crate::host::{Change, Host, HostError};

/// Removes all of it. Does nothing if kinstall never started containerd or the kubelet here.
pub fn clean(host: &Host) -> Result<(), HostError> {
    let ours = |change: &Change| matches!(change, Change::Unit { name, .. } if name == "containerd.service" || name == "kubelet.service");
    if !host.ledger().changes().iter().any(ours) {
        return Ok(());
    }
    processes::kill_containers(host)?;
    mounts::unmount(host)?;
    network::remove_namespaces(host)?;
    network::remove_virtual_address(host)?;
    network::remove_links(host)?;
    network::empty_tunnel(host)?;
    network::remove_routes(host)?;
    network::remove_rules(host)?;
    // Rules name sets, so the sets go after the rules.
    network::remove_sets_and_tables(host)?;
    cgroups::remove(host)
}
