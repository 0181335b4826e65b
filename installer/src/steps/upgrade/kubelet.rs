//! The kubelet, once the control plane has the new version; kubectl with it.

use std::time::Duration;

use anyhow::Context as _;
use kbundle_format::{ComponentName, KubeVersion};
use serde_json::Value;

use super::begin_changing;
use crate::inputs::Inputs;
use crate::kubectl::{Kubectl, ready_condition};
use crate::steps::programs::preloaded;
use crate::steps::{Check, Context, Kubelet, Step, needed};
use crate::version_rules::kubernetes::{KUBELET_CONTAINER_RUNTIME, KUBELET_POD_INFRA_IMAGE};
use crate::wait::{Look, until};

const COMPONENTS: &[ComponentName] = &[ComponentName::Kubelet, ComponentName::Kubectl];
const PROGRAM: &str = "/usr/local/bin/kubelet";
/// The kubelet's flags from kubeadm.
const FLAGS_PATH: &str = "/var/lib/kubelet/kubeadm-flags.env";
/// A kubelet reports within seconds. While two processors had thirty times the work they could do, it took 139 s.
const REPORTS_WITHIN: Duration = Duration::from_mins(5);

/// Changes the kubelet and kubectl.
pub struct UpgradedKubelet;

impl Step for UpgradedKubelet {
    fn id(&self) -> &'static str {
        "upgrade-kubelet"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        format!("change to the kubelet and kubectl {}", inputs.list.kubernetes_version)
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.topology.this().is_node()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        if let Some(reason) = preloaded::pending(context, COMPONENTS)? {
            return needed(reason);
        }
        if flags_to_write(context)?.is_some() {
            return needed(format!("{FLAGS_PATH} has a flag that the new kubelet does not take"));
        }
        if let Check::Needed(reason) = check_running(context)? {
            return needed(reason);
        }
        match unready(context)? {
            Some(reason) => needed(reason),
            None => Ok(Check::Done),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        begin_changing(context)?;
        if let Some(flags) = flags_to_write(context)? {
            context.host.write_file(FLAGS_PATH, flags.as_bytes(), 0o644)?;
        }
        preloaded::put_in_place(context, COMPONENTS)?;
        if check_running(context)? != Check::Done {
            Kubelet.apply(context)?;
        }
        context.progress.detail("waiting for the kubelet to report");
        until(context.progress, "the kubelet to report its version and that the node is ready", REPORTS_WITHIN, || {
            Ok(unready(context)?.map_or(Look::Ready(()), Look::NotYet))
        })
        .context("`journalctl -u kubelet` has its log")
    }
}

/// Whether the running kubelet is the one on the disk, with its configuration.
fn check_running(context: &Context<'_>) -> anyhow::Result<Check> {
    if context.host.runs_replaced(PROGRAM)? {
        return needed(format!("the former {PROGRAM} still runs"));
    }
    Kubelet.check(context)
}

/// Why the node is not ready with the new kubelet.
fn unready(context: &Context<'_>) -> anyhow::Result<Option<String>> {
    let name = context.node_name();
    let api = Kubectl::of(&context.host, context.topology.this());
    if let Err(said) = api.readiness()? {
        return Ok(Some(format!("the API server is not ready: {said}")));
    }
    Ok(match api.list(&["node", &name])? {
        Err(said) => Some(said),
        Ok(node) => not_reported(&node, context.list.kubernetes_version),
    })
}

/// Why this node is not ready, or its kubelet not of this version. If the site brings the network later, a node is not ready before that.
/// Then the kubelet's report of its version is enough, and the last step of the upgrade checks the rest.
#[must_use]
pub fn not_reported(node: &Value, version: KubeVersion) -> Option<String> {
    let found = node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap_or_default();
    if found != format!("v{version}") {
        return Some(format!("its node reports the kubelet {found}"));
    }
    let Some(ready) = ready_condition(node) else {
        return Some("its node does not say yet whether it is ready".to_owned());
    };
    let lacks_network = ready["message"].as_str().is_some_and(|message| message.contains("cni plugin not initialized"));
    (ready["status"] != "True" && !lacks_network).then(|| "its node is not ready yet".to_owned())
}

/// kubeadm's flags without those with which the new kubelet does not start; `None` if they need no change.
fn flags_to_write(context: &Context<'_>) -> anyhow::Result<Option<String>> {
    let text = context.host.read_text(FLAGS_PATH)?;
    Ok(text.and_then(|text| without_removed(&text, context.list.kubernetes_version)))
}

/// The line `KUBELET_KUBEADM_ARGS="…"` without the flags that a kubelet of `version` refuses; `None` if it has none of these.
fn without_removed(text: &str, version: KubeVersion) -> Option<String> {
    let removed = [
        (KUBELET_CONTAINER_RUNTIME, "--container-runtime="),
        (KUBELET_POD_INFRA_IMAGE, "--pod-infra-container-image="),
    ];
    let removed: Vec<_> = removed.iter().filter(|(rule, _)| !rule.holds(version)).map(|(_, flag)| *flag).collect();
    let line = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let words = value.trim().trim_matches('"').split_whitespace();
        let kept: Vec<_> = words.filter(|word| !removed.iter().any(|flag| word.starts_with(flag))).collect();
        Some(format!("{name}=\"{}\"\n", kept.join(" ")))
    };
    if !removed.iter().any(|flag| text.contains(flag)) {
        return None;
    }
    Some(text.lines().map(|found| line(found).unwrap_or_else(|| format!("{found}\n"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kube(text: &str) -> KubeVersion {
        text.parse().unwrap()
    }

    #[test]
    fn flags_go_with_the_kubelet_that_does_not_start_with_them() {
        let written = "KUBELET_KUBEADM_ARGS=\"--container-runtime=remote --container-runtime-endpoint=unix:///run/containerd/containerd.sock \
                       --node-ip=10.0.0.5 --pod-infra-container-image=registry.k8s.io/pause:3.8\"\n";
        assert_eq!(without_removed(written, kube("1.26.15")), None);
        assert_eq!(
            without_removed(written, kube("1.34.10")).unwrap(),
            "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///run/containerd/containerd.sock --node-ip=10.0.0.5 \
             --pod-infra-container-image=registry.k8s.io/pause:3.8\"\n"
        );
        let last = without_removed(written, kube("1.35.4")).unwrap();
        assert_eq!(
            last,
            "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///run/containerd/containerd.sock --node-ip=10.0.0.5\"\n"
        );
        assert_eq!(without_removed(&last, kube("1.36.3")), None);
    }

    #[test]
    fn a_node_is_upgraded_when_it_is_ready_with_the_new_kubelet() {
        let node = |version: &str, status: &str, message: &str| json!({"status": {"nodeInfo": {"kubeletVersion": version}, "conditions": [{"type": "Ready", "status": status, "message": message}]}});
        let said = |node: &Value| not_reported(node, kube("1.36.3"));
        assert_eq!(said(&node("v1.36.3", "True", "")), None);
        assert_eq!(said(&node("v1.35.4", "True", "")).unwrap(), "its node reports the kubelet v1.35.4");
        assert!(said(&node("v1.36.3", "False", "PLEG is not healthy")).is_some());
        assert_eq!(
            said(&node("v1.36.3", "False", "container runtime network not ready: cni plugin not initialized")),
            None
        );
        assert!(said(&json!({})).is_some());
        assert!(said(&json!({"status": {"nodeInfo": {"kubeletVersion": "v1.36.3"}}})).is_some());
    }
}
