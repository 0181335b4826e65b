//! A separate cgroup for each host, in every cgroup v1 hierarchy: nspawn makes it the root of the host's cgroup namespace.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fs_err as fs;

const MOUNT: &str = "/sys/fs/cgroup";

/// The hierarchies, as mounted by the machine; links such as `cpuacct -> cpu,cpuacct` count once.
fn hierarchies() -> Result<Vec<PathBuf>> {
    if Path::new(MOUNT).join("cgroup.controllers").exists() {
        bail!(
            "this machine has cgroup v2 alone; the lab's hosts need the v1 hierarchies (kernel argument systemd.unified_cgroup_hierarchy=0)"
        );
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(MOUNT)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    if !found.iter().any(|path| path.ends_with("systemd")) {
        bail!(
            "{MOUNT} has no `systemd` hierarchy; mount one: mount -t cgroup -o none,name=systemd cgroup {MOUNT}/systemd"
        );
    }
    Ok(found)
}

/// Makes the group `name` everywhere and returns its directories.
pub(crate) fn create(name: &str) -> Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for hierarchy in hierarchies()? {
        let group = hierarchy.join(name);
        fs::create_dir_all(&group)?;
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if hierarchy.join(file).exists() {
                fs::write(group.join(file), fs::read_to_string(hierarchy.join(file))?)?;
            }
        }
        made.push(group);
    }
    Ok(made)
}

/// Thaws the group `name`: with cgroup v1 a frozen process does not end when it is killed, and a killed runc may leave its container
/// frozen.
pub(crate) fn thaw(name: &str) -> Result<()> {
    let top = Path::new(MOUNT).join("freezer").join(name);
    if top.exists() { thaw_tree(&top) } else { Ok(()) }
}

/// From the top down: a group stays frozen while one of its parents is frozen. Groups may disappear during this, when their processes end.
fn thaw_tree(group: &Path) -> Result<()> {
    let state = group.join("freezer.state");
    if fs::read_to_string(&state).is_ok_and(|state| state.trim_end() != "THAWED") {
        fs::write(&state, "THAWED")?;
    }
    let Ok(entries) = fs::read_dir(group) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            thaw_tree(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes the group `name` and all below it, everywhere. Its processes have ended; the kernel may need a moment to release them.
pub(crate) fn remove(name: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    for hierarchy in hierarchies()? {
        let group = hierarchy.join(name);
        while group.exists() {
            match remove_tree(&group) {
                Ok(()) => {}
                Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(50)),
                Err(error) => return Err(error).with_context(|| format!("cannot remove cgroup {}", group.display())),
            }
        }
    }
    Ok(())
}

/// A cgroup directory is removed when its children are; its files cannot be.
fn remove_tree(group: &Path) -> Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    Ok(fs::remove_dir(group)?)
}
