//! Runs kubeadm: one at a time, and again if it gave up on an API server that was only slow.
//!
//! kubeadm's phases can be repeated, so that the next run completes one that was cut off. Its preflight has to be told which of its
//! findings are kinstall's and kubeadm's own work. docs/decisions/kubeadm-cut-off.md says what kubeadm leaves at each point where it can be
//! cut off.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use kbundle_format::Role;

use super::written::Recording;
use super::{
    CONFIG_PATH, JOIN_PATH, KUBELET_UNIT, PATCHES_DIRECTORY, STATIC_PODS, half_written, has_coredns, has_kube_proxy,
    manifest_path,
};
use crate::facts::CgroupVersion;
use crate::host::{Command, CommandError, Host, HostError};
use crate::inputs::Inputs;
use crate::kubectl::{ADMIN_KUBECONFIG, Kubectl};
use crate::step_progress::StepProgress;
use crate::version_rules::kubernetes::CGROUP_V1_REFUSED;
use crate::wait::{Look, until};

/// The path of kubeadm.
pub const PROGRAM: &str = "/usr/local/bin/kubeadm";
/// Its own wait for the API server is four minutes.
const ENDS_WITHIN: Duration = Duration::from_mins(5);
/// How often it is called before its time-outs count as a failure.
const ATTEMPTS: usize = 3;
/// Messages of kubeadm and client-go when a request took too long or the server was not there yet. Each of kubeadm's requests may take ten
/// seconds (`app/util/kubeconfig`, `ToClientSet`), and many are not repeated.
const TIMEOUTS: [&str; 10] = [
    "context deadline exceeded",
    "Client.Timeout exceeded",
    "timed out waiting for the condition",
    "request timed out",
    "i/o timeout",
    "TLS handshake timeout",
    "in the time allotted",
    "connection refused",
    "connection reset by peer",
    "unexpected EOF",
];
/// The longest time that this host's API server takes to be ready, once kubeadm or a boot has started it. Its image is on the host.
/// kubeadm's own wait is four minutes; on an emulated processor the kubelet needed two to start the container, and the program two more.
pub const API_READY_WITHIN: Duration = Duration::from_mins(5);

/// kubeadm on one host.
pub struct Kubeadm<'a> {
    /// The host.
    pub host: &'a mut Host,
    /// The inputs of its configuration.
    pub inputs: Inputs<'a>,
    /// Receives reports of what kubeadm does.
    pub progress: &'a dyn StepProgress,
    /// Whether the control plane of this host was completed before. Its files are then complete.
    pub was_completed: bool,
}

