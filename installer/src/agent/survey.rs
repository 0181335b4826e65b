//! This host's facts, and how far its installation is.

use std::time::{SystemTime, UNIX_EPOCH};

use super::questions::{Survey, SurveyHost};
use super::store;
use crate::facts::HostFacts;
use crate::host::Host;
use crate::records::Records;
use crate::restoration_records::RestorationMark;
use crate::steps::{ControlPlane, Etcd, Join, Step as _};

/// Surveys the host. Changes nothing.
pub fn survey(asked: &SurveyHost) -> anyhow::Result<Survey> {
    let host = Host::local()?;
    let facts = HostFacts::gather(&host)?;
    let begun = !host.ledger().changes().is_empty();
    let records = if begun { Records::read(&host)? } else { None };
    Ok(Survey {
        holds_bundle: asked.list.is_some_and(|list| store::holds(&list, &asked.roles)),
        installed: records.as_ref().map(Records::list_digest),
        standing: records.map(|records| records.spec),
        control_plane: host.ledger().state_of(ControlPlane.id()),
        etcd: host.ledger().state_of(Etcd.id()),
        join: host.ledger().state_of(Join.id()),
        restoration: RestorationMark::read(&host)?,
        facts,
        // Last, since the leader compares it with its own clock when the answer arrives.
        clock_milliseconds: milliseconds(),
    })
}

fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
