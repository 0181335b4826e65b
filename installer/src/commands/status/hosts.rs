//! The state of all hosts of a cluster, and where they differ from cluster.yaml and from each other's bundle.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use kbundle_cli::output;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::fleet::end_connections_when_interrupted;
use super::{describe_backups, describe_settings};
use crate::cli::OutputFormat;
use crate::config::ClusterSpec;
use crate::config::change::Change;
use crate::failure::FailureReport;
use crate::fleet::{Answers, FleetOptions, read_status};
use crate::host::StepState;
use crate::report::SCHEMA;
use crate::status::Status;

/// How the hosts of a cluster are.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    schema: u32,
    /// Whether every host answered and is healthy.
    healthy: bool,
    hosts: Vec<HostStatus>,
    /// The bundles that hosts were set up from; more than one where hosts differ.
    bundles: Vec<BundleOfHosts>,
}

/// How one of them is.
#[derive(Debug, Serialize, JsonSchema)]
struct HostStatus {
    /// Its name in cluster.yaml.
    host: String,
    /// What it says; absent where it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    /// Why it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// A bundle, and the hosts that were set up from it.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct BundleOfHosts {
    list_digest: String,
    kubernetes_version: String,
    hosts: Vec<String>,
}

pub fn status(
    spec: &ClusterSpec,
    deep: bool,
    options: &FleetOptions,
    output: OutputFormat,
) -> anyhow::Result<ExitCode> {
    let found = ClusterStatus::of(read_status(spec, deep, options, end_connections_when_interrupted)?);
    output::result(output, &found.text(), &found)?;
    Ok(if found.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl ClusterStatus {
    fn of(answers: Answers<Status>) -> Self {
        let hosts: Vec<_> =
            answers.into_iter().map(|(host, answer)| HostStatus::of(host.to_string(), answer)).collect();
        let mut bundles: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for host in &hosts {
            if let Some(installed) = host.status.as_ref().and_then(|status| status.installed.as_ref()) {
                let bundle = (installed.list_digest.clone(), installed.kubernetes_version.clone());
                bundles.entry(bundle).or_default().push(host.host.clone());
            }
        }
        let bundle =
            |((list_digest, kubernetes_version), hosts)| BundleOfHosts { list_digest, kubernetes_version, hosts };
        Self {
            schema: SCHEMA,
            healthy: hosts.iter().all(|host| host.status.as_ref().is_some_and(|status| status.healthy)),
            bundles: bundles.into_iter().map(bundle).collect(),
            hosts,
        }
    }

    /// The differences of all hosts, each once.
    fn settings(&self) -> Vec<Change> {
        let mut all: Vec<Change> = Vec::new();
        for change in self.hosts.iter().filter_map(|host| host.status.as_ref()?.settings.as_ref()).flatten() {
            if !all.contains(change) {
                all.push(change.clone());
            }
        }
        all
    }

    fn text(&self) -> String {
        let mut text: String = self.hosts.iter().map(HostStatus::text).collect();
        // Writing to a string cannot fail.
        match self.bundles.as_slice() {
            [] => {}
            [BundleOfHosts { list_digest, kubernetes_version, .. }] => {
                let _ = writeln!(text, "Kubernetes {kubernetes_version}, from the bundle with list {list_digest}");
            }
            several => {
                text.push_str("hosts were set up from different bundles:\n");
                for BundleOfHosts { list_digest, kubernetes_version, hosts } in several {
                    let _ =
                        writeln!(text, "  {}: Kubernetes {kubernetes_version}, list {list_digest}", hosts.join(", "));
                }
            }
        }
        if !self.bundles.is_empty() {
            let _ = writeln!(text, "{}", describe_settings(&self.settings()));
        }
        let healthy =
            self.hosts.iter().filter(|host| host.status.as_ref().is_some_and(|status| status.healthy)).count();
        let _ = writeln!(text, "{healthy} of {} hosts are healthy", self.hosts.len());
        text
    }
}

impl HostStatus {
    fn of(host: String, answer: Result<Status, FailureReport>) -> Self {
        match answer {
            Ok(status) => Self { host, status: Some(status), failure: None },
            Err(report) => Self { host, status: None, failure: Some(report.error) },
        }
    }

    fn text(&self) -> String {
        let Some(status) = &self.status else {
            return format!("{}: unknown: {}\n", self.host, self.failure.as_deref().unwrap_or_default());
        };
        let word = if status.healthy { "healthy" } else { "not healthy" };
        problems(status).into_iter().fold(format!("{}: {word}\n", self.host), |text, line| format!("{text}  {line}\n"))
    }
}

/// Why a host is not healthy.
fn problems(status: &Status) -> Vec<String> {
    if status.installed.is_none() {
        return vec!["kinstall has not set it up".to_owned()];
    }
    let mut lines = Vec::new();
    lines.extend(
        status
            .upgrade
            .as_ref()
            .map(|upgrade| format!("the upgrade to Kubernetes {} is not finished", upgrade.kubernetes_version)),
    );
    lines.extend(status.steps.iter().filter_map(|step| match step.state {
        StepState::Done => None,
        StepState::CutOff => Some(format!("step {}: interrupted", step.id)),
        StepState::NotBegun => Some(format!("step {}: not begun", step.id)),
    }));
    let stopped = status.units.iter().filter(|(_, state)| !state.is_active());
    lines.extend(stopped.map(|(name, state)| format!("service {name}: {}", state.active)));
    lines.extend(status.missing_units.iter().map(|name| format!("service {name}: gone")));
    lines.extend(status.api_error.as_ref().map(|said| format!("nodes: {}", said.lines().last().unwrap_or_default())));
    let nodes = status.nodes.iter().flatten().filter(|node| !node.ready);
    lines.extend(nodes.map(|node| format!("node {}: not ready", node.name)));
    lines.extend(status.backups.as_ref().filter(|backups| backups.failed).map(describe_backups));
    let faults = status.image_faults.as_deref().unwrap_or_default();
    if !faults.is_empty() {
        lines.push(format!("unpacked images: {} files differ from their layers", faults.len()));
    }
    lines
}