impl Kubeadm<'_> {
    /// `kubeadm init`: sets up the first control plane. Waits for the API server between attempts.
    pub fn init(&mut self) -> anyhow::Result<()> {
        let has_dns = has_coredns(&self.inputs)?;
        if !has_dns {
            tracing::warn!("the bundle has no CoreDNS image: the cluster gets no DNS");
        }
        let skipped = skipped_phases(has_dns, has_kube_proxy(&self.inputs));
        self.wait_for_another()?;
        let attempt = |kubeadm: &mut Self| {
            kubeadm.remove_half_written(true)?;
            let mut arguments = vec!["init".to_owned(), format!("--config={CONFIG_PATH}")];
            arguments.extend(ignoring(&kubeadm.own_findings()?));
            arguments.extend(skipped.clone());
            kubeadm.progress.detail("kubeadm init");
            kubeadm.call(arguments).context("while setting up the control plane; `journalctl -u kubelet` may say more")
        };
        self.patiently(attempt, Self::wait_for_own_api)
    }

    /// `kubeadm join`, once. `also_own` are findings of kubeadm's preflight that come from kinstall's own work, in addition to the usual
    /// ones.
    pub fn join(&mut self, also_own: Vec<String>) -> anyhow::Result<()> {
        self.remove_half_written(false)?;
        let own = self.own_findings()?.into_iter().chain(also_own).collect::<Vec<_>>();
        self.call_join(ignoring(&own).into_iter().collect())
    }

    /// Repeats phases of `kubeadm join` on a control plane whose kubelet has joined already. A power cut may have lost earlier files;
    /// kubeadm makes them again.
    pub fn complete_join(&mut self) -> anyhow::Result<()> {
        let phase = |name: &str| ["phase", name, "all"].map(str::to_owned).to_vec();
        self.remove_half_written(false)?;
        self.call_join(phase("control-plane-prepare"))?;
        self.wait_for_own_api()?;
        self.call_join(phase("control-plane-join"))
    }

    fn call_join(&self, arguments: Vec<String>) -> anyhow::Result<()> {
        self.progress.detail(&format!("kubeadm join {}", arguments.join(" ")));
        let all = ["join".to_owned()].into_iter().chain(arguments).chain([format!("--config={JOIN_PATH}")]);
        self.call(all).context("while joining the cluster; `journalctl -u kubelet` may say more")
    }

    /// Writes the API server's manifest and the cluster's configuration again. The kubelet restarts the API server because of the manifest,
    /// perhaps while the configuration is on its way to it.
    pub fn renew_api_server(&mut self) -> anyhow::Result<()> {
        self.call_phase(["control-plane", "apiserver"])?;
        self.upload("kubeadm")
    }

    /// Writes the manifest of a static pod from the configuration on the host; `pod` is kubeadm's name for it, such as `apiserver`.
    pub fn write_static_pod(&self, pod: &str) -> anyhow::Result<()> {
        self.wait_for_another()?;
        Ok(self.call_phase(["control-plane", pod])?)
    }

    /// Uploads a part of the host's configuration to the cluster: `kubeadm` or `kubelet`.
    pub fn upload(&mut self, part: &str) -> anyhow::Result<()> {
        self.patiently(|kubeadm| Ok(kubeadm.call_phase(["upload-config", part])?), Self::wait_for_own_api)
    }

    /// Writes kube-proxy's objects again. Its pods read them when they start.
    pub fn renew_kube_proxy(&mut self) -> anyhow::Result<()> {
        self.patiently(|kubeadm| Ok(kubeadm.call_phase(["addon", "kube-proxy"])?), Self::wait_for_own_api)
    }

    /// A phase of `kubeadm init`.
    fn call_phase(&self, phase: [&str; 2]) -> Result<(), HostError> {
        let configuration = format!("--config={CONFIG_PATH}");
        self.call(["init", "phase"].into_iter().chain(phase).map(str::to_owned).chain([configuration]))
    }

    /// On the control plane that leads: uploads the configuration of the new version to the cluster, where kubeadm reads it, and runs
    /// `kubeadm upgrade apply`. On every other host: `kubeadm upgrade node`. Certificates are left to kinstall's timer: kubeadm writes them
    /// in place, where a power cut leaves half of one.
    pub fn upgrade(&mut self) -> anyhow::Result<()> {
        self.wait_for_another()?;
        self.wait_for_api()?;
        let leads = self.inputs.leads();
        let version = format!("v{}", self.inputs.list.kubernetes_version);
        let act = if leads { vec!["upgrade", "apply", &version, "--yes"] } else { vec!["upgrade", "node"] };
        let patches = format!("--patches={PATCHES_DIRECTORY}");
        let ignored = ignoring(&self.refused_for_cgroups());
        let fixed = act.iter().map(|&word| word.to_owned()).chain(["--certificate-renewal=false".to_owned(), patches]);
        let arguments: Vec<_> = fixed.chain(ignored).collect();
        let attempt = |kubeadm: &mut Self| {
            if leads {
                kubeadm.call_phase(["upload-config", "kubeadm"])?;
            }
            kubeadm.progress.detail(&format!("kubeadm upgrade {}", act[1]));
            kubeadm
                .call(arguments.clone())
                .context("while kubeadm upgrades this host; `journalctl -u kubelet` may say more")
        };
        self.patiently(attempt, Self::wait_for_api)
    }

    /// Restores the cluster's objects from this kubeadm's configuration: kubeadm's own settings and those of kubelets, CoreDNS and
    /// kube-proxy.
    pub fn bring_objects_back(&mut self) -> anyhow::Result<()> {
        self.wait_for_another()?;
        self.wait_for_own_api()?;
        let addons = [(has_coredns(&self.inputs)?, "coredns"), (has_kube_proxy(&self.inputs), "kube-proxy")];
        let addons = addons.into_iter().filter(|(holds, _)| *holds).map(|(_, name)| ["addon", name]);
        for phase in std::iter::once(["upload-config", "all"]).chain(addons) {
            self.progress.detail(&format!("kubeadm init phase {}", phase.join(" ")));
            self.patiently(|kubeadm| Ok(kubeadm.call_phase(phase)?), Self::wait_for_own_api)?;
        }
        Ok(())
    }

    /// Waits for the API server that kubeadm turns to: this host's own, or on a worker whichever its kubelet uses.
    fn wait_for_api(&self) -> anyhow::Result<()> {
        if self.inputs.has(Role::ControlPlane) {
            return self.wait_for_own_api();
        }
        self.progress.detail("waiting for an API server");
        until(self.progress, "an API server", API_READY_WITHIN, || {
            Ok(match Kubectl::as_kubelet(self.host).readiness()? {
                Ok(()) => Look::Ready(()),
                Err(said) => Look::NotYet(said),
            })
        })
    }

    /// Runs `attempt`, and runs it again if it ended with a time-out and `api_answers` after that.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub fn patiently(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> anyhow::Result<()>,
        api_answers: impl Fn(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for _ in 1..ATTEMPTS {
            let Err(error) = attempt(self) else { return Ok(()) };
            if !ended_for_a_timeout(&error) {
                return Err(error);
            }
            tracing::warn!(error = format!("{error:#}"), "kubeadm gave up on a slow API server");
            self.progress
                .detail("kubeadm gave up on a slow API server; waiting for the API server to call kubeadm again");
            if let Err(silence) = api_answers(self) {
                return Err(error.context(format!("{silence:#}")));
            }
        }
        attempt(self)
    }

    /// A killed run leaves its kubeadm running. Two at the same time would disturb each other.
    pub fn wait_for_another(&self) -> anyhow::Result<()> {
        self.progress.detail("waiting for a kubeadm that an earlier run left behind");
        until(self.progress, "another kubeadm on this host to end", ENDS_WITHIN, || {
            let running = self.host.process_running(PROGRAM)?;
            Ok(running.map_or(Look::Ready(()), |process| Look::NotYet(format!("process {process} runs"))))
        })
    }

    /// Waits for the API server of this host. Until it answers, every request from here meets it first and fails.
    pub fn wait_for_own_api(&self) -> anyhow::Result<()> {
        let api = Kubectl::on(self.host);
        let server = format!("https://{}", SocketAddr::new(self.inputs.address(), self.inputs.spec.api.port));
        self.progress.detail("waiting for this host's API server");
        until(self.progress, "the API server of this host", API_READY_WITHIN, || {
            Ok(match api.readiness_at(&server)? {
                Ok(()) => Look::Ready(()),
                Err(said) => Look::NotYet(said),
            })
        })
    }

    /// `leads` says whether this host makes the cluster's authorities.
    fn remove_half_written(&mut self, leads: bool) -> anyhow::Result<()> {
        if self.was_completed { Ok(()) } else { half_written::remove(self.host, leads) }
    }

    /// Findings of kubeadm's preflight that kinstall and kubeadm themselves cause, by kubeadm's names; never `all`.
    fn own_findings(&self) -> Result<Vec<String>, HostError> {
        let spec = self.inputs.spec;
        let mut own: Vec<_> = STATIC_PODS
            .iter()
            .filter(|name| self.host.exists(&manifest_path(name)))
            .map(|name| format!("FileAvailable--etc-kubernetes-manifests-{name}.yaml"))
            .collect();
        if !own.is_empty() || self.host.unit_state(KUBELET_UNIT)?.is_some_and(|state| state.is_active()) {
            // The ports of the API server, scheduler, controller manager and kubelet.
            own.extend([spec.api.port, 10259, 10257, 10250].map(|port| format!("Port-{port}")));
        }
        own.extend(self.refused_for_cgroups());
        Ok(own)
    }

    /// The finding by which kubeadm refuses a host with cgroup v1, although its kubelet is told to start.
    fn refused_for_cgroups(&self) -> Vec<String> {
        let Inputs { facts, list, .. } = self.inputs;
        let is_refused = facts.cgroups.version == CgroupVersion::V1 && CGROUP_V1_REFUSED.holds(list.kubernetes_version);
        if is_refused { vec!["SystemVerification".to_owned()] } else { Vec::new() }
    }

    fn call(&self, arguments: impl IntoIterator<Item = String>) -> Result<(), HostError> {
        let command = Command::new(PROGRAM, arguments);
        if !self.inputs.has(Role::ControlPlane) {
            return self.host.run(&command).map(drop);
        }
        // Also after a failure: kubeadm may have written manifests before it failed.
        let recording = Recording::begin(self.host)?;
        let ended = self.host.run(&command).map(drop);
        recording.end(self.host)?;
        ended
    }
}

