//! `kinstall run` for this host: the only one of its cluster, or one of several by its own record or a join file.

use std::borrow::Cow;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, anyhow};

use super::super::bundle::suits_this_machine;
use super::super::preflight::refuse_rejected;
use super::super::{bundle, explain_interrupts, require_root, take_lock};
use super::assignment::Assignment;
use super::changed_something;
use crate::cli::{OutputFormat, RunArguments};
use crate::cost::cost;
use crate::executor;
use crate::facts::Installation;
use crate::failure::Advise;
use crate::host::Host;
use crate::inputs::{Inputs, InputsError, OwnedInputs};
use crate::join_material::JoinMaterial;
use crate::keep_records::keep_records;
use crate::os_packages::BroughtPackages;
use crate::plan::{Plan, plan};
use crate::preflight::{Subject, examine};
use crate::records::Records;
use crate::report::{Event, Observer, Reporter, print_text};
use crate::steps::Context;
use crate::trust::Trust;

/// Makes this host what `assignment` says, from the bundle. The guards have the numbers of [`assignment`](super::assignment).
pub fn run(
    arguments: &RunArguments,
    output: OutputFormat,
    trust: &Trust,
    assignment: &Assignment,
) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let reporter = Reporter::new(output);
    if !arguments.dry_run {
        require_root()?;
    }
    let lock = if arguments.dry_run { None } else { Some(take_lock()?) };
    let host = Host::local()?;
    // Guards 1 to 3.
    assignment.refuse_without_bundle(&host)?;
    // Guard 4.
    let bundle = bundle::verify(&arguments.bundle, trust, &reporter, suits_this_machine)?;

    let spec = assignment.spec.with_network_of(bundle.list());
    let records = Records::of(&bundle, trust, spec.clone(), assignment.name.clone());
    if let Some(standing) = Records::read_begun(&host)? {
        let changes = standing.changes_to(&spec);
        if !changes.is_empty() {
            reporter.event(&Event::SettingsDiffer { changes });
        }
    }
    // Guard 5.
    records.refuse_another(&host)?;
    let (spec, name) = (Cow::Borrowed(&spec), assignment.name.as_deref());
    let gathered = match OwnedInputs::gather(&host, spec, name, Cow::Borrowed(bundle.list())) {
        Err(error @ InputsError::Topology(_)) => {
            Err(error).context("no plan could be made; nothing was changed").refused()?
        }
        gathered => gathered?,
    };
    let inputs = gathered.inputs();
    // Guards 6 and 7.
    assignment.refuse_unsuitable(&records, inputs.facts)?;
    let plan = assignment.extend(check(&inputs, assignment, arguments, &reporter)?, &inputs);
    // Guard 8.
    let addon_data = arguments.addon_data();
    let material = JoinMaterial { addon_data, ..assignment.join_material(&host, &bundle, &inputs)? };
    let mut context = Context { host, bundle: &bundle, inputs, material: &material, progress: &reporter };
    if arguments.dry_run {
        executor::look(&plan, &context, &reporter)?;
        return Ok(ExitCode::SUCCESS);
    }

    explain_interrupts("finished steps stay; run the same command again to resume", || ())?;
    keep_records(&records, &context.host, &context.inputs)?;
    assignment.stage(&mut context.host)?;
    let changed = executor::execute(&plan, &mut context, &reporter)?;
    let (changed_steps, seconds) = (changed.len(), started.elapsed().as_secs_f64());
    reporter.event(&Event::Finished {
        changed_steps,
        changed_hosts: usize::from(changed_steps > 0),
        hosts: 1,
        seconds,
    });
    drop(lock);
    if output == OutputFormat::Text {
        print_text(&assignment.next_steps())?;
    }
    if arguments.assert_no_op && !changed.is_empty() {
        return Err(changed_something(&changed.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Preflight, plan and cost: everything that is decided before a change.
fn check(
    inputs: &Inputs<'_>,
    assignment: &Assignment,
    arguments: &RunArguments,
    reporter: &Reporter,
) -> anyhow::Result<Plan> {
    let topology = assignment.name.as_ref().map(|_| inputs.topology);
    let kubernetes = Some(inputs.list.kubernetes_version);
    let brought = BroughtPackages::of(inputs.list);
    let subject = Subject { spec: inputs.spec, facts: inputs.facts, topology, kubernetes, brought: Some(&brought) };
    let findings = examine(&subject, &arguments.ignored);
    reporter.event(&Event::Preflight { findings: findings.clone() });
    refuse_rejected(&findings)?;
    let plan = plan(inputs).context("no plan could be made; nothing was changed").refused()?;
    let cost = cost(inputs, plan.steps.len(), 0);
    reporter.event(&Event::Cost(cost.clone()));
    let shortages = cost.shortages();
    match inputs.facts.installation {
        // Part of the room is in use already, and nobody can tell how much.
        Installation::Ours => Ok(plan),
        Installation::None if shortages.is_empty() => Ok(plan),
        Installation::None => Err(anyhow!("there is not enough room: {}; nothing was changed", shortages.join("; ")))
            .refused()
            .hint("make room, or mount a larger file system at one of the directories named"),
    }
}
