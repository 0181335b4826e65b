//! Goes through the steps of a plan: look, act where needed, look again.

use std::time::Instant;

use anyhow::{Context as _, anyhow};

use crate::failure::Advise;
use crate::host::{Change, HostError};
use crate::plan::{Plan, PlannedStep};
use crate::report::{Event, Observer};
use crate::steps::{Check, Context};

/// Does what the plan says and returns how many steps changed something.
///
/// # Errors
/// The first step's that fails; the steps before it stay done, and a repeat goes on from there.
pub fn execute(plan: &Plan, context: &mut Context<'_>, observer: &dyn Observer) -> anyhow::Result<usize> {
    context.host.sweep_incomplete().context("while removing what a run that was cut off left")?;
    let of = plan.steps.len();
    let mut changed_steps = 0;
    for (index, planned) in plan.steps.iter().enumerate() {
        let number = index + 1;
        let started = Instant::now();
        let step = planned.step.id();
        let changed = advance(planned, context, &mut |reason| {
            observer.event(&Event::StepStarted { step, title: &planned.title, reason, number, of });
        })
        .with_context(|| format!("step {number} of {of}, `{step}` ({}), failed", planned.title))
        .hint("what was done stays; run the same command again to go on, or `kinstall reset` to undo it")?;
        changed_steps += usize::from(changed);
        let seconds = started.elapsed().as_secs_f64();
        observer.event(&Event::StepDone { step, title: &planned.title, changed, seconds, number, of });
    }
    Ok(changed_steps)
}

/// Looks at every step and changes nothing.
///
/// # Errors
/// That of a step which cannot tell, although none ahead of it has anything to do.
pub fn look(plan: &Plan, context: &Context<'_>, observer: &dyn Observer) -> anyhow::Result<()> {
    let mut ahead = false;
    for planned in &plan.steps {
        let step = planned.step.id();
        let reason = match planned.step.check(context) {
            Ok(Check::Done) => None,
            Ok(Check::Needed(reason)) => Some(reason),
            Err(error) if ahead => {
                tracing::debug!(step, error = format!("{error:#}"), "cannot tell yet");
                Some("it builds on the steps ahead of it".to_owned())
            }
            Err(error) => return Err(error.context(format!("while looking at step `{step}`"))),
        };
        ahead |= reason.is_some();
        observer.event(&Event::StepPlanned { step, title: &planned.title, reason: reason.as_deref() });
    }
    Ok(())
}

/// Brings one step to its end; `true` when it changed something.
fn advance(planned: &PlannedStep, context: &mut Context<'_>, begin: &mut dyn FnMut(&str)) -> anyhow::Result<bool> {
    let step = planned.step;
    let id = step.id().to_owned();
    let needed = step.check(context)?;
    if let Check::Needed(reason) = &needed {
        begin(reason);
        record(context, Change::StepStarted { step: id.clone() })?;
        tracing::info!(step = id, reason, "step begins");
        step.apply(context)?;
        if let Check::Needed(still) = step.check(context)? {
            return Err(anyhow!("it was done, and yet: {still}"));
        }
    }
    // Also for a step whose last run was cut off after its work and before this line.
    record(context, Change::StepDone { step: id })?;
    Ok(needed != Check::Done)
}

fn record(context: &mut Context<'_>, change: Change) -> Result<(), HostError> {
    Ok(context.host.ledger_mut().record(change)?)
}
