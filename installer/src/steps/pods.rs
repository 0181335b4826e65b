//! Ends everything that runs in pods while there is a runtime to do it. [`crate::cleanup`] removes what is then left in the kernel.

use crate::host::{Command, Host};
use crate::kubeadm::CRI_SOCKET;

const CRICTL: &str = "/usr/local/bin/crictl";

/// Ends every container of this host. The kubelet must be stopped, or it starts them again.
pub fn remove_all(host: &Host) -> anyhow::Result<()> {
    if host.exists(CRICTL) {
        stop_by_runtime(host)?;
    }
    // The runtime may not have ended everything, for example if it does not run. The processes of every pod are below this slice.
    if host.unit_state("kubepods.slice")?.is_some_and(|state| state.active != "inactive") {
        host.run(&Command::new("systemctl", ["stop", "kubepods.slice"]))?;
    }
    Ok(())
}

/// Asks containerd to end the containers, but not the pods around them: to stop a pod, containerd calls the network's plugin, and Calico's
/// would then ask an API server that is gone, for a minute each time.
fn stop_by_runtime(host: &Host) -> anyhow::Result<()> {
    let crictl = |arguments: &[&str]| {
        let endpoint = ["-r", CRI_SOCKET];
        Command::new(CRICTL, endpoint.iter().chain(arguments).copied())
    };
    let listed = host.try_run(&crictl(&["ps", "-q"]))?;
    if listed.code != Some(0) {
        tracing::warn!(said = %listed.stderr.trim(), "containerd does not answer; ending its containers without it");
        return Ok(());
    }
    let containers: Vec<_> = listed.stdout.split_whitespace().collect();
    if containers.is_empty() {
        return Ok(());
    }
    let output = host.try_run(&crictl(&[&["stop", "--timeout=0"], &containers[..]].concat()))?;
    if output.code != Some(0) {
        tracing::warn!(said = %output.stderr.trim(), "containerd did not end every container");
    }
    Ok(())
}

/// Stops the scopes that the kubelet makes for mounts and for its probes of systemd. They end by themselves if the kernel tells systemd
/// about empty control groups. On hosts inside of a container with cgroup v1, the kernel does not.
pub fn stop_scopes_of_kubelet(host: &Host) -> anyhow::Result<()> {
    let list = ["list-units", "--plain", "--no-legend", "--all", "--type=scope"];
    let listed = host.run(&Command::new("systemctl", list))?;
    for scope in scopes_of_kubelet(&listed.stdout) {
        // A scope that has ended in the meantime needs nothing.
        host.try_run(&Command::new("systemctl", ["stop", scope]))?;
    }
    Ok(())
}

/// Reads lines of name, load state, active state, sub-state and description.
fn scopes_of_kubelet(listed: &str) -> impl Iterator<Item = &str> {
    listed.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        (name.starts_with("run-") && words.nth(3) == Some("Kubernetes")).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;

    #[test]
    fn containers_end_without_a_call_to_the_networks_plugin() {
        let bench = Bench::with_programs(|_, command| {
            let said = if command.to_string().contains(" ps -q") { "a1\nb2\n" } else { "" };
            Some(said.to_owned())
        });
        bench.file(CRICTL.trim_start_matches('/'), "");
        stop_by_runtime(&bench.host()).unwrap();
        let socket = CRI_SOCKET;
        assert_eq!(
            bench.ran(),
            [format!("{CRICTL} -r {socket} ps -q"), format!("{CRICTL} -r {socket} stop --timeout=0 a1 b2")]
        );
    }

    #[test]
    fn scopes_of_others_stay() {
        let listed = "init.scope loaded active running System and Service Manager\n\
                      run-r03.scope loaded active running Kubernetes systemd probe\n\
                      run-u7.scope loaded active running /usr/bin/backup\n\
                      run-rb2.scope loaded active running Kubernetes transient mount for /var/lib/kubelet/pods/1\n";
        assert_eq!(scopes_of_kubelet(listed).collect::<Vec<_>>(), ["run-r03.scope", "run-rb2.scope"]);
    }
}
