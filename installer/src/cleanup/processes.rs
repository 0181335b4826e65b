//! Containers that outlived the kubelet and containerd: their processes, and containerd's shims.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cgroups;
use crate::host::{Host, HostError, Process};

/// How long to wait for killed processes: one in uninterruptible sleep ends only when its disk answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends every process of a pod and every shim of the bundle's containerd, and waits until they are gone.
pub fn kill_containers(host: &Host) -> Result<(), HostError> {
    let started = Instant::now();
    loop {
        let found = container_processes(host)?;
        if found.is_empty() {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            let act = format!("end the containers' processes {found:?} within {} s", PATIENCE.as_secs());
            return Err(HostError::File { act, source: io::ErrorKind::TimedOut.into() });
        }
        for process in found {
            // A process that has ended in the meantime needs nothing.
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
        // In each round: a runc that ended just now may have left its container frozen.
        cgroups::thaw(host)?;
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// # Errors
/// When it is unknown which processes run, or what one of them is: `reset` must not assume that they are gone.
fn container_processes(host: &Host) -> Result<Vec<i32>, HostError> {
    let mut found = Vec::new();
    for process in host.processes()? {
        if is_of_a_pod(&process.control_groups()?.unwrap_or_default()) || is_own_shim(&process, host)? {
            found.push(process.id);
        }
    }
    Ok(found)
}

/// A shim of a host inside of this one has the same path, below another root.
fn is_own_shim(process: &Process, host: &Host) -> Result<bool, HostError> {
    let program = process.program()?.unwrap_or_default();
    Ok(is_shim(&program.to_string_lossy()) && process.shares_root_with(host)?)
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
    use crate::fixture::bench::Bench;

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

    #[test]
    fn containers_are_not_taken_for_gone_when_proc_cannot_be_read() {
        let bench = Bench::new();
        let error = kill_containers(&bench.host()).unwrap_err();
        assert_eq!(error.to_string(), "cannot see which processes run");
        bench.file("proc/uptime", "");
        kill_containers(&bench.host()).unwrap();
        // A directory where the file should be: it cannot be read, and the process has not ended.
        bench.file("proc/77/cgroup/x", "");
        let error = kill_containers(&bench.host()).unwrap_err();
        assert_eq!(error.to_string(), "cannot look at process 77");
    }
}
