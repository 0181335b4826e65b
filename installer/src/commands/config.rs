//! `kinstall config`, and reading what describes a cluster.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use kbundle_cli::documentation;
use kbundle_cli::output::{self, SCHEMA};
use kbundle_cli::yaml::{Finding, Findings};
use kbundle_format::{Role, text_file};
use schemars::JsonSchema;
use serde::Serialize;

use super::{bundle, read_spec};
use crate::cli::{Cli, ConfigCommand, OutputFormat, TrustArguments, ValidateArguments};
use crate::config::{self, ClusterSpec, EXAMPLE, HostSpec, LoadBalancer, Ssh};
use crate::facts::HostFacts;
use crate::failure::Advise;
use crate::haproxy;
use crate::host::Host;
use crate::inputs::Inputs;
use crate::inventory::Inventory;
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
        ConfigCommand::Import { inventory } => import(inventory, output)?,
        ConfigCommand::LoadBalancer { config, inventory } => load_balancer(config, inventory.as_deref(), output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a `cluster.yaml`.
pub fn read_file(path: &Path) -> anyhow::Result<ClusterSpec> {
    ClusterSpec::examine(&text(path)?).with_context(|| format!("{} cannot be used", path.display())).usage()
}

/// Reads a `cluster.yaml` whose hosts are in an inventory.
pub fn read_file_without_hosts(path: &Path) -> anyhow::Result<ClusterSpec> {
    let spec = ClusterSpec::read(&text(path)?).with_context(|| format!("{} cannot be used", path.display())).usage()?;
    if spec.hosts.is_empty() {
        return Ok(spec);
    }
    Err(anyhow!("both {} and the inventory list hosts, and only one of them can", path.display()))
        .usage()
        .hint("remove `hosts` from the one, or leave out `--inventory`")
}

/// Reads the hosts of Kubespray's inventory into `spec`, and says on standard error what was left out.
pub fn read_inventory(path: &Path, spec: ClusterSpec) -> anyhow::Result<ClusterSpec> {
    let text = text_file::read(path).context("cannot read the inventory").usage()?;
    let cannot = || format!("{} cannot be used", path.display());
    let mut inventory = Inventory::parse(&text).with_context(cannot).usage()?;
    let mut stderr = io::stderr().lock();
    for remark in std::mem::take(&mut inventory.remarks) {
        writeln!(stderr, "note: {}: {remark}", path.display())?;
    }
    for folder in ["group_vars", "host_vars"].map(|name| path.with_file_name(name)).iter().filter(|path| path.is_dir())
    {
        writeln!(stderr, "note: {} is not read; write what matters of it into cluster.yaml", folder.display())?;
    }
    let spec = inventory.into_spec(spec);
    spec.validate().with_context(cannot).usage()?;
    Ok(spec)
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
    let list = bundle::signed_list(&[bundle.to_owned()], &bundle::read_trust(trust)?)?;
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

/// What an inventory has of a `cluster.yaml`.
#[derive(Serialize, JsonSchema)]
pub struct Imported {
    schema: u32,
    hosts: Vec<HostSpec>,
    #[serde(skip_serializing_if = "Ssh::is_default")]
    ssh: Ssh,
}

fn import(path: &Path, output: OutputFormat) -> anyhow::Result<()> {
    let ClusterSpec { schema, hosts, ssh, .. } = read_inventory(path, ClusterSpec::default())?;
    let head = "# The hosts of Kubespray's inventory. Whatever else a cluster has, see `kinstall config init`.\n";
    let imported = Imported { schema, hosts, ssh };
    output::result(output, &format!("{head}{}", yaml(&imported)?), &imported)?;
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
