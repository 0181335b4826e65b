//! `kinstall config`, and reading what describes a cluster.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, anyhow};
use kbundle_cli::documentation;
use kbundle_cli::output::{self, SCHEMA};
use kbundle_cli::yaml::{Finding, Findings};
use kbundle_format::shell::word;
use kbundle_format::{Role, text_file};
use schemars::JsonSchema;
use serde::Serialize;

use super::{bundle, read_spec};
use crate::cli::{Cli, ConfigCommand, OutputFormat, TrustArguments, ValidateArguments};
use crate::config::{self, ClusterSpec, EXAMPLE, LoadBalancer};
use crate::facts::HostFacts;
use crate::failure::Advise;
use crate::haproxy;
use crate::host::Host;
use crate::import::{self, Form, Imported};
use crate::inputs::Inputs;
use crate::plan::refusals;
use crate::topology::Topology;

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

/// Reads Kubespray's inventory, where `beside` is a `cluster.yaml` that has the last word on everything but hosts. What was left
/// out is said on standard error.
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
        return Err(anyhow!("{} is {} and no inventory", path.display(), form.name()))
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

/// The addresses of a name, by the host's own name service: a static program has none.
fn resolve(name: &str) -> Vec<IpAddr> {
    let answer = Command::new("getent").args(["ahostsv4", "--", name]).stderr(Stdio::null()).output();
    // Without an answer there is no address, which the reader of the file tells.
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
    let file = &arguments.file;
    let examined = match &arguments.inventory {
        Some(inventory) => Ok(read_spec(Some(file), Some(inventory))?),
        None => ClusterSpec::examine(&text(file)?),
    };
    let examined = match (examined, &arguments.bundle) {
        (Ok(spec), Some(bundle)) => {
            let lacking = lacking(&spec, bundle, &arguments.trust)?;
            if lacking.is_empty() { Ok(spec) } else { Err(Findings(lacking)) }
        }
        (examined, _) => examined,
    };
    let problems = examined.as_ref().err().map(|findings| findings.0.clone()).unwrap_or_default();
    let validation = Validation { schema: SCHEMA, valid: examined.is_ok(), problems };
    let examined = examined.with_context(|| format!("{} cannot be used", file.display()));
    let spec = examined.usage().details(&validation)?;
    output::result(output, &format!("{} is good: {}", file.display(), describe(&spec)), &validation)?;
    Ok(())
}

/// What the bundle lacks for the hosts of the cluster. Of this host only the platform counts, and the bundle's takes its place.
fn lacking(spec: &ClusterSpec, bundle: &Path, trust: &TrustArguments) -> anyhow::Result<Vec<Finding>> {
    let list = bundle::signed_list(bundle, &bundle::read_trust(trust)?)?;
    let spec = spec.with_network_of(&list);
    let host = Host::local()?;
    let mut facts = HostFacts::gather(&host)?;
    let mut found = BTreeSet::new();
    for platform in &list.platforms {
        facts.platform = platform.clone();
        let names = spec.hosts.iter().map(|host| Some(host.name.as_str()));
        let names: Vec<_> = if spec.hosts.is_empty() { vec![None] } else { names.collect() };
        for name in names {
            let topology = Topology::seen_from(name, &spec, &facts)?;
            let inputs = Inputs { spec: &spec, facts: &facts, list: &list, topology: &topology };
            found.extend(refusals(&inputs).into_iter().map(|refusal| refusal.to_string()));
        }
    }
    Ok(found.into_iter().map(|message| Finding { place: String::new(), message, position: None }).collect())
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
    Err(anyhow!("the cluster has no load balancer of the site's own, so that there is nothing to configure"))
        .usage()
        .hint("write `load-balancer: external` and its `address` under `api` in cluster.yaml")
}
