//! The control plane, by `kubeadm init` on the first host and `kubeadm join` on others. kubeadm's phases can be repeated, so
//! that a run that was cut off is completed by the next; only its preflight has to be told that what it finds is its own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use fs_err as fs;

use kbundle_format::Role;

use super::{Check, Context, Inputs, Step, join, needed};
use crate::facts::CgroupVersion;
use crate::host::{Command, Host};
use crate::kubeadm::images::ClusterImages;
use crate::kubeadm::{CONFIG_PATH, MANIFESTS, etcd_endpoints};
use crate::kubectl::Kubectl;
use crate::version_rules::kubernetes::CGROUP_V1_REFUSED;
use crate::wait::{Look, until};

const ID: &str = "control-plane";
pub(super) const KUBEADM: &str = "/usr/local/bin/kubeadm";
/// Its own wait for the API server is four minutes.
const KUBEADM_ENDS_WITHIN: Duration = Duration::from_mins(5);
const PKI: &str = "/etc/kubernetes/pki";
/// What kubeadm marks the node of a control plane with.
const NODE_LABEL: &str = "node-role.kubernetes.io/control-plane";
const STATIC_PODS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
/// After kubeadm has seen the API server healthy; and after a boot of the host, its image being there.
const API_READY_WITHIN: Duration = Duration::from_mins(2);

/// See the module.
pub struct ControlPlane;

impl Step for ControlPlane {
    fn id(&self) -> &'static str {
        ID
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let act = if inputs.leads() { "set up the control plane" } else { "join the control plane" };
        format!("{act} with kubeadm {}", inputs.list.kubernetes_version)
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.has(Role::ControlPlane)
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        if let Some(manifest) = STATIC_PODS.map(manifest_path).iter().find(|path| !context.host.exists(path)) {
            return needed(format!("{manifest} is not there"));
        }
        if let Err(said) = wait_for_api(context)? {
            return needed(format!("the API server is not ready: {said}"));
        }
        let api = Kubectl::on(&context.host);
        for object in objects(context)? {
            if !api.has(&["--namespace=kube-system", object])? {
                return needed(format!("{object} is not there"));
            }
        }
        let name = context.node_name();
        let node = api.get(&["node", &name])?;
        if node.is_none_or(|node| node["metadata"]["labels"][NODE_LABEL].is_null()) {
            return needed(format!("{name} is not known as a control plane"));
        }
        if !asks_every_etcd_member(context)? {
            return needed("the API server does not know every member of etcd");
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        if is_set_up(&context.host) && !asks_every_etcd_member(context)? {
            return tell_etcd_members(context);
        }
        if context.leads() {
            init(context)?;
        } else {
            join::join(context)?;
            wait_for_own_api(context)?;
        }
        // A run before may have been cut off, and members have come or gone since.
        if asks_every_etcd_member(context)? { Ok(()) } else { tell_etcd_members(context) }
    }
}

/// Waits for the API server of this host. Until it answers, every request from here meets it first and fails.
fn wait_for_own_api(context: &Context<'_>) -> anyhow::Result<()> {
    let api = Kubectl::on(&context.host);
    let server = format!("https://{}", SocketAddr::new(context.address(), context.spec.api.port));
    context.progress.detail("waiting for this host's API server");
    until("the API server of this host", API_READY_WITHIN, || {
        Ok(match api.readiness_at(&server)? {
            Ok(()) => Look::Ready(()),
            Err(said) => Look::NotYet(said),
        })
    })
}

fn init(context: &Context<'_>) -> anyhow::Result<()> {
    let has_dns = has_coredns(context)?;
    if !has_dns {
        tracing::warn!("the bundle has no CoreDNS image: the cluster gets no DNS");
    }
    context.progress.detail("waiting for a kubeadm that a run before left behind");
    wait_for_kubeadm(&context.host)?;
    remove_half_written(&context.host)?;
    let mut arguments = vec!["init".to_owned(), format!("--config={CONFIG_PATH}")];
    arguments.extend(kubeadm_ignoring(&ignored_preflight_errors(context, &context.host)?));
    if !has_dns {
        arguments.push("--skip-phases=addon/coredns".to_owned());
    }
    context.progress.detail("kubeadm init");
    let command = Command::new(KUBEADM, arguments);
    context.host.run(&command).context("while setting up the control plane; `journalctl -u kubelet` may say more")?;
    Ok(())
}

/// The flag by which kubeadm lets such findings of its preflight pass.
pub(super) fn kubeadm_ignoring(errors: &[String]) -> Option<String> {
    (!errors.is_empty()).then(|| format!("--ignore-preflight-errors={}", errors.join(",")))
}

/// Whether the API server of this host is told of just the members of etcd that there are.
fn asks_every_etcd_member(context: &Context<'_>) -> anyhow::Result<bool> {
    let manifest = context.host.read_text(&manifest_path("kube-apiserver"))?.unwrap_or_default();
    let flag = format!("- --etcd-servers={}", etcd_endpoints(context).join(","));
    Ok(manifest.lines().any(|line| line.trim() == flag))
}

/// Tells the API server, and whoever joins later, which members etcd has now. The kubelet starts the API server anew.
fn tell_etcd_members(context: &Context<'_>) -> anyhow::Result<()> {
    let configuration = format!("--config={CONFIG_PATH}");
    for phase in [["control-plane", "apiserver"], ["upload-config", "kubeadm"]] {
        let arguments = ["init", "phase"].into_iter().chain(phase).chain([configuration.as_str()]);
        context.host.run(&Command::new(KUBEADM, arguments))?;
    }
    wait_for_api(context)?.map_err(|said| anyhow::anyhow!("the API server did not come back: {said}"))
}

