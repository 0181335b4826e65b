//! Events as text, for tests.

use super::{Event, Observer};
use crate::fixture::bench::Notes;
use crate::step_progress::StepProgress as _;

impl Observer for Notes {
    fn event(&self, event: &Event) {
        self.detail(&match event {
            Event::StepPlanned { step, reason, .. } => format!("planned {step} {reason:?}"),
            Event::StepStarted { step, reason, .. } => format!("started {step}: {reason}"),
            Event::StepDone { step, changed, number, of, .. } => format!("done {step} {changed} {number}/{of}"),
            other => format!("{other:?}"),
        });
    }
}
