//! Control groups that the kubelet made for pods.

use std::path::Path;

use fs_err as fs;

use crate::host::{Command, Host, HostError};

/// Removes them in every hierarchy.
pub fn remove(host: &Host) -> Result<(), HostError> {
    if host.unit_state("kubepods.slice")?.is_some_and(|state| state.is_active()) {
        host.run(&Command::new("systemctl", ["stop", "kubepods.slice"]))?;
    }
    forget_slices(host)?;
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

/// Removes what systemd keeps of slices that were made by a program's request. It may keep them although they are stopped, and
/// then takes the next request for one that is there already, so that the next kubelet would have no group for its pods.
fn forget_slices(host: &Host) -> Result<(), HostError> {
    let kept = fs::read_dir(host.path("/run/systemd/transient")).into_iter().flatten().flatten();
    let kept: Vec<_> = kept.filter(|entry| entry.file_name().to_string_lossy().starts_with("kubepods")).collect();
    for entry in &kept {
        let path = entry.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        let act = || format!("remove {}", path.display());
        removed.map_err(|source| HostError::File { act: act(), source })?;
    }
    if !kept.is_empty() {
        host.run(&Command::new("systemctl", ["daemon-reload"]))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;

    #[test]
    fn slices_that_systemd_keeps_are_forgotten() {
        let bench = Bench::new();
        bench.file("run/systemd/transient/kubepods.slice", "");
        bench.file("run/systemd/transient/kubepods.slice.d/50-CPUShares.conf", "");
        bench.file("run/systemd/transient/session-1.scope", "");
        forget_slices(&bench.host()).unwrap();
        assert_eq!(fs::read_dir(bench.path("run/systemd/transient")).unwrap().count(), 1);
        assert_eq!(bench.ran(), ["systemctl daemon-reload"]);
        forget_slices(&bench.host()).unwrap();
        assert_eq!(bench.ran(), Vec::<String>::new());
    }
}
