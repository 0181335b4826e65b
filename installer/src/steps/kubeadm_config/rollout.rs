//! Puts changed settings into effect on an existing control plane. It compares kubeadm's configuration on the host with the wanted one,
//! records the work, and changes one program after another, each only when the one before is healthy.
//!
//! It works from the files on the host and not from its record of cluster.yaml, so that the next run completes one that was cut off anywhere.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use serde_yaml::{Mapping, Value};

use super::pending::{Pending, Upload};
use super::{files, stale_patches, write};
use crate::certificates::aside;
use crate::failure::Advise;
use crate::host::unfinished::UnfinishedWork as _;
use crate::kubeadm::{self, CONFIG_PATH, PATCHES_DIRECTORY};
use crate::kubectl::Kubectl;
use crate::static_pods::{self, StaticPod};
use crate::steps::Context;
use crate::steps::workloads::workload_unready;
use crate::wait::{Look, until};

const HINT: &str = "correct cluster.yaml or put the former value back, then run the same command again; \
                    `crictl ps -a` and `crictl logs` on this host show why a program does not start";
/// kube-proxy has a pod on every host; they restart one after another.
const KUBE_PROXY_WITHIN: std::time::Duration = std::time::Duration::from_mins(10);
const CLUSTER: &str = "ClusterConfiguration";
/// Parts of [`CLUSTER`] that become static pods, with kubeadm's phase for each.
const PODS: [(&str, StaticPod, &str); 3] = [
    ("apiServer", StaticPod::KubeApiserver, "apiserver"),
    ("controllerManager", StaticPod::KubeControllerManager, "controller-manager"),
    ("scheduler", StaticPod::KubeScheduler, "scheduler"),
];

/// Puts the settings of cluster.yaml into effect on this control plane.
pub fn roll_out(context: &mut Context<'_>) -> anyhow::Result<()> {
    let mut pending = Pending::read(&context.host)?.and(differences(context)?);
    // First of all, so that the next run completes one that is cut off.
    pending.keep(&context.host)?;
    write(context)?;
    pending.begun = false;
    pending.keep(&context.host)?;
    finish(context, pending).hint(HINT)
}

/// The work that follows from the differences between the files on the host and the wanted files.
fn differences(context: &Context<'_>) -> anyhow::Result<Pending> {
    let wanted = kubeadm::configuration(context)?;
    let mut pending = match context.host.read_text(CONFIG_PATH)? {
        Some(found) => compare(&found, &wanted)?,
        None => compare("", &wanted)?,
    };
    for file in files(context)?.iter().filter(|file| file.path != CONFIG_PATH) {
        if !context.host.has_file(&file.path, file.content.as_bytes(), file.mode)? {
            pending.pods.insert(reader_of(&file.path));
        }
    }
    pending.pods.extend(stale_patches(context)?.iter().map(|path| reader_of(path)));
    pending.kube_proxy &= context.leads();
    Ok(pending)
}

/// The program that reads a file of a control plane.
fn reader_of(path: &str) -> StaticPod {
    let patch = path.strip_prefix(PATCHES_DIRECTORY).map(|name| name.trim_start_matches('/'));
    let of_patch = patch.and_then(|name| PODS.iter().find(|(_, pod, _)| name.starts_with(pod.as_str())));
    of_patch.map_or(StaticPod::KubeApiserver, |(_, pod, _)| *pod)
}

/// The work if kubeadm's configuration was `found` and is now `wanted`.
///
/// # Errors
/// When they differ in something that a run does not change. The rules of cluster.yaml refuse such a change earlier, so somebody else wrote
/// the file.
fn compare(found: &str, wanted: &str) -> anyhow::Result<Pending> {
    let is_lost = found.trim().is_empty();
    let [mut found, mut wanted] = [documents(found)?, documents(wanted)?];
    let mut pending = Pending::default();
    let [mut before, mut after] =
        [&mut found, &mut wanted].map(|documents| documents.remove(CLUSTER).unwrap_or_default());
    let [names_before, names_after] = [&mut before, &mut after].map(take_names);
    pending.certificate = names_before != names_after;
    pending.names_gone = &names_before - &names_after;
    for (key, pod, _) in PODS {
        if before.remove(key) != after.remove(key) {
            pending.pods.insert(pod);
        }
    }
    // Members of etcd come and go; the step of the control plane updates them.
    for configuration in [&mut before, &mut after] {
        remove_endpoints(configuration);
    }
    if pending.certificate {
        pending.pods.insert(StaticPod::KubeApiserver);
    }
    if !pending.pods.is_empty() {
        pending.uploads.insert(Upload::Kubeadm);
    }
    if found.remove("KubeletConfiguration") != wanted.remove("KubeletConfiguration") {
        pending.uploads.insert(Upload::Kubelet);
    }
    pending.kube_proxy = found.remove("KubeProxyConfiguration") != wanted.remove("KubeProxyConfiguration");
    found.insert(CLUSTER.to_owned(), before);
    wanted.insert(CLUSTER.to_owned(), after);
    if let Some(kind) = wanted.keys().find(|kind| found.get(*kind) != wanted.get(*kind))
        && !is_lost
    {
        let key = first_difference(&found.remove(kind).unwrap_or_default(), &wanted[kind]);
        bail!("{CONFIG_PATH} is not as kinstall wrote it: {key} of {kind} differs, which a run does not change");
    }
    Ok(pending)
}

