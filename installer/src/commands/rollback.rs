//! `kinstall rollback`: of this host, or of the hosts of cluster.yaml.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, anyhow};

use super::{explain_interrupts, fleet, require_root, take_lock};
use crate::cli::{OutputFormat, RollbackArguments};
use crate::config::ClusterSpec;
use crate::failure::Advise;
use crate::fleet::{RollbackRequest, lead_rollback};
use crate::host::Host;
use crate::inputs::Inputs;
use crate::report::{Event, Observer as _, Reporter, print_text};
use crate::rollback::{FormerHost, RESUME, Rollback, Store};

/// Does what the command line says.
pub fn rollback(arguments: &RollbackArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    if arguments.cluster.config.is_none() && arguments.cluster.inventory.is_none() {
        return rollback_here(arguments, output);
    }
    rollback_hosts(arguments, output, &fleet::read_cluster(&arguments.cluster)?)
}

/// Takes this host back to what it ran before an upgrade that is not finished.
fn rollback_here(arguments: &RollbackArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    require_root()?;
    let lock = if arguments.dry_run { None } else { Some(take_lock()?) };
    let reporter = Reporter::new(output);
    let mut host = Host::local()?;
    let former = FormerHost::read(&host)?;
    refuse_several(&former.inputs())?;
    let store = if arguments.restore_etcd { Store::Restored } else { Store::KeptIfReadable };
    let rollback = former.decide(&host, store)?;
    if arguments.dry_run {
        plan(&rollback, &reporter);
        return Ok(ExitCode::SUCCESS);
    }
    if rollback.restores_store() {
        fleet::confirm(arguments.yes, "brings etcd back from its snapshot: what was written to the API since is lost")?;
    }
    explain_interrupts(RESUME, || ())?;
    if !rollback.acts.is_empty() {
        rollback.begin(&host)?;
        rollback.go_back(&mut host, &former.inputs(), &reporter)?;
    }
    rollback.end(&mut host).context("while noting that the rollback is done").hint(RESUME)?;
    let (changed_steps, seconds) = (rollback.acts.len(), started.elapsed().as_secs_f64());
    reporter.event(&Event::Finished { changed_steps, changed_hosts: 1, hosts: 1, seconds });
    drop(lock);
    if output == OutputFormat::Text {
        print_text(&format!(
            "\nThis host is set up with Kubernetes {} again. `kinstall status` shows whether it is healthy.\n",
            rollback.to
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes every host of the cluster back, one after another.
fn rollback_hosts(arguments: &RollbackArguments, output: OutputFormat, spec: &ClusterSpec) -> anyhow::Result<ExitCode> {
    let options = fleet::options(&arguments.cluster.hosts, output, spec)?;
    let request = RollbackRequest { spec, dry_run: arguments.dry_run, drain_within: arguments.drain_timeout.0 };
    let to = lead_rollback(&request, &options, fleet::end_connections_when_interrupted)?;
    if output == OutputFormat::Text && !arguments.dry_run {
        print_text(&format!("\nThe cluster `{}` runs Kubernetes {to} again.\n", spec.name))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn plan(rollback: &Rollback, reporter: &Reporter) {
    for act in &rollback.acts {
        let reason = format!("the upgrade to Kubernetes {} has begun to change this host", rollback.from);
        reporter.event(&Event::StepPlanned {
            step: act.id().to_owned(),
            title: act.title().to_owned(),
            reason: Some(reason),
        });
    }
    if rollback.acts.is_empty() {
        reporter.event(&Event::StepPlanned {
            step: "forget".to_owned(),
            title: "remove what the upgrade prepared".to_owned(),
            reason: Some("nothing that runs was changed yet".to_owned()),
        });
    }
}

fn refuse_several(inputs: &Inputs<'_>) -> anyhow::Result<()> {
    let hosts = inputs.topology.members().len();
    if hosts == 1 {
        return Ok(());
    }
    Err(anyhow!("the cluster has {hosts} hosts, which are rolled back together; nothing was changed"))
        .refused()
        .hint("give their description: `kinstall rollback --config cluster.yaml`")
}
