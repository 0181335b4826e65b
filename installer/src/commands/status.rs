//! `kinstall status`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use kbundle_format::Role;
use serde::Serialize;
use serde_json::Value;

use crate::cli::{OutputFormat, StatusArguments};
use crate::facts::HostFacts;
use crate::host::{Change, Host, UnitState};
use crate::kubectl::Kubectl;
use crate::plan::STEPS;
use crate::records::Records;
use crate::report::{SCHEMA, print_json, print_text};
use crate::steps::Inputs;
use crate::topology::{Member, Topology};

/// What is installed and how it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    schema: u32,
    healthy: bool,
    /// What the host was set up from; absent where kinstall never got to it.
    installed: Option<Installed>,
    steps: Vec<StepStatus>,
    units: BTreeMap<String, UnitState>,
    /// Units of ours that do not exist any more.
    missing_units: Vec<String>,
    /// The cluster's nodes, or just this host's where it is no control plane; absent where the API cannot be reached, and on a
    /// host that has etcd alone.
    nodes: Option<Vec<Node>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Installed {
    kubernetes_version: String,
    cluster: String,
    list_digest: String,
    signers: Vec<String>,
}

#[derive(Debug, Serialize)]
struct StepStatus {
    id: &'static str,
    state: StepState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum StepState {
    Done,
    CutOff,
    NotBegun,
}

#[derive(Debug, Serialize)]
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
        let (steps, units, missing_units) = Default::default();
        Self { schema: SCHEMA, healthy: false, installed: None, steps, units, missing_units, nodes: None }
    }
}

pub fn status(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let status = look(&Host::local()?)?;
    match arguments.output {
        OutputFormat::Json => print_json(&status)?,
        OutputFormat::Text => print_text(&describe(&status))?,
    }
    Ok(if status.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn look(host: &Host) -> anyhow::Result<Status> {
    let Some(records) = Records::read(host)? else { return Ok(Status::nothing()) };
    let (list, signers) = records.verified_list()?;
    let facts = HostFacts::gather(host)?;
    let topology = Topology::seen_from(records.name.as_deref(), &records.spec, &facts)?;
    let inputs = Inputs { spec: &records.spec, facts: &facts, list: &list, topology: &topology };
    let concerned = STEPS.iter().filter(|(_, step)| step.concerns(&inputs));
    let steps: Vec<_> =
        concerned.map(|(_, step)| StepStatus { id: step.id(), state: step_state(host, step.id()) }).collect();
    let ours = host.ledger().changes().iter().filter_map(|change| match change {
        Change::Unit { name, .. } => Some(name.as_str()),
        _ => None,
    });
    let ours: Vec<_> = ours.collect();
    let units = if ours.is_empty() { BTreeMap::new() } else { host.unit_states(&ours)? };
    let missing_units: Vec<_> =
        ours.iter().filter(|name| !units.contains_key(**name)).map(ToString::to_string).collect();
    let nodes = nodes(host, topology.this())?;
    let healthy = steps.iter().all(|step| step.state == StepState::Done)
        && missing_units.is_empty()
        && units.values().all(UnitState::is_active)
        && match &nodes {
            Some(nodes) => !nodes.is_empty() && nodes.iter().all(|node| node.ready),
            None => !topology.this().is_node(),
        };
    let installed = Installed {
        kubernetes_version: list.kubernetes_version.to_string(),
        cluster: records.spec.name.to_string(),
        list_digest: kbundle_format::Digest::of(&records.list_bytes).to_string(),
        signers: signers.iter().map(ToString::to_string).collect(),
    };
    Ok(Status { schema: SCHEMA, healthy, installed: Some(installed), steps, units, missing_units, nodes })
}

fn step_state(host: &Host, id: &str) -> StepState {
    let on_record = |wanted: &Change| host.ledger().changes().contains(wanted);
    if on_record(&Change::StepDone { step: id.to_owned() }) {
        StepState::Done
    } else if on_record(&Change::StepStarted { step: id.to_owned() }) {
        StepState::CutOff
    } else {
        StepState::NotBegun
    }
}

/// Asks the API server for the nodes, or for the own one on a host that may read no other; `None` where it does not answer,
/// and on a host that is no node.
fn nodes(host: &Host, this: &Member) -> anyhow::Result<Option<Vec<Node>>> {
    if !this.is_node() {
        return Ok(None);
    }
    let own = format!("--field-selector=metadata.name={}", this.name);
    let wanted = if this.has(Role::ControlPlane) { "--request-timeout=5s" } else { own.as_str() };
    let api = Kubectl::of(host, this);
    if api.readiness()?.is_err() {
        return Ok(None);
    }
    Ok(api.get(&["nodes", wanted])?.map(|list| read_nodes(&list)))
}

/// Reads a `v1.NodeList`.
fn read_nodes(list: &Value) -> Vec<Node> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let node = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array();
        let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
        let is_ready = ready.is_some_and(|condition| condition["status"] == "True");
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
    let undone: Vec<_> = status.steps.iter().filter(|step| step.state != StepState::Done).collect();
    let done = status.steps.len() - undone.len();
    lines.push(format!("steps: {done} of {} done", status.steps.len()));
    lines.extend(undone.iter().map(|step| match step.state {
        StepState::CutOff => format!("  {}: cut off; `kinstall run` goes on with it", step.id),
        _ => format!("  {}: not begun", step.id),
    }));
    lines.push("services:".to_owned());
    lines
        .extend(status.units.iter().map(|(name, state)| format!("  {name}: {}, {} at boot", state.active, state.file)));
    lines.extend(status.missing_units.iter().map(|name| format!("  {name}: gone")));
    match &status.nodes {
        None if status.steps.iter().any(|step| step.id == "kubelet") => {
            lines.push("nodes: the API server does not answer".to_owned());
        }
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
    lines.push(if status.healthy { "all is well" } else { "something is not as it should be" }.to_owned());
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

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