/// The documents of a file by their kinds.
fn documents(text: &str) -> anyhow::Result<BTreeMap<String, Mapping>> {
    let mut found = BTreeMap::new();
    for document in text.split("---\n").filter(|document| !document.trim().is_empty()) {
        let document: Mapping =
            serde_yaml::from_str(document).with_context(|| format!("while reading {CONFIG_PATH}"))?;
        let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        found.insert(kind, document);
    }
    Ok(found)
}

fn take_names(configuration: &mut Mapping) -> BTreeSet<String> {
    let names =
        configuration.get_mut("apiServer").and_then(Value::as_mapping_mut).and_then(|api| api.remove("certSANs"));
    names.iter().filter_map(Value::as_sequence).flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn remove_endpoints(configuration: &mut Mapping) -> Option<Value> {
    configuration.get_mut("etcd")?.as_mapping_mut()?.get_mut("external")?.as_mapping_mut()?.remove("endpoints")
}

fn first_difference(found: &Mapping, wanted: &Mapping) -> String {
    let keys = wanted.keys().chain(found.keys());
    let key = keys.filter(|key| found.get(*key) != wanted.get(*key)).find_map(Value::as_str);
    format!("`{}`", key.unwrap_or("kind"))
}

/// Does the `pending` work.
///
/// # Errors
/// The first error. The rest waits for the next run.
fn finish(context: &mut Context<'_>, mut pending: Pending) -> anyhow::Result<()> {
    if pending.certificate {
        context.progress.detail("renewing the API server's certificate");
        aside::remake_apiserver(&mut context.host, &pending.names_gone)
            .context("cannot renew the API server's certificate")?;
        pending.certificate = false;
        pending.names_gone.clear();
        pending.keep(&context.host)?;
    }
    for (_, pod, phase) in PODS {
        if pending.pods.contains(&pod) {
            remake(context, pod, phase)?;
            pending.pods.remove(&pod);
            pending.keep(&context.host)?;
        }
    }
    for upload in pending.uploads.clone() {
        context.kubeadm().upload(upload.as_str()).with_context(|| {
            format!("cannot keep the settings in the cluster (ConfigMap {}-config)", upload.as_str())
        })?;
        pending.uploads.remove(&upload);
        pending.keep(&context.host)?;
    }
    if pending.kube_proxy {
        renew_kube_proxy(context)?;
        pending.kube_proxy = false;
        pending.keep(&context.host)?;
    }
    Ok(())
}

fn remake(context: &mut Context<'_>, pod: StaticPod, phase: &str) -> anyhow::Result<()> {
    let (inputs, progress) = (context.inputs, context.progress);
    progress.detail(&format!("restarting {} with other settings", pod.as_str()));
    let kubeadm = context.kubeadm();
    let written = static_pods::remake(kubeadm.host, &inputs, pod, progress, || kubeadm.write_static_pod(phase));
    written.with_context(|| format!("{} is not healthy with the new settings", pod.as_str()))
}

fn renew_kube_proxy(context: &mut Context<'_>) -> anyhow::Result<()> {
    context.progress.detail("giving kube-proxy another configuration");
    context.kubeadm().renew_kube_proxy().context("cannot give kube-proxy another configuration")?;
    let api = Kubectl::on(&context.host);
    api.run(&["--namespace=kube-system", "rollout", "restart", "daemonset/kube-proxy"])?;
    context.progress.detail("waiting for kube-proxy on every host");
    until(context.progress, "kube-proxy to run on every host", KUBE_PROXY_WITHIN, || {
        let found = api.list(&["--namespace=kube-system", "daemonset", "kube-proxy"])?;
        Ok(match found.map(|set| not_rolled_out(&set)) {
            Ok(None) => Look::Ready(()),
            Ok(Some(state)) | Err(state) => Look::NotYet(state),
        })
    })
}

/// Why not every pod of a `DaemonSet` has its present configuration. Pods with the former configuration are ready as well.
fn not_rolled_out(set: &serde_json::Value) -> Option<String> {
    let number = |key: &str| set["status"][key].as_u64().unwrap_or(0);
    let (wanted, renewed) = (number("desiredNumberScheduled"), number("updatedNumberScheduled"));
    let former = || (renewed < wanted).then(|| format!("{renewed} of {wanted} pods have the new configuration"));
    workload_unready(set, &[]).or_else(former)
}

#[cfg(test)]
mod tests;