/// Makes a bootstrap token that is valid for `life`; `kubeadm token list` shows the `purpose`. Runs on a control plane.
pub fn create_token(host: &Host, life: Duration, purpose: &str) -> Result<String, HostError> {
    let flags = [format!("--ttl={}s", life.as_secs()), format!("--kubeconfig={ADMIN_KUBECONFIG}")];
    let arguments = ["token", "create", "--description", purpose].into_iter().map(str::to_owned).chain(flags);
    Ok(host.run(&Command::new(PROGRAM, arguments))?.stdout.trim().to_owned())
}

/// The flag that makes kubeadm ignore these findings of its preflight.
fn ignoring(findings: &[String]) -> Option<String> {
    (!findings.is_empty()).then(|| format!("--ignore-preflight-errors={}", findings.join(",")))
}

/// The flag that makes kubeadm leave out the add-ons that the cluster does not use.
fn skipped_phases(has_dns: bool, has_kube_proxy: bool) -> Option<String> {
    let skipped = [(!has_dns, "addon/coredns"), (!has_kube_proxy, "addon/kube-proxy")];
    let skipped: Vec<_> = skipped.into_iter().filter_map(|(is_skipped, phase)| is_skipped.then_some(phase)).collect();
    (!skipped.is_empty()).then(|| format!("--skip-phases={}", skipped.join(",")))
}

fn ended_for_a_timeout(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref::<HostError>() {
        Some(HostError::Command(CommandError::Failed { said, .. })) => says_timeout(said),
        _ => false,
    })
}

fn says_timeout(said: &str) -> bool {
    TIMEOUTS.iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_told_from_a_refusal() {
        for (said, timeout) in [
            (
                "error execution phase upload-config/kubeadm: Post \"https://10.77.0.12:6443/…\": net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
                true,
            ),
            ("error execution phase wait-control-plane: context deadline exceeded", true),
            ("etcdserver: request timed out", true),
            ("[preflight] Some fatal errors occurred:\n\t[ERROR Port-6443]: Port 6443 is in use", false),
            ("configmaps is forbidden: User \"kubernetes-admin\" cannot create resource", false),
        ] {
            assert_eq!(says_timeout(said), timeout, "{said}");
        }
    }
}
