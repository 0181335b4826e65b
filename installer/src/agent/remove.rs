//! Removes the cluster, or kinstall alone, from this host.

use std::io;
use std::path::Path;

use fs_err as fs;

use super::leader_link::LeaderLink;
use super::store;
use super::work::wait_for_lock;
use crate::failure::Advise;
use crate::host::{Host, ledger};
use crate::reset::undo_all;
use crate::restoration_records;

/// Removes the cluster, and kinstall itself.
pub fn reset(leader: &LeaderLink) -> anyhow::Result<()> {
    let _lock = wait_for_lock(leader)?;
    let host = Host::local()?;
    if host.ledger().changes().is_empty() {
        return remove_all();
    }
    undo_all(host, leader).hint("what was undone stays undone; run the same command again to resume")
}

/// Removes kinstall from a host that it has not changed; on any other it stays.
pub fn withdraw() -> anyhow::Result<()> {
    let host = Host::local()?;
    if host.ledger().changes().is_empty() { remove_all() } else { Ok(()) }
}

fn remove_all() -> anyhow::Result<()> {
    absent(fs::remove_dir_all(store::DIRECTORY))?;
    // A restoration may have been cut off before its first change.
    absent(fs::remove_dir_all(restoration_records::DIRECTORY))?;
    // Other files in it are not kinstall's.
    match fs::remove_dir(Path::new(ledger::DIRECTORY)) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Ok(absent(Err(error))?),
        _ => Ok(()),
    }
}

fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
