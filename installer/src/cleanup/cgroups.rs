//! Control groups that the kubelet made for pods.

use crate::host::{Command, Host, HostError};

/// Where the hierarchies are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// Where systemd keeps transient units.
const TRANSIENT_UNITS: &str = "/run/systemd/transient";

/// Thaws frozen groups of pods. With cgroup v1 a frozen process does not end even when it is killed. runc freezes a container's group for a
/// moment to set its devices; if runc is killed then, the group stays frozen. With cgroup v2 a frozen process can be killed. Source:
/// Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst and cgroup-v2.rst of the kernel.
pub fn thaw(host: &Host) -> Result<(), HostError> {
    let freezer = format!("{ROOT}/freezer");
    for group in host.names_in(&freezer)?.iter().filter(|name| name.starts_with("kubepods")) {
        thaw_tree(host, &format!("{freezer}/{group}"))?;
    }
    Ok(())
}

/// From the top down: a group stays frozen while one of its parents is frozen.
fn thaw_tree(host: &Host, group: &str) -> Result<(), HostError> {
    let state = format!("{group}/freezer.state");
    if host.read_text(&state)?.is_some_and(|state| state.trim_end() != "THAWED") {
        tracing::info!(group, "thawing a control group");
        host.write_runtime(&state, "THAWED")?;
    }
    for name in host.names_in(group)? {
        let inner = format!("{group}/{name}");
        if host.is_directory(&inner) {
            thaw_tree(host, &inner)?;
        }
    }
    Ok(())
}

/// Removes them in every hierarchy.
pub fn remove(host: &Host) -> Result<(), HostError> {
    if host.unit_state("kubepods.slice")?.is_some_and(|state| state.is_active()) {
        host.run(&Command::new("systemctl", ["stop", "kubepods.slice"]))?;
    }
    forget_slices(host)?;
    let hierarchies = host.names_in(ROOT)?.into_iter().map(|name| format!("{ROOT}/{name}"));
    for directory in hierarchies.chain([ROOT.to_owned()]).filter(|path| host.is_directory(path)) {
        for group in host.names_in(&directory)?.iter().filter(|name| name.starts_with("kubepods")) {
            remove_tree(host, &format!("{directory}/{group}"))?;
        }
    }
    Ok(())
}

/// Removes systemd's slices that a program asked for. systemd may keep them although they are stopped. It then takes the next request for
/// one that exists already, and the next kubelet would have no group for its pods.
fn forget_slices(host: &Host) -> Result<(), HostError> {
    let mut kept = host.names_in(TRANSIENT_UNITS)?;
    kept.retain(|name| name.starts_with("kubepods"));
    for name in &kept {
        host.remove_runtime(&format!("{TRANSIENT_UNITS}/{name}"))?;
    }
    if !kept.is_empty() {
        host.run(&Command::new("systemctl", ["daemon-reload"]))?;
    }
    Ok(())
}

/// Removes the groups in a group, and then the group itself. Their files belong to the kernel and go with them.
fn remove_tree(host: &Host, group: &str) -> Result<(), HostError> {
    for name in host.names_in(group)? {
        let inner = format!("{group}/{name}");
        if host.is_directory(&inner) {
            remove_tree(host, &inner)?;
        }
    }
    if !host.remove_runtime_directory(group)? && host.exists(group) {
        // An empty group that stays does no harm, and is gone after the next boot.
        tracing::warn!(group, "cannot remove a control group");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;
    use crate::fixture::bench::Bench;

    #[test]
    fn what_is_frozen_in_pods_is_thawed_and_nothing_else_is_written() {
        let bench = Bench::new();
        let state = |group: &str| format!("sys/fs/cgroup/freezer/{group}/freezer.state");
        bench.file(&state("kubepods.slice"), "THAWED\n");
        bench.file(&state("kubepods.slice/pod1.slice"), "THAWED\n");
        bench.file(&state("kubepods.slice/pod1.slice/a.scope"), "FROZEN\n");
        bench.file(&state("kubepods.slice/pod1.slice/b.scope"), "FREEZING\n");
        bench.file(&state("machine.slice"), "FROZEN\n");
        thaw(&bench.host()).unwrap();
        let read = |group: &str| fs::read_to_string(bench.path(&state(group))).unwrap();
        assert_eq!(read("machine.slice"), "FROZEN\n");
        assert_eq!(read("kubepods.slice/pod1.slice"), "THAWED\n");
        assert!(read("kubepods.slice/pod1.slice/a.scope").starts_with("THAWED"));
        assert!(read("kubepods.slice/pod1.slice/b.scope").starts_with("THAWED"));
    }

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
