//! `kinstall run`.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use kbundle_format::{BundleList, Platform};

use super::bundle::{self, Trust};
use super::preflight::refuse_rejected;
use super::{explain_interrupts, read_spec, require_root, take_lock};
use crate::cli::{OutputFormat, RunArguments};
use crate::config::ClusterSpec;
use crate::cost::cost;
use crate::executor;
use crate::facts::{HostFacts, Installation};
use crate::failure::Advise;
use crate::handed::Handed;
use crate::host::{Change, Host};
use crate::plan::plan;
use crate::preflight::{Subject, examine};
use crate::records::Records;
use crate::report::{Event, Observer, Reporter, print_text};
use crate::steps::{Context, Inputs};
use crate::topology::Topology;

pub fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let reporter = Reporter::new(arguments.output);
    let trust = Trust::read(&arguments.bundle)?;
    let spec = read_spec(arguments.config.as_deref(), arguments.inventory.as_deref())?;
    if !arguments.dry_run {
        require_root()?;
    }
    let lock = if arguments.dry_run { None } else { Some(take_lock()?) };
    let (bundle, _) = bundle::verify(&arguments.bundle, &trust, &reporter, suits_this_machine)?;

    let host = Host::local()?;
    let signatures = bundle.head().signatures.iter().chain(&trust.detached).cloned().collect();
    let records = Records { list_bytes: bundle.head().list_bytes.clone(), signatures, keys: trust.keys, spec };
    refuse_another_cluster(&host, &records)?;
    let facts = HostFacts::gather(&host)?;
    let topology =
        Topology::single(&records.spec, &facts).context("no plan could be made; nothing was changed").refused()?;
    let inputs = Inputs { spec: &records.spec, facts: &facts, list: bundle.list(), topology: &topology };
    let plan = check(&inputs, arguments, &reporter)?;
    let mut context = Context { host, bundle: &bundle, inputs, handed: &Handed::default(), progress: &reporter };
    if arguments.dry_run {
        executor::look(&plan, &context, &reporter)?;
        return Ok(ExitCode::SUCCESS);
    }

    explain_interrupts("what was done stays; run the same command again to go on")?;
    records.keep(&context.host)?;
    let changed_steps = executor::execute(&plan, &mut context, &reporter)?;
    reporter.event(&Event::Finished { changed_steps, seconds: started.elapsed().as_secs_f64() });
    drop(lock);
    if arguments.output == OutputFormat::Text {
        print_text(&next_steps(&records.spec))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn suits_this_machine(list: &BundleList) -> anyhow::Result<()> {
    let here = Platform::of_this_program();
    if list.platforms.contains(&here) {
        return Ok(());
    }
    let platforms: Vec<_> = list.platforms.iter().map(ToString::to_string).collect();
    Err(anyhow!("the bundle is for {}, this host is {here}; nothing on it was changed", platforms.join(", ")))
        .refused()
        .hint(format!("build one with `kbundle build --arch {}`", here.architecture()))
}

/// A host that is set up already is gone on with only from the bundle that it was begun with, and as the same cluster.
fn refuse_another_cluster(host: &Host, wanted: &Records) -> anyhow::Result<()> {
    let begun = host.ledger().changes().iter().any(|change| matches!(change, Change::StepStarted { .. }));
    let Some(found) = Records::read(host)?.filter(|_| begun) else { return Ok(()) };
    let other =
        |what| format!("this host was set up from another {what}; changing a cluster that stands is not supported yet");
    let result = if found.list_bytes == wanted.list_bytes {
        wanted.spec.same_cluster_as(&found.spec).context(other("cluster description"))
    } else {
        Err(anyhow!(other("bundle")))
    };
    result
        .refused()
        .hint("give the one it was set up from (`kinstall status` shows it), or remove the cluster with `kinstall reset` first")
}

/// Preflight, plan and cost: all that is decided before anything is changed.
fn check(inputs: &Inputs<'_>, arguments: &RunArguments, reporter: &Reporter) -> anyhow::Result<crate::plan::Plan> {
    let findings = examine(&Subject { spec: inputs.spec, facts: inputs.facts, topology: None }, &arguments.ignored);
    reporter.event(&Event::Preflight { findings: &findings });
    refuse_rejected(&findings, &arguments.ignored)?;
    let plan = plan(inputs).context("no plan could be made; nothing was changed").refused()?;
    let cost = cost(inputs, plan.steps.len());
    reporter.event(&Event::Cost(&cost));
    let shortages = cost.shortages();
    match inputs.facts.installation {
        // Part of the cost is paid already, and how much of it cannot be told.
        Installation::Ours => Ok(plan),
        Installation::None if shortages.is_empty() => Ok(plan),
        Installation::None => Err(anyhow!("it does not fit: {}; nothing was changed", shortages.join("; ")))
            .refused()
            .hint("make room, or mount a larger file system at one of the directories named"),
    }
}

fn next_steps(spec: &ClusterSpec) -> String {
    format!(
        "\nThe cluster `{}` stands. Next:\n  \
         kubectl get nodes,pods -A      what runs\n  \
         kinstall status                whether this host is well\n  \
         kinstall reset                 remove it all again\n",
        spec.name
    )
}