/// A run that was killed leaves its kubeadm running; two at once would trip over each other.
pub(super) fn wait_for_kubeadm(host: &Host) -> anyhow::Result<()> {
    until("another kubeadm on this host to end", KUBEADM_ENDS_WITHIN, || {
        let running = running(host, KUBEADM)?;
        Ok(running.map_or(Look::Ready(()), |process| Look::NotYet(format!("process {process} runs"))))
    })
}

/// A process that runs the program at this path.
fn running(host: &Host, program: &str) -> anyhow::Result<Option<String>> {
    for process in fs::read_dir(host.path("/proc"))? {
        let process = process?;
        // Anything else in /proc, and a process that ended meanwhile, has no program.
        if fs::read_link(process.path().join("exe")).is_ok_and(|found| found == Path::new(program)) {
            return Ok(Some(process.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// Whether the control plane of this host was completed once.
#[must_use]
pub fn is_set_up(host: &Host) -> bool {
    host.ledger().is_done(ID)
}

/// What kubeadm makes last, and what nothing works without.
fn objects(inputs: &Inputs<'_>) -> anyhow::Result<Vec<&'static str>> {
    let mut objects = vec!["configmap/kubeadm-config", "daemonset/kube-proxy"];
    if has_coredns(inputs)? {
        objects.push("deployment/coredns");
    }
    Ok(objects)
}

fn has_coredns(inputs: &Inputs<'_>) -> anyhow::Result<bool> {
    Ok(ClusterImages::find(inputs.list, &inputs.facts.platform)?.coredns.is_some())
}

/// Waits for an API server that was set up and starts now, as after a boot; not for one that was never set up.
fn wait_for_api(context: &Context<'_>) -> anyhow::Result<Result<(), String>> {
    let api = Kubectl::on(&context.host);
    if !is_set_up(&context.host) {
        return api.readiness();
    }
    let ready = until("the API server", API_READY_WITHIN, || {
        Ok(match api.readiness()? {
            Ok(()) => Look::Ready(()),
            Err(said) => Look::NotYet(said),
        })
    });
    Ok(ready.map_err(|error| error.to_string()))
}

fn manifest_path(name: &str) -> String {
    format!("{MANIFESTS}/{name}.yaml")
}

/// What kubeadm's preflight would find of our own making, by kubeadm's names; never `all`.
pub(super) fn ignored_preflight_errors(inputs: &Inputs<'_>, host: &Host) -> anyhow::Result<Vec<String>> {
    let mut ignored: Vec<_> = STATIC_PODS
        .iter()
        .filter(|name| host.exists(&manifest_path(name)))
        .map(|name| format!("FileAvailable--etc-kubernetes-manifests-{name}.yaml"))
        .collect();
    if !ignored.is_empty() || host.unit_state(super::kubelet::UNIT)?.is_some_and(|state| state.is_active()) {
        // The API server's port, and those of scheduler, controller manager and kubelet.
        ignored.extend([inputs.spec.api.port, 10259, 10257, 10250].map(|port| format!("Port-{port}")));
    }
    if inputs.facts.cgroups.version == CgroupVersion::V1 && CGROUP_V1_REFUSED.holds(inputs.list.kubernetes_version) {
        ignored.push("SystemVerification".to_owned());
    }
    Ok(ignored)
}

/// Removes certificates and keys of kubeadm's that a run that was cut off left empty or without their other half: kubeadm
/// takes what is there for the administrator's own and fails on it.
pub(super) fn remove_half_written(host: &Host) -> anyhow::Result<()> {
    if is_set_up(host) || !host.exists(PKI) {
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(host.path(PKI))? {
        let entry = entry?;
        if entry.metadata()?.is_file() {
            names.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()));
        }
    }
    for name in half_written(&names) {
        tracing::info!(%name, "removed half of a certificate and its key, to be made anew");
        fs::remove_file(host.path(&format!("{PKI}/{name}")))?;
    }
    Ok(())
}

/// Of files with their sizes, those that are empty and those whose other half is missing or empty.
fn half_written(files: &[(String, u64)]) -> Vec<&str> {
    let whole = |name: &str| files.iter().any(|(found, size)| found == name && *size > 0);
    let other_half = |name: &str| {
        let (stem, extension) = name.rsplit_once('.')?;
        match (stem, extension) {
            ("sa", "key") => Some("sa.pub".to_owned()),
            ("sa", "pub") => Some("sa.key".to_owned()),
            (_, "key") => Some(format!("{stem}.crt")),
            (_, "crt") => Some(format!("{stem}.key")),
            _ => None,
        }
    };
    let is_half = |name: &str| other_half(name).is_some_and(|other| !whole(name) || !whole(&other));
    files.iter().map(|(name, _)| name.as_str()).filter(|name| is_half(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_pairs_are_found() {
        let file = |name: &str, size| (name.to_owned(), size);
        let files = [
            file("ca.key", 1), // without ca.crt
            file("apiserver.key", 1),
            file("apiserver.crt", 0),
            file("sa.key", 1),
            file("sa.pub", 1),
            file("front-proxy-ca.crt", 1),
            file("front-proxy-ca.key", 1),
            file("README", 0),
        ];
        assert_eq!(half_written(&files), ["ca.key", "apiserver.key", "apiserver.crt"]);
    }
}
