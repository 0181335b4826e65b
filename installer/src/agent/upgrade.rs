//! A part of an upgrade on this host, and what a leader has to know about the host before it.

use std::borrow::Cow;

use anyhow::anyhow;
use kbundle_format::BundleList;

use super::leader_link::LeaderLink;
use super::questions::{ApplyPart, ReadStanding};
use super::store;
use super::work::{gather, plan_of, records, wait_for_lock};
use crate::executor;
use crate::failure::Advise;
use crate::host::Host;
use crate::inputs::OwnedInputs;
use crate::plan::{self, plan_upgrade_parts};
use crate::steps::Context;
use crate::upgrade::RESUME;
use crate::upgrade::part::Part;
use crate::upgrade::standing::{self, Standing, resumes};
use crate::upgrade::unfinished::{self, Mark};
use crate::{recovery, restoration_records};

/// The host's state before an upgrade. Refuses a host that is part of another cluster, or has another name.
pub fn read_standing(asked: &ReadStanding) -> anyhow::Result<Standing> {
    let host = Host::local()?;
    restoration_records::refuse_unfinished(&host)?;
    recovery::refuse_unfinished(&host)?;
    let records = standing::records(&host)?;
    records.refuse_another_cluster(&asked.spec, Some(asked.host.as_str()))?;
    let list = BundleList::parse(&records.list_bytes)?;
    let (spec, name) = (Cow::Borrowed(&records.spec), records.name.as_deref());
    let gathered = OwnedInputs::gather(&host, spec, name, Cow::Borrowed(&list))?;
    Standing::read(&host, &records, &plan::incomplete(&host, &gathered.inputs()))
}

/// Does this part, and returns the steps that changed something.
pub fn apply(asked: &ApplyPart, leader: &LeaderLink) -> anyhow::Result<Vec<String>> {
    let ApplyPart { part, work } = asked;
    let lock = wait_for_lock(leader)?;
    let mut host = Host::local()?;
    let bundle = store::open(&work.trust)?;
    let target = records(work, &bundle);
    let is_under_way = resumes(&host, &target)?;
    let gathered = gather(work, &host, &bundle)?;
    let inputs = gathered.inputs();
    let plan = plan_of(plan_upgrade_parts(&inputs, &[*part]))?;
    match part {
        Part::Preload => unfinished::begin(&mut host, &target)?,
        Part::Node if is_under_way => unfinished::note(&host, Mark::TurnBegun)?,
        _ if is_under_way => {}
        _ => return Err(anyhow!("no upgrade to this bundle was begun on this host")).refused(),
    }
    let mut context = Context { host, bundle: &bundle, inputs, material: &work.material, progress: leader };
    let changed = executor::execute_advising(RESUME, &plan, &mut context, leader)?;
    match part {
        Part::Node => unfinished::note(&context.host, Mark::TurnDone)?,
        Part::Finish => unfinished::end(&mut context.host, &target)?,
        _ => {}
    }
    drop(lock);
    Ok(changed.into_iter().map(str::to_owned).collect())
}
