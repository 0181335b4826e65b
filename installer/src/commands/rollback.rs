//! `kinstall rollback`.

use std::borrow::Cow;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, anyhow};

use super::{explain_interrupts, fleet, require_root, take_lock};
use crate::cli::{OutputFormat, RollbackArguments};
use crate::failure::Advise;
use crate::host::Host;
use crate::inputs::{Inputs, OwnedInputs};
use crate::report::{Event, Observer as _, Reporter, print_text};
use crate::rollback::{Rollback, Store};
use crate::upgrade::standing::records;

const RESUME: &str = "what came back stays; run `kinstall rollback` again to resume";

/// Takes this host back to what it ran before an upgrade that is not finished.
pub fn rollback(arguments: &RollbackArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    require_root()?;
    let lock = if arguments.dry_run { None } else { Some(take_lock()?) };
    let reporter = Reporter::new(output);
    let mut host = Host::local()?;
    let standing = records(&host)?;
    let (list, _) = standing.verified_list()?;
    let gathered =
        OwnedInputs::gather(&host, Cow::Borrowed(&standing.spec), standing.name.as_deref(), Cow::Borrowed(&list))?;
    let inputs = gathered.inputs();
    refuse_several(&inputs)?;
    let store = if arguments.restore_etcd { Store::Restored } else { Store::KeptIfReadable };
    let rollback = Rollback::decide(&host, &standing, &inputs, store)?;
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
        go_back(&rollback, &mut host, &inputs, &reporter)?;
    }
    rollback.end(&mut host).context("while noting that the rollback is done").hint(RESUME)?;
    let (changed_steps, seconds) = (rollback.acts.len(), started.elapsed().as_secs_f64());
    reporter.event(&Event::Finished { changed_steps, changed_hosts: 1, hosts: 1, seconds });
    drop(lock);
    if output == OutputFormat::Text {
        print_text(&format!(
            "\nThis host is set up with Kubernetes {} again. `kinstall status` shows whether it is well.\n",
            rollback.to
        ))?;
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

fn go_back(rollback: &Rollback, host: &mut Host, inputs: &Inputs<'_>, reporter: &Reporter) -> anyhow::Result<()> {
    host.sweep_incomplete().context("while removing what an interrupted run left")?;
    let of = rollback.acts.len();
    for (index, &act) in rollback.acts.iter().enumerate() {
        let (number, started) = (index + 1, Instant::now());
        let (step, title) = (act.id().to_owned(), act.title().to_owned());
        reporter.event(&Event::StepStarted {
            step: step.clone(),
            title: title.clone(),
            reason: format!("back to Kubernetes {}", rollback.to),
            number,
            of,
        });
        rollback
            .apply(act, host, inputs, reporter)
            .with_context(|| format!("step {number} of {of}, `{step}` ({title}), failed"))
            .hint(RESUME)?;
        let seconds = started.elapsed().as_secs_f64();
        reporter.event(&Event::StepDone { step, title, changed: true, seconds, number, of });
    }
    Ok(())
}

fn refuse_several(inputs: &Inputs<'_>) -> anyhow::Result<()> {
    let hosts = inputs.topology.members().len();
    if hosts == 1 {
        return Ok(());
    }
    Err(anyhow!(
        "the cluster has {hosts} hosts, and kinstall rolls back clusters of one host alone; nothing was changed"
    ))
    .refused()
    .hint("finish the upgrade: `kinstall upgrade BUNDLE --key KEY --config cluster.yaml`")
}
