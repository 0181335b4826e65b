//! `kinstall status`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::process::ExitCode;

use kbundle_cli::output;
use kbundle_format::Role;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::backup::schedule::{self, ScheduledBackups};
use crate::cli::{OutputFormat, StatusArguments};
use crate::host::{Change, Host, StepState, UnitState};
use crate::inputs::OwnedInputs;
use crate::kubectl::{Kubectl, is_ready, ready_condition};
use crate::plan::STEPS;
use crate::records::Records;
use crate::report::SCHEMA;
use crate::steps::images::unpacked::{self, ImageFault};
use crate::topology::Member;
use crate::upgrade::unfinished::{self, Mark};

/// What is installed and how it is.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    schema: u32,
    healthy: bool,
    /// What the host was set up from; absent where kinstall never got to it.
    installed: Option<Installed>,
    /// An upgrade that was begun and is not finished; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    upgrade: Option<UnfinishedUpgrade>,
    steps: Vec<StepStatus>,
    units: BTreeMap<String, UnitState>,
    /// Units that kinstall made and that no longer exist.
    missing_units: Vec<String>,
    /// The cluster's nodes, or just this host's where it is not a control plane; absent if the API server did not list them, and
    /// on a host that has etcd alone.
    nodes: Option<Vec<Node>>,
    /// Why the API server did not list them.
    #[serde(skip_serializing_if = "Option::is_none")]
    api_error: Option<String>,
    /// Regular backups; absent where none are scheduled.
    #[serde(skip_serializing_if = "Option::is_none")]
    backups: Option<ScheduledBackups>,
    /// Files that unpacked images lack; absent where nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    image_faults: Option<Vec<ImageFault>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Installed {
    kubernetes_version: String,
    cluster: String,
    list_digest: String,
    signers: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct UnfinishedUpgrade {
    /// The version of Kubernetes that it upgrades to.
    kubernetes_version: String,
    /// Whether anything that runs was changed yet.
    changes_begun: bool,
    /// Whether it is being rolled back.
    rolling_back: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct StepStatus {
    id: &'static str,
    state: StepState,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Node {
    name: String,
    ready: bool,
    /// What its condition says when it is not ready.
    message: Option<String>,
    kubelet_version: String,
}

impl Status {
    /// Of a host that kinstall has not set up.
    fn nothing() -> Self {
        Self { schema: SCHEMA, ..Self::default() }
    }
}

pub fn status(arguments: &StatusArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let host = Host::local()?;
    let mut status = look(&host)?;
    if arguments.deep {
        let faults = unpacked::faults(&host)?;
        status.healthy &= faults.is_empty();
        status.image_faults = Some(faults);
    }
    output::result(output, &describe(&status), &status)?;
    Ok(if status.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn look(host: &Host) -> anyhow::Result<Status> {
    let Some(records) = Records::read(host)? else { return Ok(Status::nothing()) };
    let (list, signers) = records.verified_list()?;
    let gathered =
        OwnedInputs::gather(host, Cow::Borrowed(&records.spec), records.name.as_deref(), Cow::Borrowed(&list))?;
    let inputs = gathered.inputs();
    let concerned = STEPS.iter().filter(|(_, step)| step.concerns(&inputs));
    let steps: Vec<_> =
        concerned.map(|(_, step)| StepStatus { id: step.id(), state: host.ledger().state_of(step.id()) }).collect();
    let ours = host.ledger().changes().iter().filter_map(|change| match change {
        Change::Unit { name, .. } => Some(name.as_str()),
        _ => None,
    });
    let backups = schedule::look(host)?;
    // A timer that was stopped by hand is not missed.
    let ours: Vec<_> = ours.filter(|name| backups.is_some() || *name != schedule::TIMER).collect();
    let units = if ours.is_empty() { BTreeMap::new() } else { host.unit_states(&ours)? };
    let missing_units: Vec<_> =
        ours.iter().filter(|name| !units.contains_key(**name)).map(ToString::to_string).collect();
    let (nodes, api_error) = match nodes(host, inputs.topology.this())? {
        Ok(nodes) => (nodes, None),
        Err(said) => (None, Some(said)),
    };
    let upgrade = unfinished_upgrade(host)?;
    let healthy = upgrade.is_none()
        && steps.iter().all(|step| step.state == StepState::Done)
        && missing_units.is_empty()
        && units.values().all(UnitState::is_active)
        && backups.as_ref().is_none_or(|backups| !backups.failed)
        && match &nodes {
            Some(nodes) => !nodes.is_empty() && nodes.iter().all(|node| node.ready),
            None => !inputs.topology.this().is_node(),
        };
    let installed = Installed {
        kubernetes_version: list.kubernetes_version.to_string(),
        cluster: records.spec.name.to_string(),
        list_digest: kbundle_format::Digest::of(&records.list_bytes).to_string(),
        signers: signers.iter().map(ToString::to_string).collect(),
    };
    let installed = Some(installed);
    Ok(Status {
        schema: SCHEMA,
        healthy,
        installed,
        upgrade,
        steps,
        units,
        missing_units,
        nodes,
        api_error,
        backups,
        image_faults: None,
    })
}

fn unfinished_upgrade(host: &Host) -> anyhow::Result<Option<UnfinishedUpgrade>> {
    let Some(target) = unfinished::target(host)? else { return Ok(None) };
    let (list, _) = target.verified_list()?;
    let kubernetes_version = list.kubernetes_version.to_string();
    let (changes_begun, rolling_back) =
        (unfinished::has(host, Mark::Changing)?, unfinished::has(host, Mark::RollingBack)?);
    Ok(Some(UnfinishedUpgrade { kubernetes_version, changes_begun, rolling_back }))
}

/// Asks the API server for the nodes, or for the own one on a host that may read no other; `None` on a host that is not a node. If
/// it does not tell them, what is said: it is not up yet, or an earlier run of kubeadm ended before it gave the administrator rights.
fn nodes(host: &Host, this: &Member) -> anyhow::Result<Result<Option<Vec<Node>>, String>> {
    if !this.is_node() {
        return Ok(Ok(None));
    }
    let own = format!("--field-selector=metadata.name={}", this.name);
    let wanted = if this.has(Role::ControlPlane) { "--request-timeout=5s" } else { own.as_str() };
    let api = Kubectl::of(host, this);
    if let Err(said) = api.readiness()? {
        return Ok(Err(said));
    }
    Ok(api.list(&["nodes", wanted])?.map(|list| Some(read_nodes(&list))))
}

/// Reads a `v1.NodeList`.
fn read_nodes(list: &Value) -> Vec<Node> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let node = |node: &Value| {
        let ready = ready_condition(node);
        let is_ready = is_ready(node);
        Node {
            name: text(&node["metadata"]["name"]),
            ready: is_ready,
            message: ready.filter(|_| !is_ready).map(|condition| text(&condition["message"])),
            kubelet_version: text(&node["status"]["nodeInfo"]["kubeletVersion"]),
        }
    };
    list["items"].as_array().into_iter().flatten().map(node).collect()
}

fn describe(status: &Status) -> String {
    let Some(installed) = &status.installed else {
        return "kinstall has not set up this host\n".to_owned();
    };
    let mut lines = vec![
        format!("cluster {}, Kubernetes {}", installed.cluster, installed.kubernetes_version),
        format!("from the bundle with list {}", installed.list_digest),
        format!("signed by {}", installed.signers.join(" and ")),
    ];
    lines.extend(status.upgrade.as_ref().map(|upgrade| {
        if upgrade.rolling_back {
            let version = &upgrade.kubernetes_version;
            return format!("upgrade to Kubernetes {version}: being rolled back; `kinstall rollback` finishes that");
        }
        let how_far = if upgrade.changes_begun { "begun" } else { "prepared; nothing that runs was changed yet" };
        let version = &upgrade.kubernetes_version;
        format!("upgrade to Kubernetes {version}: {how_far}; `kinstall upgrade` with the same bundle finishes it")
    }));
    let undone: Vec<_> = status.steps.iter().filter(|step| step.state != StepState::Done).collect();
    let done = status.steps.len() - undone.len();
    lines.push(format!("steps: {done} of {} done", status.steps.len()));
    lines.extend(undone.iter().map(|step| match step.state {
        StepState::CutOff => format!("  {}: interrupted; `kinstall run` resumes it", step.id),
        _ => format!("  {}: not begun", step.id),
    }));
    lines.push("services:".to_owned());
    lines
        .extend(status.units.iter().map(|(name, state)| format!("  {name}: {}, {} at boot", state.active, state.file)));
    lines.extend(status.missing_units.iter().map(|name| format!("  {name}: gone")));
    if let Some(said) = &status.api_error {
        lines.push(format!("nodes: the API server did not list them: {}", said.lines().last().unwrap_or_default()));
    }
    match &status.nodes {
        None => {}
        Some(nodes) => {
            lines.push("nodes:".to_owned());
            lines.extend(nodes.iter().map(|node| match &node.message {
                None if node.ready => format!("  {} {}: ready", node.name, node.kubelet_version),
                None => format!("  {} {}: not ready", node.name, node.kubelet_version),
                Some(message) => format!("  {} {}: not ready: {message}", node.name, node.kubelet_version),
            }));
        }
    }
    lines.extend(status.backups.as_ref().map(describe_backups));
    match status.image_faults.as_deref() {
        None => {}
        Some([]) => lines.push("unpacked images: whole".to_owned()),
        Some(faults) => {
            lines.push(format!("unpacked images: {} files differ from their layers", faults.len()));
            lines.extend(faults.iter().map(|fault| format!("  {fault}")));
        }
    }
    lines.push(
        if status.healthy { "everything is healthy" } else { "something differs from what kinstall writes" }.to_owned(),
    );
    lines.join("\n") + "\n"
}

fn describe_backups(backups: &ScheduledBackups) -> String {
    let last = backups.last.as_ref().map_or_else(
        || "none was written yet".to_owned(),
        |last| format!("the last is {}, begun at {}", last.file.display(), last.created),
    );
    let failed = if backups.failed { "the last try failed, `journalctl -u kinstall-backup` says why; " } else { "" };
    format!("backups: {failed}{last}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, bench::Bench};

    /// From 1.29 on an API server that is ready may know the administrator and let it do nothing.
    #[test]
    fn an_administrator_without_rights_is_no_failure_and_the_step_is_cut_off() {
        const FORBIDDEN: &str =
            "fails: Error from server (Forbidden): nodes is forbidden: User \"kubernetes-admin\" cannot list resource";
        let bench = Bench::with_programs(|_, command| {
            command.arguments.contains(&"nodes".to_owned()).then(|| FORBIDDEN.to_owned())
        });
        bench.file("etc/kubernetes/admin.conf", "");
        let topology = fixture::topology();
        let said = nodes(&bench.host(), topology.this()).unwrap().unwrap_err();
        let cut_off = StepStatus { id: "control-plane", state: StepState::CutOff };
        let installed = Installed {
            kubernetes_version: "1.36.3".into(),
            cluster: "try".into(),
            list_digest: "sha256:0".into(),
            signers: vec!["key".into()],
        };
        let status =
            Status { installed: Some(installed), steps: vec![cut_off], api_error: Some(said), ..Status::nothing() };
        insta::assert_snapshot!(describe(&status), @r#"
        cluster try, Kubernetes 1.36.3
        from the bundle with list sha256:0
        signed by key
        steps: 0 of 1 done
          control-plane: interrupted; `kinstall run` resumes it
        services:
        nodes: the API server did not list them: Error from server (Forbidden): nodes is forbidden: User "kubernetes-admin" cannot list resource
        something differs from what kinstall writes
        "#);
    }

    #[test]
    fn a_backup_that_failed_is_told_with_the_last_that_did_not() {
        let last = schedule::LastBackup { file: "/srv/a.backup".into(), created: "2026-11-27T12:00:00Z".into() };
        let told = |failed, last| describe_backups(&ScheduledBackups { failed, last });
        assert_eq!(told(false, None), "backups: none was written yet");
        insta::assert_snapshot!(told(true, Some(last)), @"backups: the last try failed, `journalctl -u kinstall-backup` says why; the last is /srv/a.backup, begun at 2026-11-27T12:00:00Z");
    }

    #[test]
    fn a_node_is_ready_only_when_it_says_so() {
        let list = serde_json::json!({"items": [
            {"metadata": {"name": "a"}, "status": {"nodeInfo": {"kubeletVersion": "v1.25.2"}, "conditions": [
                {"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True", "message": "posting"}]}},
            {"metadata": {"name": "b"}, "status": {"conditions": [
                {"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."}]}},
            {"metadata": {"name": "c"}},
        ]});
        insta::assert_debug_snapshot!(read_nodes(&list), @r#"
        [
            Node {
                name: "a",
                ready: true,
                message: None,
                kubelet_version: "v1.25.2",
            },
            Node {
                name: "b",
                ready: false,
                message: Some(
                    "Kubelet stopped posting node status.",
                ),
                kubelet_version: "",
            },
            Node {
                name: "c",
                ready: false,
                message: None,
                kubelet_version: "",
            },
        ]
        "#);
    }
}
