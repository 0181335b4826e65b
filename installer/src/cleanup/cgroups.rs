//! Control groups that the kubelet made for pods.

use crate::host::{Command, Host, HostError};

/// Where the hierarchies are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// Where systemd keeps units that exist by a request alone.
const TRANSIENT_UNITS: &str = "/run/systemd/transient";

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

/// Removes what systemd keeps of slices that a program asked for. It may keep them although they are stopped, and then takes the next
/// request for one that is there already, so that the next kubelet would have no group for its pods.
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

/// Removes a group after those in it. Their files are the kernel's and go with them.
fn remove_tree(host: &Host, group: &str) -> Result<(), HostError> {
    for name in host.names_in(group)? {
        let inner = format!("{group}/{name}");
        if host.is_directory(&inner) {
            remove_tree(host, &inner)?;
        }
    }
    if !host.remove_runtime_directory(group)? && host.exists(group) {
        // An empty group that stays does no harm, and goes at the next boot.
        tracing::warn!(group, "a control group stays");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

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
