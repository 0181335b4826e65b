//! Taking down what the kubelet runs: pods, and the file systems that it mounted for them.

use std::path::Path;

use fs_err as fs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{containerd, kubelet};
use crate::host::{Command, Host};

const CRICTL: &str = "/usr/local/bin/crictl";

/// Ends every pod of this host. The kubelet must be stopped, or it starts them again.
pub fn remove_all(host: &Host) -> anyhow::Result<()> {
    if host.exists(CRICTL) {
        stop_by_runtime(host)?;
    }
    // What the runtime did not end, perhaps because it does not run: every pod's processes are below this slice.
    if host.unit_state("kubepods.slice")?.is_some_and(|state| state.active != "inactive") {
        host.run(&Command::new("systemctl", ["stop", "kubepods.slice"]))?;
    }
    end_shims(host)?;
    for directory in [kubelet::DIRECTORY, "/run/containerd", "/var/lib/containerd"] {
        unmount_below(host, directory)?;
    }
    Ok(())
}

/// Asks containerd to end the pods: gracefully, with their networks and mounts taken down.
fn stop_by_runtime(host: &Host) -> anyhow::Result<()> {
    let crictl = |arguments: &[&str]| {
        let endpoint = ["-r", containerd::SOCKET];
        Command::new(CRICTL, endpoint.iter().chain(arguments).copied())
    };
    let listed = host.try_run(&crictl(&["pods", "-q"]))?;
    if listed.code != Some(0) {
        tracing::warn!(said = %listed.stderr.trim(), "containerd does not answer; its containers are ended without it");
        return Ok(());
    }
    for pod in listed.stdout.split_whitespace() {
        for act in ["stopp", "rmp"] {
            let output = host.try_run(&crictl(&[act, pod]))?;
            if output.code != Some(0) {
                tracing::warn!(pod, act, said = %output.stderr.trim(), "a pod was not ended by containerd");
            }
        }
    }
    Ok(())
}

/// Ends the processes that stand between containerd and its containers and that outlive both when they are killed.
fn end_shims(host: &Host) -> anyhow::Result<()> {
    for process in fs::read_dir(host.path("/proc"))? {
        let process = process?;
        let name = process.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process that ended meanwhile has no program any more.
        let Ok(program) = fs::read_link(process.path().join("exe")) else { continue };
        if program.starts_with("/usr/local/bin") && has_name_beginning(&program, "containerd-shim") {
            match kill(Pid::from_raw(id), Signal::SIGKILL) {
                Ok(()) | Err(nix::Error::ESRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn has_name_beginning(path: &Path, prefix: &str) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix))
}

/// Unmounts everything below `directory`, the innermost first.
fn unmount_below(host: &Host, directory: &str) -> anyhow::Result<()> {
    let mounts = host.read_text("/proc/self/mounts")?.unwrap_or_default();
    for path in mounts_below(&mounts, directory).iter().rev() {
        host.run(&Command::new("umount", [path]))?;
    }
    Ok(())
}

/// The mount points below `directory` in the order of mounting (fstab(5): blanks and backslashes are written in octal).
fn mounts_below(mounts: &str, directory: &str) -> Vec<String> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let prefix = format!("{directory}/");
    points
        .filter(|point| point.starts_with(&prefix))
        .map(|point| {
            [("\\040", " "), ("\\011", "\t"), ("\\134", "\\")]
                .iter()
                .fold(point.to_owned(), |text, (code, plain)| text.replace(code, plain))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_pods_are_found_in_order() {
        let mounts = "/dev/sda1 / ext4 rw 0 0\n\
                      tmpfs /var/lib/kubelet/pods/a/volumes/x tmpfs rw 0 0\n\
                      tmpfs /var/lib/kubelet-other tmpfs rw 0 0\n\
                      tmpfs /var/lib/kubelet/pods/with\\040space tmpfs rw 0 0\n";
        let found = mounts_below(mounts, "/var/lib/kubelet");
        assert_eq!(found, ["/var/lib/kubelet/pods/a/volumes/x", "/var/lib/kubelet/pods/with space"]);
    }
}
