//! `kinstall run` for this host alone.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, anyhow};

use super::super::preflight::refuse_rejected;
use super::super::{bundle, explain_interrupts, require_root, take_lock};
use super::{changed_something, suits_this_machine};
use crate::cli::{OutputFormat, RunArguments};
use crate::config::ClusterSpec;
use crate::cost::cost;
use crate::executor;
use crate::facts::{HostFacts, Installation};
use crate::failure::Advise;
use crate::handed::Handed;
use crate::host::Host;
use crate::plan::plan;
use crate::preflight::{Subject, examine};
use crate::records::Records;
use crate::report::{Event, Observer, Reporter, print_text};
use crate::steps::{Context, Inputs};
use crate::topology::Topology;
use crate::trust::Trust;

/// Installs on this host, by the bundle and the description that were read.
pub fn run(arguments: &RunArguments, trust: &Trust, spec: ClusterSpec) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let reporter = Reporter::new(arguments.output);
    if !arguments.dry_run {
        require_root()?;
    }
    let lock = if arguments.dry_run { None } else { Some(take_lock()?) };
    let (bundle, _) = bundle::verify(&arguments.bundle, trust, &reporter, suits_this_machine)?;

    let host = Host::local()?;
    let head = bundle.head();
    let signatures = head.signatures.iter().chain(trust.detached()).cloned().collect();
    let (list_bytes, keys) = (head.list_bytes.clone(), trust.keys().to_vec());
    let records = Records { list_bytes, signatures, keys, spec, name: None };
    records.refuse_another(&host)?;
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

    explain_interrupts("what was done stays; run the same command again to go on", || ())?;
    records.keep(&context.host)?;
    let changed = executor::execute(&plan, &mut context, &reporter)?;
    reporter.event(&Event::Finished { changed_steps: changed.len(), seconds: started.elapsed().as_secs_f64() });
    drop(lock);
    if arguments.output == OutputFormat::Text {
        print_text(&next_steps(&records.spec))?;
    }
    if arguments.assert_no_op && !changed.is_empty() {
        return Err(changed_something(&changed.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
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
