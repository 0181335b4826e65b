//! `kbundle check`, and the same check before a build.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use kbundle_cli::failure::Advise as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::yaml::Positions;
use kbundle_cluster::check::{Unmet, check};
use kbundle_cluster::config::ClusterSpec;
use kbundle_cluster::contents::BundleContents;
use kbundle_commands::input::{Asked, Input};
use kbundle_format::shell::word;
use kbundle_format::text_file;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::CheckArgs;

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClusterCheck")]
pub struct Report {
    schema: u32,
    bundle: String,
    #[serde(flatten)]
    findings: Findings,
}

/// What a cluster misses in a bundle. Stands beside `error` where it refuses.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClusterNeeds")]
pub struct Findings {
    /// The file that describes the cluster.
    cluster: String,
    /// Whether the bundle has everything.
    complete: bool,
    missing: Vec<Missing>,
    /// Hosts without `arch` in cluster.yaml: each was checked for every platform of the bundle.
    hosts_of_unknown_architecture: Vec<String>,
}

/// Something that is missing or contradicts.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Missing {
    message: String,
    /// The hosts that need it; none where the cluster is one host without a name.
    hosts: Vec<String>,
    /// The key of cluster.yaml that asks for it, such as `addons[0]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The line of that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// The flag of `kbundle build` that adds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    flag: Option<String>,
    /// What adds it in bundle.yaml.
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle_yaml: Option<String>,
}

pub fn run(arguments: &CheckArgs, output: OutputFormat) -> anyhow::Result<()> {
    let cluster = Cluster::read(&arguments.cluster)?;
    let asked = Asked::of(&arguments.trust)?;
    let input = Input::find(&arguments.bundle)?;
    let stream = input.open_stream(asked.check())?;
    let findings = cluster.require(&BundleContents::of(stream.list()), &input.name)?;
    let text = format!("{}: has everything that {} needs", input.name, findings.cluster);
    let report = Report { schema: SCHEMA, bundle: input.name, findings };
    Ok(output::result(output, &text, &report)?)
}

/// A `cluster.yaml` that was read.
pub struct Cluster {
    name: String,
    text: String,
    spec: ClusterSpec,
}

impl Cluster {
    /// Reads and validates it.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = text_file::read(path).context("cannot read the cluster's description").usage()?;
        let spec = ClusterSpec::examine(&text).with_context(|| format!("{} cannot be used", path.display())).usage()?;
        Ok(Self { name: word(path), text, spec })
    }

    /// Refuses contents that lack something, and hosts that could not be judged.
    pub fn require(&self, contents: &BundleContents, bundle: &str) -> anyhow::Result<Findings> {
        let outcome = check(&self.spec, contents);
        let positions = Positions::of(&self.text);
        let missing = outcome.unmet.into_iter().flat_map(|unmet| missing(unmet, &positions)).collect::<Vec<_>>();
        let findings = Findings {
            cluster: self.name.clone(),
            complete: missing.is_empty(),
            missing,
            hosts_of_unknown_architecture: outcome.unknown_architecture,
        };
        if findings.complete {
            findings.note()?;
            return Ok(findings);
        }
        let lines: Vec<_> = findings.missing.iter().map(Missing::line).collect();
        Err(anyhow!("{}", lines.join("\n")))
            .with_context(|| format!("{bundle} does not have what {} needs", self.name))
            .refused()
            .details(&findings)
    }
}

impl Findings {
    fn note(&self) -> anyhow::Result<()> {
        if !self.hosts_of_unknown_architecture.is_empty() {
            output::note(&format!(
                "{} does not say the architecture of {}; add `arch` to have the bundle checked for it",
                self.cluster,
                self.hosts_of_unknown_architecture.join(", ")
            ))?;
        }
        Ok(())
    }
}

fn missing(Unmet { mismatch, hosts }: Unmet, positions: &Positions) -> Vec<Missing> {
    let remedy = mismatch.remedy();
    let with_line = |finding: kbundle_cli::yaml::Finding| Missing {
        message: finding.message,
        hosts: hosts.clone(),
        line: positions.find(&finding.place).filter(|_| !finding.place.is_empty()).map(|position| position.line),
        key: Some(finding.place).filter(|place| !place.is_empty()),
        flag: remedy.as_ref().map(|remedy| remedy.flag.clone()),
        bundle_yaml: remedy.as_ref().map(|remedy| remedy.key.clone()),
    };
    mismatch.findings().into_iter().map(with_line).collect()
}

impl Missing {
    fn line(&self) -> String {
        let place = self.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let hosts = match self.hosts.as_slice() {
            [] => String::new(),
            [only] => format!(" (host {only})"),
            several => format!(" (hosts {})", several.join(", ")),
        };
        let key = self.bundle_yaml.as_ref().map(|key| format!("; in bundle.yaml: `{key}`")).unwrap_or_default();
        format!("{place}{}{hosts}{key}", self.message)
    }
}
