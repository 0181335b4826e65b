//! What a host records of an unfinished upgrade: the list of the new bundle beside that of the old one, and which steps are done.
//!
//! The records are in [`DIRECTORY`], with the new binaries. Until the last step is done, the host's own records are those of the old
//! bundle.

use serde::{Deserialize, Serialize};

use crate::host::{Host, HostError, ledger};
use crate::records::{Records, RecordsError, UPGRADE};

/// Holds the records of the upgrade.
pub const DIRECTORY: &str = "/var/lib/kinstall/upgrade";
const MARKS: &str = "upgrade/marks.json";

/// Facts about an upgrade that no look at the host can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// A snapshot of etcd was taken.
    Snapshot,
    /// From here on running programs are changed.
    Changing,
    /// The member of etcd may have changed its store.
    Store,
    /// kubeadm may have changed objects of the cluster.
    ClusterObjects,
    /// A rollback began: only the rollback may continue.
    RollingBack,
    /// The rollback is restoring the snapshot of etcd.
    RestoringStore,
    /// The rollback has restored the snapshot of etcd.
    StoreRestored,
    /// kubeadm's configuration differs from the one that the control plane was made from.
    NewConfiguration,
    /// kubeadm has upgraded the control plane.
    ControlPlane,
    /// kubeadm has written the worker's configuration for the new kubelet.
    Worker,
    /// This host had its turn among several, and may have been cut off in it: its pods were moved away.
    TurnBegun,
    /// Its turn is complete: everything that runs only on this host is changed.
    TurnDone,
    /// The network's objects are those of the new bundle.
    Network,
    /// The add-ons' objects are those of the new bundle.
    Addons,
}

/// The records of the new bundle, if an upgrade is under way.
///
/// # Errors
/// When the records are not what was written.
pub fn target(host: &Host) -> Result<Option<Records>, RecordsError> {
    Records::read_in(host, UPGRADE)
}

/// Begins an upgrade to `target`, or resumes it. A snapshot of an earlier try counts only when that try changed something.
pub fn begin(host: &mut Host, target: &Records) -> anyhow::Result<()> {
    host.claim_tree(DIRECTORY)?;
    if self::target(host)?.is_none() {
        // The end of another upgrade was cut off: the marks that it left are not of this one.
        host.remove_claimed(DIRECTORY)?;
    }
    if !has(host, Mark::Changing)? {
        write(host, &marks(host)?.into_iter().filter(|mark| *mark != Mark::Snapshot).collect::<Vec<_>>())?;
    }
    Ok(target.keep_in(host, UPGRADE)?)
}

/// Ends the upgrade: from now on, this host counts as set up from the new bundle.
pub fn end(host: &mut Host, target: &Records) -> anyhow::Result<()> {
    target.replace(host)?;
    host.remove_claimed(DIRECTORY)?;
    Ok(())
}

/// Abandons the upgrade: this host still counts as set up from the former bundle.
pub fn abandon(host: &mut Host) -> Result<(), HostError> {
    host.remove_claimed(DIRECTORY).map(drop)
}

/// Whether this mark is set.
pub fn has(host: &Host, mark: Mark) -> anyhow::Result<bool> {
    Ok(marks(host)?.contains(&mark))
}

/// Sets this mark.
pub fn note(host: &Host, mark: Mark) -> anyhow::Result<()> {
    let mut all = marks(host)?;
    if !all.contains(&mark) {
        all.push(mark);
        write(host, &all)?;
    }
    Ok(())
}

fn marks(host: &Host) -> anyhow::Result<Vec<Mark>> {
    let path = format!("{}/{MARKS}", ledger::DIRECTORY);
    let Some(bytes) = host.read(&path)? else { return Ok(Vec::new()) };
    serde_json::from_slice(&bytes).map_err(|error| anyhow::anyhow!("{path} is damaged: {error}"))
}

fn write(host: &Host, marks: &[Mark]) -> Result<(), HostError> {
    host.keep_record(MARKS, &serde_json::to_vec(marks).expect("names can be written"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClusterSpec;
    use crate::fixture::{self, bench::Bench};

    fn records(version: &str) -> Records {
        let list_bytes = fixture::list(version).to_bytes();
        Records { list_bytes, signatures: vec![], keys: vec![], spec: ClusterSpec::default(), name: None }
    }

    #[test]
    fn both_lists_are_kept_until_the_end() {
        let bench = Bench::new();
        let (old, new) = (records("1.35.4"), records("1.36.3"));
        old.keep(&bench.host()).unwrap();
        assert!(target(&bench.host()).unwrap().is_none());
        begin(&mut bench.host(), &new).unwrap();
        let lists = |bench: &Bench| {
            let host = bench.host();
            let list = |records: Option<Records>| records.map(|records| records.list_bytes);
            (list(Records::read(&host).unwrap()).unwrap(), list(target(&host).unwrap()))
        };
        assert_eq!(lists(&bench), (old.list_bytes.clone(), Some(new.list_bytes.clone())));
        end(&mut bench.host(), &new).unwrap();
        assert_eq!(lists(&bench), (new.list_bytes.clone(), None));
        assert!(!bench.path("var/lib/kinstall/upgrade").exists());
    }

    #[test]
    fn marks_of_a_former_upgrade_do_not_count() {
        let bench = Bench::new();
        bench.file("var/lib/kinstall/ledger.jsonl", "");
        let new = records("1.36.3");
        begin(&mut bench.host(), &new).unwrap();
        note(&bench.host(), Mark::ControlPlane).unwrap();
        fs_err::remove_file(bench.path("var/lib/kinstall/upgrade/cluster.yaml")).unwrap();
        begin(&mut bench.host(), &new).unwrap();
        assert!(!has(&bench.host(), Mark::ControlPlane).unwrap());
    }

    #[test]
    fn a_snapshot_of_a_try_that_changed_nothing_is_taken_again() {
        let bench = Bench::new();
        bench.file("var/lib/kinstall/ledger.jsonl", "");
        let new = records("1.36.3");
        begin(&mut bench.host(), &new).unwrap();
        note(&bench.host(), Mark::Snapshot).unwrap();
        begin(&mut bench.host(), &new).unwrap();
        assert!(!has(&bench.host(), Mark::Snapshot).unwrap());
        note(&bench.host(), Mark::Snapshot).unwrap();
        note(&bench.host(), Mark::Changing).unwrap();
        begin(&mut bench.host(), &new).unwrap();
        assert!(has(&bench.host(), Mark::Snapshot).unwrap());
    }
}
