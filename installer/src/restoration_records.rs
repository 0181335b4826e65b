//! The state of this host's restoration, by records on the host. Steps and other commands read it here.

use anyhow::{Context as _, anyhow};
use kbundle_format::Digest;
use serde::{Deserialize, Serialize};

use crate::failure::Advise;
use crate::host::{Host, HostError, StepState, ledger};

/// The step that makes etcd's data from the snapshot.
pub const RESTORED_DATA: &str = "restored-data";
/// The step that removes objects of what is gone; the last step of a restoration.
pub const RESTORED_OBJECTS: &str = "restored-objects";
/// The list of the backup that was begun with, below kinstall's own directory, on the host that begins the cluster.
pub const LIST: &str = "restore/backup.json";
/// The same on a host that joins it.
pub const JOINED_LIST: &str = "restore/joined-backup.json";
/// Is there until kubeadm has set up the control plane on the restored data.
pub const AWAITS_KUBEADM: &str = "restore/awaits-kubeadm";
/// Where the snapshot is until etcd's data was made from it.
pub const SNAPSHOT_PATH: &str = "/var/lib/kinstall/restore/snapshot.db";

/// Holds the records and the snapshot.
pub const DIRECTORY: &str = "/var/lib/kinstall/restore";

/// The part of a backup that a host gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its member of etcd starts with the data.
    pub data: bool,
    /// It begins the cluster: it gets the keys, and removes the objects of what is gone.
    pub begins: bool,
}

impl Share {
    /// The share of a single host, and of the first of several hosts.
    pub const ALL: Self = Self { data: true, begins: true };

    /// The share that this host has got.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        let data = host.exists(SNAPSHOT_PATH) || host.ledger().state_of(RESTORED_DATA) != StepState::NotBegun;
        Self { data, begins: host.exists(&path_of(LIST)) }
    }

    /// The record that names the backup on this host.
    #[must_use]
    pub fn record(self) -> &'static str {
        if self.begins { LIST } else { JOINED_LIST }
    }
}

/// The restoration that a host is part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorationMark {
    /// The digest of the backup's list.
    pub list: Digest,
    /// The share of the backup that the host has got.
    pub share: Share,
    /// Whether etcd's data was made from it.
    pub is_data_made: bool,
}

impl RestorationMark {
    /// Reads it; `None` on a host that was not set up from a backup.
    pub fn read(host: &Host) -> Result<Option<Self>, HostError> {
        let share = Share::of(host);
        let list = host.read(&path_of(share.record()))?;
        let is_data_made = host.ledger().is_done(RESTORED_DATA);
        Ok(list.map(|list| Self { list: Digest::of(&list), share, is_data_made }))
    }
}

fn path_of(record: &str) -> String {
    format!("{}/{record}", ledger::DIRECTORY)
}

/// The fields of the backup's list that a refusal names. The whole list is `BackupList` of `backup`.
#[derive(Deserialize)]
struct Begun {
    cluster: String,
    created: String,
}

/// Whether a restoration was begun here and not completed.
#[must_use]
pub fn is_unfinished(host: &Host) -> bool {
    host.exists(&path_of(LIST)) && !host.ledger().is_done(RESTORED_OBJECTS)
}

/// Refuses to use a half-restored host for anything else: an installation would make a new cluster without the data.
pub fn refuse_unfinished(host: &Host) -> anyhow::Result<()> {
    if !is_unfinished(host) {
        return Ok(());
    }
    let path = path_of(LIST);
    let list = host.read(&path)?.with_context(|| format!("{path} is gone"))?;
    let Begun { cluster, created } = serde_json::from_slice(&list).with_context(|| format!("{path} is damaged"))?;
    Err(anyhow!("a restoration was begun on this host, from the backup of {cluster} of {created}, and is not complete"))
        .refused()
        .hint("run the same `kinstall restore` again to complete it, or `kinstall reset` to give it up")
}

/// Whether kubeadm still has to set up the control plane on restored data. The objects that kubeadm makes last cannot show it: they are in
/// the restored data already.
#[must_use]
pub fn awaits_kubeadm(host: &Host) -> bool {
    host.exists(&path_of(AWAITS_KUBEADM))
}

/// Records that kubeadm has set up the control plane.
pub fn kubeadm_is_done(host: &Host) -> Result<(), HostError> {
    host.remove_record(AWAITS_KUBEADM)
}
