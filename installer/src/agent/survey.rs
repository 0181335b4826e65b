//! What this host is and how far it is, for whoever leads.

use std::time::{SystemTime, UNIX_EPOCH};

use super::protocol::{Progress, Survey, Wanted};
use super::store;
use crate::facts::HostFacts;
use crate::host::{Change, Host};
use crate::records::Records;
use crate::steps::{ControlPlane, Etcd, Join, Step};

/// Looks at the host. Changes nothing.
pub fn survey(wanted: &Wanted) -> anyhow::Result<Survey> {
    let host = Host::local()?;
    let facts = HostFacts::gather(&host)?;
    let begun = !host.ledger().changes().is_empty();
    let records = if begun { Records::read(&host)? } else { None };
    Ok(Survey {
        holds_bundle: wanted.list.is_some_and(|list| store::holds(&list, &wanted.roles)),
        installed: records.map(|records| records.list_digest()),
        control_plane: progress(&host, &ControlPlane),
        etcd: progress(&host, &Etcd),
        join: progress(&host, &Join),
        facts,
        // Last, so that it is compared with a clock that is read when the answer arrives.
        clock_milliseconds: milliseconds(),
    })
}

fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn progress(host: &Host, step: &dyn Step) -> Progress {
    let step = step.id().to_owned();
    let changes = host.ledger().changes();
    if changes.contains(&Change::StepDone { step: step.clone() }) {
        Progress::Done
    } else if changes.contains(&Change::StepStarted { step }) {
        Progress::Begun
    } else {
        Progress::None
    }
}
