//! Containers that outlived the kubelet and containerd: their processes, and containerd's shims.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::{Host, HostError};

/// How long killed processes may take to go: one in uninterruptible sleep goes when its disk answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends every process of a pod and every shim of ours, and waits until they are gone.
pub fn kill_containers(host: &Host) -> Result<(), HostError> {
    let started = Instant::now();
    loop {
        let found = container_processes(host);
        if found.is_empty() {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            let act = format!("end the containers' processes {found:?} within {} s", PATIENCE.as_secs());
            return Err(HostError::File { act, source: io::ErrorKind::TimedOut.into() });
        }
        for process in found {
            // One that ended meanwhile is what we want.
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn container_processes(host: &Host) -> Vec<i32> {
    let root = fs::metadata(host.path("/")).map(|root| (root.dev(), root.ino())).ok();
    let is_ours = |process: &Path| {
        // A shim of a host inside of this one has the same path, under another root.
        let same_root = || fs::metadata(process.join("root")).map(|found| (found.dev(), found.ino())).ok() == root;
        let groups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        let program = fs::read_link(process.join("exe")).unwrap_or_default();
        is_of_a_pod(&groups) || (is_shim(&program.to_string_lossy()) && same_root())
    };
    let processes = fs::read_dir(host.path("/proc")).into_iter().flatten().flatten();
    processes
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|(_, path)| is_ours(path))
        .map(|(process, _)| process)
        .collect()
}

/// Whether `/proc/PID/cgroup` places a process in the kubelet's pods, seen from this host's root of control groups.
fn is_of_a_pod(groups: &str) -> bool {
    groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(|path| path.starts_with("/kubepods"))
}

fn is_shim(program: &str) -> bool {
    // A program whose file was removed has ` (deleted)` after its path.
    program.starts_with("/usr/local/bin/containerd-shim")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pods_of_this_host_are_ours() {
        assert!(is_of_a_pod("12:pids:/\n3:memory:/kubepods.slice/kubepods-burstable.slice/x.scope\n"));
        assert!(is_of_a_pod("0::/kubepods/besteffort/pod1/2\n"));
        assert!(!is_of_a_pod("0::/machine.slice/node-1/kubepods/besteffort/pod1/2\n"));
        assert!(!is_of_a_pod("0::/system.slice/kubelet.service\n"));
        assert!(
            is_shim("/usr/local/bin/containerd-shim-runc-v2 (deleted)") && !is_shim("/usr/bin/containerd-shim-runc-v2")
        );
    }
}
