//! A phase of an installation on this host: the same plan and the same steps as on a single one.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use kbundle_format::IndexedBundle;

use super::protocol::Work;
use super::store;
use crate::executor;
use crate::facts::HostFacts;
use crate::failure::Advise;
use crate::host::Host;
use crate::lock::{self, Lock};
use crate::plan::{Phase, Plan, plan};
use crate::records::Records;
use crate::report::{Event, Observer as _, Reporter};
use crate::steps::{Context, Inputs, Progress as _};
use crate::topology::Topology;

/// How long a phase waits for another kinstall, such as one whose connection was cut and that goes on by itself.
const LOCK_WITHIN: Duration = Duration::from_mins(10);

/// Takes the lock on this host, waiting for whoever has it.
pub fn wait_for_lock(reporter: &Reporter) -> anyhow::Result<Lock> {
    let mut told = String::new();
    let lock = Lock::take_within(Path::new(lock::PATH), LOCK_WITHIN, |holder| {
        if told != holder.process {
            holder.process.clone_into(&mut told);
            reporter.event(&Event::LockHeld { holder: holder.to_string() });
        }
        if reporter.is_heard() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    lock.refused().hint("look what that process does, and run the same command again when it has ended")
}

/// What decisions are made on, read on this host.
pub struct Place<'a> {
    work: &'a Work,
    bundle: IndexedBundle,
    facts: HostFacts,
    topology: Topology,
}

impl<'a> Place<'a> {
    /// Opens what the host holds and looks at the host.
    pub fn find(work: &'a Work, host: &Host) -> anyhow::Result<Self> {
        let bundle = store::open(&work.trust)?;
        let facts = HostFacts::gather(host)?;
        let topology = Topology::of(&work.spec, &work.host)?;
        Ok(Self { work, bundle, facts, topology })
    }

    /// What is decided on.
    pub fn inputs(&self) -> Inputs<'_> {
        Inputs { spec: &self.work.spec, facts: &self.facts, list: self.bundle.list(), topology: &self.topology }
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        plan(&self.inputs()).context("no plan could be made").refused()
    }

    fn context<'b>(&'b self, host: Host, reporter: &'b Reporter) -> Context<'b> {
        Context { host, bundle: &self.bundle, inputs: self.inputs(), material: &self.work.handed, progress: reporter }
    }

    fn records(&self) -> Records {
        Records::of(&self.bundle, &self.work.trust, self.work.spec.clone(), Some(self.work.host.clone()))
    }
}

/// Does what `phase` asks of this host, and returns the steps that changed something.
pub fn apply(work: &Work, phase: Phase, reporter: &Reporter) -> anyhow::Result<Vec<String>> {
    let lock = wait_for_lock(reporter)?;
    let host = Host::local()?;
    let place = Place::find(work, &host)?;
    let records = place.records();
    records.refuse_another(&host)?;
    let plan = place.plan()?.of_phase(phase);
    records.keep(&host)?;
    let changed = executor::execute(&plan, &mut place.context(host, reporter), reporter)?;
    drop(lock);
    Ok(changed.into_iter().map(str::to_owned).collect())
}

/// Says what would be done, phase by phase.
pub fn look(work: &Work, reporter: &Reporter) -> anyhow::Result<()> {
    let host = Host::local()?;
    let place = Place::find(work, &host)?;
    place.records().refuse_another(&host)?;
    executor::look(&place.plan()?, &place.context(host, reporter), reporter)
}
