//! How far the restoration of this host is, by records on it. Steps and other commands ask here.

use anyhow::{Context as _, anyhow};
use serde::Deserialize;

use crate::failure::Advise;
use crate::host::{Host, HostError, ledger};

/// The step that makes etcd's data from the snapshot.
pub const RESTORED_DATA: &str = "restored-data";
/// The step that removes what is gone, the last one of a restoration.
pub const RESTORED_OBJECTS: &str = "restored-objects";
/// The list of the backup that was begun with, below kinstall's own directory.
pub const LIST: &str = "restore/backup.json";
/// Is there until kubeadm has set up the control plane on the restored data.
pub const AWAITS_KUBEADM: &str = "restore/awaits-kubeadm";
/// Where the snapshot lies until etcd's data was made from it.
pub const SNAPSHOT_PATH: &str = "/var/lib/kinstall/restore/snapshot.db";

/// What a refusal says of the backup that the restoration began with. The whole list is `BackupList` of `backup`.
#[derive(Deserialize)]
struct Begun {
    cluster: String,
    created: String,
}

/// Whether a restoration was begun here and not completed.
#[must_use]
pub fn is_unfinished(host: &Host) -> bool {
    host.exists(&format!("{}/{LIST}", ledger::DIRECTORY)) && !host.ledger().is_done(RESTORED_OBJECTS)
}

/// Refuses to make something else of a host that is half restored: an installation would make a new cluster without the data.
pub fn refuse_unfinished(host: &Host) -> anyhow::Result<()> {
    if !is_unfinished(host) {
        return Ok(());
    }
    let path = format!("{}/{LIST}", ledger::DIRECTORY);
    let list = host.read(&path)?.with_context(|| format!("{path} is gone"))?;
    let Begun { cluster, created } = serde_json::from_slice(&list).with_context(|| format!("{path} is damaged"))?;
    Err(anyhow!("a restoration was begun on this host, from the backup of {cluster} of {created}, and is not complete"))
        .refused()
        .hint("run the same `kinstall restore` again to complete it, or `kinstall reset` to give it up")
}

/// Whether kubeadm has still to set up the control plane on restored data. What it makes last is there already, from before.
#[must_use]
pub fn awaits_kubeadm(host: &Host) -> bool {
    host.exists(&format!("{}/{AWAITS_KUBEADM}", ledger::DIRECTORY))
}

/// Notes that it has.
pub fn kubeadm_is_done(host: &Host) -> Result<(), HostError> {
    host.remove_record(AWAITS_KUBEADM)
}
