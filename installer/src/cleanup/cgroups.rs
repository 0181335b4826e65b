//! Control groups that the kubelet made for pods.

use std::path::Path;

use fs_err as fs;

use crate::host::{Command, Host, HostError};

/// Removes them in every hierarchy.
pub fn remove(host: &Host) -> Result<(), HostError> {
    if host.unit_state("kubepods.slice")?.is_some_and(|state| state.is_active()) {
        host.run(&Command::new("systemctl", ["stop", "kubepods.slice"]))?;
    }
    let root = host.path("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(&root).into_iter().flatten().flatten().map(|entry| entry.path());
    for directory in hierarchies.chain([root]) {
        for group in fs::read_dir(directory).into_iter().flatten().flatten() {
            if group.file_name().to_string_lossy().starts_with("kubepods") {
                remove_tree(&group.path());
            }
        }
    }
    Ok(())
}

/// Removes a group after those in it; their files are the kernel's and go with them.
fn remove_tree(group: &Path) {
    let inner = fs::read_dir(group).into_iter().flatten().flatten();
    inner
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .for_each(|entry| remove_tree(&entry.path()));
    if let Err(error) = fs::remove_dir(group) {
        // An empty group that stays does no harm, and goes at the next boot.
        tracing::warn!(group = %group.display(), %error, "a control group stays");
    }
}
