//! The state of a host at the beginning of an upgrade: the bundle that it was set up from, and how far an upgrade is.

use anyhow::anyhow;
use kbundle_format::{BundleList, Digest};
use serde::{Deserialize, Serialize};

use super::unfinished::{self, Mark};
use crate::failure::Advise;
use crate::host::Host;
use crate::records::Records;

/// The state of a host before an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The signed list of the bundle that it was set up from.
    pub list: String,
    /// The list of the bundle that an unfinished upgrade leads to.
    pub target: Option<Digest>,
    /// How far the host is with its turn in that upgrade.
    pub turn: Turn,
    /// Steps of its installation that began and were never completed.
    pub incomplete: Vec<String>,
}

/// How far a host is with its turn: the time in which all that runs on it is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// It had no turn yet.
    #[default]
    NotBegun,
    /// Its turn was cut off. Its pods had been moved away.
    Begun,
    /// Its turn is complete.
    Done,
}

impl Turn {
    /// How far this host is.
    fn read(host: &Host) -> anyhow::Result<Self> {
        Ok(match (unfinished::has(host, Mark::TurnBegun)?, unfinished::has(host, Mark::TurnDone)?) {
            (_, true) => Self::Done,
            (true, false) => Self::Begun,
            (false, false) => Self::NotBegun,
        })
    }
}

impl Standing {
    /// The state of this host. `incomplete` are the steps of its installation that were cut off.
    ///
    /// # Errors
    /// When kinstall has not set it up.
    pub fn read(host: &Host, records: &Records, incomplete: &[&str]) -> anyhow::Result<Self> {
        let target = unfinished::target(host)?.map(|target| target.list_digest());
        // While an upgrade is under way, its own steps may be cut off.
        let incomplete = if target.is_some() { &[] } else { incomplete };
        Ok(Self {
            list: String::from_utf8_lossy(&records.list_bytes).into_owned(),
            target,
            // Without a target, the marks are from an upgrade whose end was cut off.
            turn: if target.is_some() { Turn::read(host)? } else { Turn::NotBegun },
            incomplete: incomplete.iter().map(|&step| step.to_owned()).collect(),
        })
    }
}

/// The records that this host was set up from.
pub fn records(host: &Host) -> anyhow::Result<Records> {
    match Records::read_begun(host)? {
        Some(records) => Ok(records),
        None => Err(anyhow!("kinstall has not set up this host: there is nothing to upgrade"))
            .refused()
            .hint("install the bundle: `kinstall run BUNDLE --key KEY`"),
    }
}

/// Whether an upgrade to this bundle is under way.
///
/// # Errors
/// When an upgrade to another bundle is under way.
pub fn resumes(host: &Host, target: &Records) -> anyhow::Result<bool> {
    let Some(begun) = unfinished::target(host)? else { return Ok(false) };
    if unfinished::has(host, Mark::RollingBack)? {
        return Err(anyhow!("a rollback of this host is not finished; nothing was changed"))
            .refused()
            .hint("finish it first: `kinstall rollback`");
    }
    if begun.list_bytes == target.list_bytes {
        return Ok(true);
    }
    let version = BundleList::parse(&begun.list_bytes)?.kubernetes_version;
    Err(anyhow!("an upgrade of this host to another bundle, with Kubernetes {version}, is not finished"))
        .refused()
        .hint("finish it with that bundle first: `kinstall upgrade BUNDLE --key KEY`")
}

/// Refuses a host whose installation was never completed.
pub fn refuse_incomplete(steps: &[impl AsRef<str>], host: &str) -> anyhow::Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    let steps: Vec<_> = steps.iter().map(AsRef::as_ref).collect();
    Err(anyhow!("the installation of {host} is not complete: {}; nothing was changed", steps.join(", ")))
        .refused()
        .hint("complete it first with the bundle that it was begun with: `kinstall run BUNDLE --key KEY`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;
    use crate::fixture::{self, Cluster};
    use crate::host::Change;

    #[test]
    fn a_host_tells_how_far_its_upgrade_is() {
        let bench = Bench::new();
        let cluster = Cluster::of_three_and_two();
        let of = |version: &str| {
            let list_bytes = fixture::list(version).to_bytes();
            let (spec, name) = (cluster.spec.clone(), Some("w1".to_owned()));
            Records { list_bytes, signatures: vec![], keys: vec![], spec, name }
        };
        let (old, new) = (of("1.35.4"), of("1.36.3"));
        let read = || Standing::read(&bench.host(), &old, &["join"]).unwrap();
        bench.host().ledger_mut().record(Change::StepStarted { step: "join".into() }).unwrap();
        assert_eq!((read().incomplete, read().target), (vec!["join".to_owned()], None));
        unfinished::begin(&mut bench.host(), &new).unwrap();
        let begun = read();
        assert_eq!((begun.target, begun.turn), (Some(new.list_digest()), Turn::NotBegun));
        assert!(begun.incomplete.is_empty(), "steps of the upgrade may be cut off: the same upgrade completes them");
        unfinished::note(&bench.host(), Mark::TurnBegun).unwrap();
        assert_eq!(read().turn, Turn::Begun);
        unfinished::note(&bench.host(), Mark::TurnDone).unwrap();
        assert_eq!(read().turn, Turn::Done);
        unfinished::end(&mut bench.host(), &new).unwrap();
        assert_eq!((read().target, read().turn), (None, Turn::NotBegun));
    }
}
