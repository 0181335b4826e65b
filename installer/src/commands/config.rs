//! `kinstall config`, and reading what describes a cluster.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use kbundle_cli::documentation;
use kbundle_cli::output::{self, SCHEMA};
use kbundle_format::{KubeVersion, Role, text_file};
use schemars::JsonSchema;
use serde::Serialize;

use super::read_spec;
use crate::cli::{Cli, ConfigCommand, OutputFormat};
use crate::config::{self, ClusterSpec, ConfigError, EXAMPLE, HostSpec, LoadBalancer, Problem, Ssh};
use crate::failure::Advise;
use crate::haproxy;
use crate::inventory::Inventory;
use crate::kubeadm_import::{self, Remark};

pub fn config(command: &ConfigCommand, output: OutputFormat) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Init => output::text(output, EXAMPLE)?,
        ConfigCommand::Schema(arguments) => documentation::schema::<Cli>(arguments, config::schema)?,
        ConfigCommand::Validate { file, kubernetes } => validate(file, *kubernetes, output)?,
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
    let text = text(path)?;
    let parsed = ClusterSpec::parse(&text).map_err(|error| error.located(&text));
    parsed.with_context(|| format!("{} cannot be used", path.display())).usage()
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
    problems: Vec<Problem>,
}

fn validate(file: &Path, version: Option<KubeVersion>, output: OutputFormat) -> anyhow::Result<()> {
    let text = text(file)?;
    let fits = |spec: ClusterSpec| version.map_or(Ok(()), |version| spec.validate_for(version)).map(|()| spec);
    let parsed = ClusterSpec::parse(&text).and_then(fits).map_err(|error| error.located(&text));
    let problems = match &parsed {
        Ok(_) => Vec::new(),
        Err(ConfigError::Invalid { problems }) => problems.clone(),
        // The file as a whole.
        Err(error) => {
            let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
            let message = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            vec![Problem { place: String::new(), message, line: None }]
        }
    };
    let validation = Validation { schema: SCHEMA, valid: parsed.is_ok(), problems };
    let parsed = parsed.with_context(|| format!("{} cannot be used", file.display()));
    let spec = parsed.usage().details(&validation)?;
    output::result(output, &format!("{} is good: {}", file.display(), describe(&spec)), &validation)?;
    Ok(())
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
    let content = text_file::read(path).context("cannot read the file to import").usage()?;
    if kubeadm_import::is_kubeadm_configuration(&content) {
        return import_kubeadm(path, &content, output);
    }
    let ClusterSpec { schema, hosts, ssh, .. } = read_inventory(path, ClusterSpec::default())?;
    let head = "# The hosts of Kubespray's inventory. Whatever else a cluster has, see `kinstall config init`.\n";
    let imported = Imported { schema, hosts, ssh };
    output::result(output, &format!("{head}{}", yaml(&imported)?), &imported)?;
    Ok(())
}

fn import_kubeadm(path: &Path, content: &str, output: OutputFormat) -> anyhow::Result<()> {
    // A file that it names lies beside it, or where it says.
    let read_file = |named: &str| {
        let beside = Path::new(named).file_name().map(|name| path.with_file_name(name));
        beside.into_iter().chain([named.into()]).find_map(|place| text_file::read(&place).ok())
    };
    let cannot = || format!("{} cannot be used", path.display());
    let imported = kubeadm_import::import(content, &read_file).with_context(cannot).usage()?;
    let mut stderr = io::stderr().lock();
    for Remark { place, message } in &imported.remarks {
        writeln!(stderr, "note: {}: {place}: {message}", path.display())?;
    }
    imported.spec.validate().with_context(cannot).usage()?;
    let head = "# From kubeadm's configuration. Whatever else a cluster has, see `kinstall config init`.\n";
    let said = imported.spec.without_defaults();
    output::result(output, &format!("{head}{}", yaml(&said)?), &imported.spec)?;
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
