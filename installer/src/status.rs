//! The state of a host that kinstall set up: its steps, services and nodes, an unfinished upgrade, and where a cluster.yaml differs from
//! the one that it was set up from. Changes nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kbundle_format::{BundleList, KeyId, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backup::schedule::{self, ScheduledBackups};
use crate::config::ClusterSpec;
use crate::config::change::Change;
use crate::host::{self, Host, StepState, UnitState};
use crate::inputs::OwnedInputs;
use crate::kubectl::{Kubectl, is_ready, ready_condition};
use crate::plan::STEPS;
use crate::records::Records;
use crate::report::SCHEMA;
use crate::steps::images::unpacked::{self, ImageFault};
use crate::topology::Member;
use crate::upgrade::unfinished::{self, Mark};

/// What is installed and how it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub(crate) schema: u32,
    pub(crate) healthy: bool,
    /// What the host was set up from; absent where kinstall never got to it.
    pub(crate) installed: Option<Installed>,
    /// An upgrade that was begun and is not finished; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upgrade: Option<UnfinishedUpgrade>,
    pub(crate) steps: Vec<StepStatus>,
    pub(crate) units: BTreeMap<String, UnitState>,
    /// Units that kinstall made and that no longer exist.
    pub(crate) missing_units: Vec<String>,
    /// The cluster's nodes, or just this host's where it is not a control plane; absent if the API server did not list them, and
    /// on a host that has etcd alone.
    pub(crate) nodes: Option<Vec<Node>>,
    /// Why the API server did not list them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_error: Option<String>,
    /// Regular backups; absent where none are scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) backups: Option<ScheduledBackups>,
    /// Files that unpacked images lack; absent where nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image_faults: Option<Vec<ImageFault>>,
    /// In what the cluster.yaml that was given differs from what the host was set up from, and what `kinstall run` would make of it; absent where
    /// none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<Vec<Change>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Installed {
    pub(crate) kubernetes_version: String,
    pub(crate) cluster: String,
    pub(crate) list_digest: String,
    pub(crate) signers: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnfinishedUpgrade {
    /// The version of Kubernetes that it upgrades to.
    pub(crate) kubernetes_version: String,
    /// Whether anything that runs was changed yet.
    pub(crate) changes_begun: bool,
    /// Whether it is being rolled back.
    pub(crate) rolling_back: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct StepStatus {
    pub(crate) id: String,
    pub(crate) state: StepState,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) ready: bool,
    /// What its condition says when it is not ready.
    pub(crate) message: Option<String>,
    pub(crate) kubelet_version: String,
}

impl Status {
    /// The state of this host. `wanted` is its description in cluster.yaml, if one was given; `deep` also compares unpacked images.
    ///
    /// # Errors
    /// When the host's own records or services cannot be read.
    pub fn read(host: &Host, wanted: Option<&ClusterSpec>, deep: bool) -> anyhow::Result<Self> {
        let mut status = match Records::read(host)? {
            None => Self::nothing(),
            Some(records) => {
                let (list, signers) = records.verified_list()?;
                let settings = wanted.map(|spec| records.changes_to(&spec.with_network_of(&list)));
                Self { settings, ..look(host, &records, &list, &signers)? }
            }
        };
        if deep {
            let faults = unpacked::faults(host)?;
            status.healthy &= faults.is_empty();
            status.image_faults = Some(faults);
        }
        Ok(status)
    }

    /// The state of a host that kinstall has not set up.
    pub(crate) fn nothing() -> Self {
        Self { schema: SCHEMA, ..Self::default() }
    }
}

fn look(host: &Host, records: &Records, list: &BundleList, signers: &[KeyId]) -> anyhow::Result<Status> {
    let gathered =
        OwnedInputs::gather(host, Cow::Borrowed(&records.spec), records.name.as_deref(), Cow::Borrowed(list))?;
    let inputs = gathered.inputs();
    let concerned = STEPS.iter().filter(|(_, step)| step.concerns(&inputs));
    let steps: Vec<_> = concerned
        .map(|(_, step)| StepStatus { id: step.id().to_owned(), state: host.ledger().state_of(step.id()) })
        .collect();
    let ours = host.ledger().changes().iter().filter_map(|change| match change {
        host::Change::Unit { name, .. } => Some(name.as_str()),
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
        settings: None,
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

/// Asks the API server for the nodes, or on a host that may read no others for its own; `None` on a host that is not a node. If the API
/// server does not return them, the result is its message: it is not up yet, or an earlier run of kubeadm ended before it gave the
/// administrator rights.
pub(crate) fn nodes(host: &Host, this: &Member) -> anyhow::Result<Result<Option<Vec<Node>>, String>> {
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
pub(crate) fn read_nodes(list: &Value) -> Vec<Node> {
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
