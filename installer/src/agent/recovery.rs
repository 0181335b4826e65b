//! A recovery of etcd on this host: how its member is, and what is done.

use std::time::Instant;

use anyhow::Context as _;
use kbundle_format::moment::Moment;

use super::leader_link::LeaderLink;
use super::questions::{LookAtMember, Recover};
use super::work::wait_for_lock;
use crate::host::Host;
use crate::recovery::act::{Act, Recovering};
use crate::recovery::look::{self, MemberState};
use crate::report::{Event, Observer as _};
use crate::standing::Standing;

/// How the member of this host is. Refuses a host that is called otherwise.
pub fn look(asked: &LookAtMember) -> anyhow::Result<MemberState> {
    let host = Host::local()?;
    let standing = Standing::find(&host)?;
    standing.records.refuse_another_name(Some(asked.host.as_str()))?;
    look::look(&host, &standing.inputs())
}

/// Does one act, and reports it as a step.
pub fn recover(asked: &Recover, leader: &LeaderLink) -> anyhow::Result<()> {
    let lock = wait_for_lock(leader)?;
    let mut host = Host::local()?;
    host.sweep_incomplete().context("while removing what an interrupted run left")?;
    let standing = Standing::find(&host)?;
    let (step, title) = (asked.act.id().to_owned(), asked.act.title().to_owned());
    let acts = Act::of(asked.part);
    let number = acts.iter().position(|act| act.id() == step).map_or(acts.len(), |index| index + 1);
    let (of, started) = (acts.len(), Instant::now());
    let reason = "etcd begins anew from one member".to_owned();
    leader.event(&Event::StepStarted { step: step.clone(), title: title.clone(), reason, number, of });
    let mut recovering = Recovering { host: &mut host, inputs: standing.inputs(), progress: leader };
    recovering
        .run(&asked.act, Moment::now())
        .with_context(|| format!("step {number} of {of}, `{step}` ({title}), failed"))?;
    let seconds = started.elapsed().as_secs_f64();
    leader.event(&Event::StepDone { step, title, changed: true, seconds, number, of });
    drop(lock);
    Ok(())
}
