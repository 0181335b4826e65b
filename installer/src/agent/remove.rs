//! Taking things off this host again.

use std::io;
use std::path::Path;

use fs_err as fs;

use super::store;
use super::work::wait_for_lock;
use crate::failure::Advise;
use crate::host::{Host, ledger};
use crate::report::Reporter;
use crate::reset::undo_all;

/// Removes the cluster, and kinstall itself.
pub fn reset(reporter: &Reporter) -> anyhow::Result<()> {
    let _lock = wait_for_lock(reporter)?;
    let host = Host::local()?;
    if host.ledger().changes().is_empty() {
        return remove_all();
    }
    undo_all(host, reporter).hint("what was undone stays so; run the same command again to go on")
}

/// Removes kinstall from a host that it has changed nothing on; elsewhere it stays.
pub fn withdraw() -> anyhow::Result<()> {
    let host = Host::local()?;
    if host.ledger().changes().is_empty() { remove_all() } else { Ok(()) }
}

fn remove_all() -> anyhow::Result<()> {
    absent(fs::remove_dir_all(store::DIRECTORY))?;
    // What else lies there is not ours.
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
