//! Rolls this host back from an upgrade of its cluster.

use super::leader_link::LeaderLink;
use super::questions::RollbackPreview;
use super::work::wait_for_lock;
use crate::host::Host;
use crate::rollback::{FormerHost, Store};

/// Reports what a rollback would do. Changes nothing.
pub fn preview() -> anyhow::Result<RollbackPreview> {
    let host = Host::local()?;
    let rollback = FormerHost::read(&host)?.decide(&host, Store::KeptIfReadable)?;
    Ok(RollbackPreview { from: rollback.from, to: rollback.to, acts: rollback.acts })
}

/// Rolls back, and returns what was done. The mark of the rollback stays, so that it can be repeated.
pub fn roll_back(leader: &LeaderLink) -> anyhow::Result<Vec<String>> {
    let lock = wait_for_lock(leader)?;
    let mut host = Host::local()?;
    let former = FormerHost::read(&host)?;
    let rollback = former.decide(&host, Store::KeptIfReadable)?;
    if !rollback.acts.is_empty() {
        rollback.begin(&host)?;
        rollback.go_back(&mut host, &former.inputs(), leader)?;
    }
    drop(lock);
    Ok(rollback.acts.iter().map(|act| act.id().to_owned()).collect())
}

/// Forgets the upgrade.
pub fn end(leader: &LeaderLink) -> anyhow::Result<()> {
    let lock = wait_for_lock(leader)?;
    let mut host = Host::local()?;
    FormerHost::read(&host)?.decide(&host, Store::KeptIfReadable)?.end(&mut host)?;
    drop(lock);
    Ok(())
}
