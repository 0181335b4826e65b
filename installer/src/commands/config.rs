//! `kinstall config`, and reading what describes a cluster.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, anyhow};
use kbundle_cli::documentation;
use kbundle_cli::output::{self, SCHEMA};
use kbundle_cli::yaml::{Finding, Findings, Positions};
use kbundle_cluster::check::check;
use kbundle_cluster::contents::BundleContents;
use kbundle_format::shell::word;
use kbundle_format::{Role, text_file};
use schemars::JsonSchema;
use serde::Serialize;

use super::{bundle, read_spec};
use crate::cli::{Cli, ConfigCommand, OutputFormat, TrustArguments, ValidateArguments};
use crate::config::{self, ClusterSpec, ConfigError, EXAMPLE, LoadBalancer};
use crate::failure::Advise;
use crate::haproxy;
use crate::import::{self, Form, Imported};

pub fn config(command: &ConfigCommand, output: OutputFormat) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Init => output::text(output, EXAMPLE)?,
        ConfigCommand::Schema(arguments) => documentation::schema::<Cli>(arguments, config::schema)?,
        ConfigCommand::Validate(arguments) => validate(arguments, output)?,
        ConfigCommand::Print { file } => {
            let spec = read_file(file)?.filled_in();
            output::result(output, &yaml(&spec)?, &spec)?;
        }
        ConfigCommand::Import { file } => import(file, output)?,
        ConfigCommand::LoadBalancer { config, inventory } => load_balancer(config, inventory.as_deref(), output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a `cluster.yaml`.
pub fn read_file(path: &Path) -> anyhow::Result<ClusterSpec> {
    ClusterSpec::examine(&text(path)?).with_context(|| format!("{} cannot be used", path.display())).usage()
}

/// Reads Kubespray's inventory, where `beside` is a `cluster.yaml` that overrides everything but hosts. What was left out is reported on
/// standard error.
pub fn read_inventory(path: &Path, beside: Option<&Path>) -> anyhow::Result<ClusterSpec> {
    let beside = beside.map(|config| Ok::<_, anyhow::Error>((config, text(config)?))).transpose()?;
    if let Some((config, text)) = &beside {
        let spec = ClusterSpec::read(text).with_context(|| format!("{} cannot be used", config.display())).usage()?;
        if !spec.hosts.is_empty() {
            return Err(anyhow!("both {} and the inventory list hosts, and only one of them can", config.display()))
                .usage()
                .hint("remove `hosts` from the one, or leave out `--inventory`");
        }
    }
    let (form, imported) = read_other(path)?;
    if form != Form::Inventory {
        return Err(anyhow!("{} is {}, not an inventory", path.display(), form.name()))
            .usage()
            .hint(format!("turn it into a cluster.yaml: `kinstall config import {} > cluster.yaml`", word(path)));
    }
    whole(path, &imported, beside.as_ref().map(|(_, text)| text.as_str()))
}

/// Reads another tool's description of a cluster.
fn read_other(path: &Path) -> anyhow::Result<(Form, Imported)> {
    let (form, imported) =
        import::read(path, &resolve).with_context(|| format!("{} cannot be used", path.display())).usage()?;
    let mut stderr = io::stderr().lock();
    for remark in &imported.remarks {
        writeln!(stderr, "note: {}: {remark}", path.display())?;
    }
    Ok((form, imported))
}

/// The cluster that an imported file describes.
fn whole(path: &Path, imported: &Imported, beside: Option<&str>) -> anyhow::Result<ClusterSpec> {
    let cannot = || format!("{} cannot be used", path.display());
    let spec = imported.spec(beside).with_context(cannot).usage()?;
    spec.validate().with_context(cannot).usage()?;
    Ok(spec)
}

/// The addresses of a name by the host's name service, which a static program does not have itself.
fn resolve(name: &str) -> Vec<IpAddr> {
    let answer = Command::new("getent").args(["ahostsv4", "--", name]).stderr(Stdio::null()).output();
    // Without an answer there is no address; the inventory's reader reports that.
    let answer = answer.map(|answer| String::from_utf8_lossy(&answer.stdout).into_owned()).unwrap_or_default();
    answer.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

fn text(path: &Path) -> anyhow::Result<String> {
    text_file::read(path).context("cannot read the cluster's description").usage()
}

fn yaml(value: &impl Serialize) -> anyhow::Result<String> {
    serde_yaml::to_string(value).context("cannot write the cluster's description")
}

/// The result of `validate` for programs.
#[derive(Serialize, JsonSchema)]
pub struct Validation {
    schema: u32,
    valid: bool,
    problems: Vec<Finding>,
}

fn validate(arguments: &ValidateArguments, output: OutputFormat) -> anyhow::Result<()> {
    let (file, version) = (&arguments.file, arguments.kubernetes);
    let text = text(file)?;
    let mut examined = match &arguments.inventory {
        Some(inventory) => {
            let spec = read_spec(Some(file), Some(inventory))?;
            let unfit = version.and_then(|version| spec.validate_for(version).err());
            good_unless(spec, unfit.map(ConfigError::findings).unwrap_or_default(), &text)
        }
        None => ClusterSpec::examine_for(&text, version),
    };
    if let (Ok(spec), Some(bundle)) = (&examined, &arguments.bundle) {
        let lacking = lacking(spec, bundle, &arguments.trust)?;
        examined = examined.and_then(|spec| good_unless(spec, lacking, &text));
    }
    let problems = examined.as_ref().err().map(|findings| findings.0.clone()).unwrap_or_default();
    let validation = Validation { schema: SCHEMA, valid: examined.is_ok(), problems };
    let examined = examined.with_context(|| format!("{} cannot be used", file.display()));
    let spec = examined.usage().details(&validation)?;
    output::result(output, &format!("{} is good: {}", file.display(), describe(&spec)), &validation)?;
    Ok(())
}

/// The cluster if nothing was found; otherwise the findings, with their positions in `text`, the cluster's file.
fn good_unless(spec: ClusterSpec, mut found: Vec<Finding>, text: &str) -> Result<ClusterSpec, Findings> {
    let positions = Positions::of(text);
    for finding in found.iter_mut().filter(|finding| !finding.place.is_empty()) {
        finding.position = positions.find(&finding.place);
    }
    if found.is_empty() { Ok(spec) } else { Err(Findings(found)) }
}

/// What the bundle lacks for the hosts of the cluster.
fn lacking(spec: &ClusterSpec, bundle: &Path, trust: &TrustArguments) -> anyhow::Result<Vec<Finding>> {
    let list = bundle::signed_list(bundle, &bundle::read_trust(trust)?)?;
    let outcome = check(spec, &BundleContents::of(&list));
    let mut found: Vec<_> = outcome.unmet.into_iter().flat_map(|unmet| unmet.mismatch.findings()).collect();
    found.sort_by(|a, b| (&a.place, &a.message).cmp(&(&b.place, &b.message)));
    found.dedup();
    Ok(found)
}

fn describe(spec: &ClusterSpec) -> String {
    if spec.hosts.is_empty() {
        return format!("cluster {}, one host", spec.name);
    }
    let count = |role, one: &str, more: &str| {
        let count = spec.hosts.iter().filter(|host| host.roles.contains(&role)).count();
        format!("{count} {}", if count == 1 { one } else { more })
    };
    format!(
        "cluster {}, {} hosts: {}, {}, {}",
        spec.name,
        spec.hosts.len(),
        count(Role::ControlPlane, "control plane", "control planes"),
        count(Role::Etcd, "etcd member", "etcd members"),
        count(Role::Worker, "worker", "workers"),
    )
}

fn import(path: &Path, output: OutputFormat) -> anyhow::Result<()> {
    let (form, imported) = read_other(path)?;
    let spec = whole(path, &imported, None)?;
    let mut always = vec!["schema", "hosts"];
    if !spec.ssh.is_default() {
        always.push("ssh");
    }
    let head = format!("# From {}. What else a cluster has, see `kinstall config init`.\n", form.name());
    let part = imported.settings.part_of(&spec, &always);
    output::result(output, &format!("{head}{}", yaml(&part)?), &spec)?;
    Ok(())
}

fn load_balancer(config: &Path, inventory: Option<&Path>, output: OutputFormat) -> anyhow::Result<()> {
    let spec = read_spec(Some(config), inventory)?;
    if spec.api.load_balancer == LoadBalancer::External {
        return Ok(output::text(output, &haproxy::external(&spec))?);
    }
    Err(anyhow!("the cluster has no load balancer of the site's own: there is nothing to configure"))
        .usage()
        .hint("write `load-balancer: external` and its `address` under `api` in cluster.yaml")
}
