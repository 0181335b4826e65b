//! Taking down pods while there is a runtime to do it. What then is left in the kernel, [`crate::cleanup`] takes away.

use super::containerd;
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
