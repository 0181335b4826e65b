//! A phase of an installation on this host: the same plan and the same steps as for a single host.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use kbundle_cluster::needs::Mismatch;
use kbundle_format::IndexedBundle;

use super::leader_link::LeaderLink;
use super::questions::{Origin, Work};
use super::store;
use crate::executor;
use crate::failure::Advise;
use crate::host::Host;
use crate::inputs::{Inputs, InputsError, OwnedInputs};
use crate::keep_records::keep_records;
use crate::lock::{self, Lock};
use crate::plan::{Plan, plan};
use crate::records::Records;
use crate::recovery;
use crate::report::{Event, Observer as _};
use crate::restoration::Restoration;
use crate::restoration_records::{self, Share};
use crate::stage::Phase;
use crate::step_progress::StepProgress as _;
use crate::steps::Context;

/// How long a phase waits for another kinstall, such as one that still works after its connection was cut.
const LOCK_WITHIN: Duration = Duration::from_mins(10);

/// Takes the lock on this host, and waits while another kinstall has it.
pub fn wait_for_lock(leader: &LeaderLink) -> anyhow::Result<Lock> {
    let mut told = String::new();
    let lock = Lock::take_within(Path::new(lock::PATH), LOCK_WITHIN, |holder| {
        if told != holder.process {
            holder.process.clone_into(&mut told);
            leader.event(&Event::LockHeld { holder: holder.to_string() });
        }
        if leader.is_heard() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    lock.refused().hint("check what that process does, and run the same command again when it has ended")
}

/// Gathers what decisions about this host need, including the list of the bundle that it holds.
pub fn gather<'a>(work: &'a Work, host: &Host, bundle: &'a IndexedBundle) -> Result<OwnedInputs<'a>, InputsError> {
    OwnedInputs::gather(host, Cow::Borrowed(&work.spec), Some(work.host.as_str()), Cow::Borrowed(bundle.list()))
}

pub fn plan_of(planned: Result<Plan, Mismatch>) -> anyhow::Result<Plan> {
    planned.context("no plan could be made").refused()
}

pub fn records(work: &Work, bundle: &IndexedBundle) -> Records {
    Records::of(bundle, &work.trust, work.spec.clone(), Some(work.host.to_string()))
}

/// The plan of this host; for a restoration, with what the host does besides.
fn whole_plan(work: &Work, host: &Host, inputs: &Inputs<'_>) -> anyhow::Result<Plan> {
    let plan = plan_of(plan(inputs))?;
    match work.origin {
        Origin::Installation => Ok(plan),
        Origin::Backup => Ok(Restoration::extend(plan, inputs, Share::of(host))),
    }
}

/// Does the host's work of `phase`, and returns the steps that changed something.
pub fn apply(work: &Work, phase: Phase, leader: &LeaderLink) -> anyhow::Result<Vec<String>> {
    let lock = wait_for_lock(leader)?;
    let host = Host::local()?;
    let bundle = store::open(&work.trust)?;
    let records = records(work, &bundle);
    if work.origin == Origin::Installation {
        restoration_records::refuse_unfinished(&host)?;
    }
    recovery::refuse_unfinished(&host)?;
    records.refuse_another(&host)?;
    let gathered = gather(work, &host, &bundle)?;
    let inputs = gathered.inputs();
    let plan = whole_plan(work, &host, &inputs)?.of_phase(phase);
    keep_records(&records, &host, &inputs)?;
    let mut context = Context { host, bundle: &bundle, inputs, material: &work.material, progress: leader };
    let changed = executor::execute(&plan, &mut context, leader)?;
    drop(lock);
    Ok(changed.into_iter().map(str::to_owned).collect())
}

/// Reports what would be done, phase by phase.
pub fn look(work: &Work, leader: &LeaderLink) -> anyhow::Result<()> {
    let host = Host::local()?;
    let bundle = store::open(&work.trust)?;
    records(work, &bundle).refuse_another(&host)?;
    let gathered = gather(work, &host, &bundle)?;
    let inputs = gathered.inputs();
    let plan = whole_plan(work, &host, &inputs)?;
    let context = Context { host, bundle: &bundle, inputs, material: &work.material, progress: leader };
    executor::look(&plan, &context, leader)
}
