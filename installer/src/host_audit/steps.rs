//! Audits every step of the installation by the step's own check: whatever `kinstall run` would change has drifted.

use super::{Finding, Group};
use crate::plan::STEPS;
use crate::steps::{Check, Context, Programs, Step};

/// Looks at each step that is for this host.
pub(super) fn look(context: &Context<'_>) -> Vec<Finding> {
    // Programs are compared with the bundle itself, not with the host's record.
    let concerned = STEPS.iter().filter(|(_, step)| step.id() != Programs.id() && step.concerns(context));
    concerned.map(|(_, step)| look_at(*step, context)).collect()
}

pub(super) fn look_at(step: &dyn Step, context: &Context<'_>) -> Finding {
    match step.check(context) {
        Ok(Check::Done) => Finding::as_approved(Group::Steps, step.id()),
        Ok(Check::Needed(found)) => {
            Finding::drifted(Group::Steps, step.id(), format!("nothing left to do to {}", step.title(context)), found)
        }
        Err(error) => Finding::unknown(Group::Steps, step.id(), format!("{error:#}")),
    }
}
