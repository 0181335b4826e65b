//! Executes the steps of a plan: check, apply if needed, check again.

use std::time::Instant;

use anyhow::{Context as _, anyhow};

use crate::failure::Advise;
use crate::host::{Change, HostError};
use crate::plan::{Plan, PlannedStep};
use crate::report::{Event, Observer};
use crate::steps::{Check, Context};

/// What to do when a step of an installation failed.
const RESUME_OR_RESET: &str =
    "finished steps stay; run the same command again to resume, or `kinstall reset` to undo them";

/// Executes the plan of an installation and returns the steps that changed something.
///
/// # Errors
/// The error of the first step that fails. The steps before it stay done, and a repeat resumes from there.
pub fn execute(plan: &Plan, context: &mut Context<'_>, observer: &dyn Observer) -> anyhow::Result<Vec<&'static str>> {
    execute_advising(RESUME_OR_RESET, plan, context, observer)
}

/// The same for any plan, with the advice to give when a step fails.
///
/// # Errors
/// The error of the first step that fails.
pub fn execute_advising(
    hint: &str,
    plan: &Plan,
    context: &mut Context<'_>,
    observer: &dyn Observer,
) -> anyhow::Result<Vec<&'static str>> {
    context.host.sweep_incomplete().context("while removing what an interrupted run left")?;
    let of = plan.steps.len();
    let mut changed_steps = Vec::new();
    for (index, planned) in plan.steps.iter().enumerate() {
        let number = index + 1;
        let started = Instant::now();
        let step = planned.step.id();
        let changed = advance(planned, context, &mut |reason| {
            observer.event(&Event::StepStarted {
                step: step.to_owned(),
                title: planned.title.clone(),
                reason: reason.to_owned(),
                number,
                of,
            });
        })
        .with_context(|| format!("step {number} of {of}, `{step}` ({}), failed", planned.title))
        .hint(hint)?;
        changed_steps.extend(changed.then_some(step));
        let seconds = started.elapsed().as_secs_f64();
        observer.event(&Event::StepDone {
            step: step.to_owned(),
            title: planned.title.clone(),
            changed,
            seconds,
            number,
            of,
        });
    }
    Ok(changed_steps)
}

/// Looks at every step and changes nothing.
///
/// # Errors
/// The error of a step whose check fails although no step before it has anything to do.
pub fn look(plan: &Plan, context: &Context<'_>, observer: &dyn Observer) -> anyhow::Result<()> {
    let mut ahead = false;
    for planned in &plan.steps {
        let step = planned.step.id();
        let reason = match planned.step.check(context) {
            Ok(Check::Done) => None,
            Ok(Check::Needed(reason)) => Some(reason),
            Err(error) if ahead => {
                tracing::debug!(step, error = format!("{error:#}"), "state unknown before the steps ahead of it");
                Some("it depends on the steps ahead of it".to_owned())
            }
            Err(error) => return Err(error.context(format!("cannot check step `{step}`"))),
        };
        ahead |= reason.is_some();
        observer.event(&Event::StepPlanned { step: step.to_owned(), title: planned.title.clone(), reason });
    }
    Ok(())
}

/// Completes one step; `true` if it changed something.
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
            return Err(anyhow!("the step ran, but is not complete: {still}"));
        }
    }
    // Also for a step whose last run was cut off after its work and before this line.
    record(context, Change::StepDone { step: id })?;
    Ok(needed != Check::Done)
}

fn record(context: &mut Context<'_>, change: Change) -> Result<(), HostError> {
    Ok(context.host.ledger_mut().record(change)?)
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;
    use crate::failure;
    use crate::fixture::bench::Bench;
    use crate::inputs::Inputs;
    use crate::steps::Step;

    /// A step that is done when its file is there.
    struct Writes(&'static str);

    impl Step for Writes {
        fn id(&self) -> &'static str {
            self.0
        }

        fn title(&self, _inputs: &Inputs<'_>) -> String {
            format!("write {}", self.0)
        }

        fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
            let there = context.host.exists(&format!("/{}", self.0));
            Ok(if there { Check::Done } else { Check::Needed("it is not there".into()) })
        }

        fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
            Ok(context.host.write_file(&format!("/{}", self.0), b"", 0o644)?)
        }
    }

    /// A step that claims to have worked, and has not.
    struct Idle;

    impl Step for Idle {
        fn id(&self) -> &'static str {
            "idle"
        }

        fn title(&self, _inputs: &Inputs<'_>) -> String {
            "do nothing".into()
        }

        fn check(&self, _context: &Context<'_>) -> anyhow::Result<Check> {
            Ok(Check::Needed("nothing was done".into()))
        }

        fn apply(&self, _context: &mut Context<'_>) -> anyhow::Result<()> {
            Ok(())
        }
    }

    static FIRST: Writes = Writes("first");
    static SECOND: Writes = Writes("second");
    static IDLE: Idle = Idle;

    #[test]
    fn a_second_run_changes_nothing() {
        let bench = Bench::new();
        let run = || bench.work(&[&FIRST, &SECOND], |plan, context, notes| execute(plan, context, notes).unwrap());
        let (told, changed) = run();
        assert_eq!(changed, ["first", "second"]);
        insta::assert_debug_snapshot!(told, @r#"
        [
            "started first: it is not there",
            "done first true 1/2",
            "started second: it is not there",
            "done second true 2/2",
        ]
        "#);
        let record = fs::read(bench.path("var/lib/kinstall/ledger.jsonl")).unwrap();
        assert_eq!(run(), (vec!["done first false 1/2".to_owned(), "done second false 2/2".to_owned()], vec![]));
        assert_eq!(fs::read(bench.path("var/lib/kinstall/ledger.jsonl")).unwrap(), record);
    }

    #[test]
    fn a_step_that_did_not_do_it_is_an_error_and_the_ones_before_stay_done() {
        let bench = Bench::new();
        let (_, result) = bench.work(&[&FIRST, &IDLE, &SECOND], |plan, context, notes| execute(plan, context, notes));
        insta::assert_snapshot!(failure::message(&result.unwrap_err()), @"
        error: step 2 of 3, `idle` (do nothing), failed
          caused by: the step ran, but is not complete: nothing was done
        hint: finished steps stay; run the same command again to resume, or `kinstall reset` to undo them
        ");
        assert!(bench.path("first").exists() && !bench.path("second").exists());
    }

    #[test]
    fn a_look_changes_nothing() {
        let bench = Bench::new();
        let (told, result) = bench.work(&[&FIRST], |plan, context, notes| look(plan, context, notes));
        result.unwrap();
        assert_eq!(told, ["planned first Some(\"it is not there\")"]);
        assert_eq!(fs::read_dir(bench.path("")).unwrap().count(), 0);
    }
}
