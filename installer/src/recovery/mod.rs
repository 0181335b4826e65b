//! A new beginning of etcd from one of its members, after most of them are lost.
//!
//! The member that is left, the *survivor*, sets its data aside and reads a copy of them once alone (`--force-new-cluster`), so that
//! whatever its log has gets into its store. From a snapshot of that it makes the data of a new cluster of etcd, whose only member it is, as a
//! restoration does. The other members that are there set their data aside, and join it as new ones. Nothing is deleted.
//!
//! [`look`] says how a member is, [`act`] has what a host does. Who does what and when, [`fleet`](crate::fleet) decides.

pub mod act;
pub mod look;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};

use crate::failure::Advise;
use crate::host::Host;
use crate::host::unfinished::UnfinishedWork;

/// What to do when a recovery ends early.
pub const RESUME: &str = "nothing was deleted; run the same `kinstall recover` again to resume";

/// What a host does in a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Its data are what the cluster goes on with.
    Survivor,
    /// Its member of etcd joins the survivor's.
    Rejoins,
    /// It has no member of etcd; its API server starts anew.
    Restarts,
}

/// A recovery of this host that is under way. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Recovery {
    /// What the host does in it.
    pub part: Option<Part>,
    /// When it began, as it stands in file names.
    pub begun: String,
    /// Whether the survivor's snapshot is there.
    pub is_saved: bool,
    /// Whether the data of the new cluster are there. From then on they are what counts.
    pub is_restored: bool,
}

impl UnfinishedWork for Recovery {
    const FILE: &str = "recovery.json";
    const WORK: &str = "a recovery";
}

/// Refuses to make something else of a host that is half recovered: an installation would make an etcd without the data.
pub fn refuse_unfinished(host: &Host) -> anyhow::Result<()> {
    if !Recovery::is_kept(host) {
        return Ok(());
    }
    Err(anyhow!("a recovery of etcd was begun on this host, and is not complete; nothing was changed"))
        .refused()
        .hint("complete it where the cluster is led: `kinstall recover --config cluster.yaml`")
}

#[cfg(test)]
mod tests;
