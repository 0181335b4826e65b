//! From whose data etcd goes on after most of its members are lost, or whether it runs and some have only to come back. Asks nobody and
//! changes nothing.

use std::collections::BTreeSet;

use anyhow::anyhow;

use super::index::HostIndex;
use super::text::few;
use crate::config::DnsName;
use crate::failure::Advise;
use crate::recovery::Part;
use crate::recovery::look::{Data, MemberState};
use indicatif::HumanBytes;

/// A host with a member of etcd, and what it said.
pub struct Found<'a> {
    /// Which host.
    pub index: HostIndex,
    /// Its name.
    pub name: &'a DnsName,
    /// How its member is.
    pub state: &'a MemberState,
}

impl Found<'_> {
    fn is_healthy(&self) -> bool {
        self.state.illness.is_none()
    }

    fn is_begun_survivor(&self) -> bool {
        self.state.unfinished == Some(Part::Survivor)
    }

    fn revision(&self) -> Option<u64> {
        match self.state.data {
            Data::Readable { revision, .. } => Some(revision),
            Data::None | Data::Unreadable { .. } => None,
        }
    }
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    /// etcd begins anew with the data of this host's member.
    Restart {
        /// The host.
        survivor: HostIndex,
        /// Why this one, for people.
        reason: String,
    },
    /// etcd does its work on these; others may have to come back to it.
    Runs(Vec<HostIndex>),
}

/// Decides it. `named` is the host that the user wants to go on from.
///
/// # Errors
/// Where etcd can be brought up as it is, where no data are left, or where the data of another host are newer.
pub fn course(found: &[Found<'_>], named: Option<&DnsName>) -> anyhow::Result<Course> {
    let begun: Vec<_> = found.iter().filter(|host| host.is_begun_survivor()).collect();
    let healthy: Vec<_> = found.iter().filter(|host| host.is_healthy()).collect();
    // The one that was begun with may be healthy already, while its control plane is not.
    if healthy.iter().any(|host| !host.is_begun_survivor()) {
        refuse_unhealthy(&healthy, named)?;
        return Ok(Course::Runs(healthy.iter().map(|host| host.index).collect()));
    }
    match begun.as_slice() {
        [] => begin(found, named),
        [one] if named.is_none_or(|name| name == one.name) => {
            let reason = format!("an earlier call began with the data of {}", one.name);
            Ok(Course::Restart { survivor: one.index, reason })
        }
        _ => match begun.iter().find(|host| Some(host.name) == named) {
            Some(one) => Ok(Course::Restart { survivor: one.index, reason: format!("{} was named", one.name) }),
            None => refuse_another_survivor(&begun),
        },
    }
}

fn begin(found: &[Found<'_>], named: Option<&DnsName>) -> anyhow::Result<Course> {
    refuse_majority(found)?;
    let newest = found.iter().filter_map(Found::revision).max();
    let Some(newest) = newest else { return refuse_without_data(found) };
    let survivor = found.iter().find(|host| host.revision() == Some(newest)).expect("one has the newest");
    let survivor = match named {
        None => survivor,
        Some(name) => named_survivor(found, name, survivor, newest)?,
    };
    refuse_without_room(survivor)?;
    let others: Vec<_> = found
        .iter()
        .filter(|host| host.index != survivor.index)
        .filter_map(|host| Some(format!("{} has revision {}", host.name, host.revision()?)))
        .collect();
    let others = if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
    let reason = format!("etcd goes on with the data of {}, revision {newest}{others}", survivor.name);
    Ok(Course::Restart { survivor: survivor.index, reason })
}

fn named_survivor<'f, 'a>(
    found: &'f [Found<'a>],
    name: &DnsName,
    best: &Found<'a>,
    newest: u64,
) -> anyhow::Result<&'f Found<'a>> {
    let refused = |why: String| Err(anyhow!("{why}; nothing was changed")).refused();
    let Some(host) = found.iter().find(|host| host.name == name) else {
        return refused(format!("{name} has no member of etcd that was reached"))
            .hint("leave out `--survivor`: the member with the newest data is taken");
    };
    match &host.state.data {
        Data::Readable { revision, .. } if *revision == newest => Ok(host),
        Data::Readable { revision, .. } => refused(format!(
            "the data of {name} end at revision {revision}, and those of {} at {newest}: what was written between would be lost",
            best.name
        ))
        .hint(format!("take the newer ones: `--survivor {}`", best.name)),
        Data::Unreadable { reason } => refused(format!("the data of {name} cannot be used: {reason}"))
            .hint("leave out `--survivor`: the member with the newest data is taken"),
        Data::None => refused(format!("{name} has no data of etcd"))
            .hint("leave out `--survivor`: the member with the newest data is taken"),
    }
}

/// Members that are a majority only have to be started: nothing is lost then.
fn refuse_majority(found: &[Found<'_>]) -> anyhow::Result<()> {
    let all: BTreeSet<_> = found.iter().flat_map(|host| &host.state.members).collect();
    let here: Vec<_> = found.iter().filter(|host| host.revision().is_some()).map(|host| host.name).collect();
    if here.len() <= all.len() / 2 {
        return Ok(());
    }
    Err(anyhow!(
        "{} of etcd's {} members are here with their data ({}), which is a majority: nothing is lost, and nothing was changed",
        here.len(),
        all.len(),
        few(&here)
    ))
    .refused()
    .hint("find out why they do not run: `systemctl status etcd` and `journalctl -u etcd` on these hosts")
}

fn refuse_without_data<T>(found: &[Found<'_>]) -> anyhow::Result<T> {
    let reasons: Vec<_> = found
        .iter()
        .map(|host| match &host.state.data {
            Data::Unreadable { reason } => format!("{}: {reason}", host.name),
            _ => format!("{}: there are no data", host.name),
        })
        .collect();
    let reasons =
        if reasons.is_empty() { "no host with a member of etcd was reached".to_owned() } else { reasons.join("; ") };
    Err(anyhow!("no member of etcd has data to go on with: {reasons}; nothing was changed"))
        .refused()
        .hint("restore the cluster from a backup: `kinstall restore`, see `kinstall manual how-to/backup`")
}

fn refuse_without_room(survivor: &Found<'_>) -> anyhow::Result<()> {
    let Data::Readable { needed_bytes, free_bytes, .. } = survivor.state.data else { return Ok(()) };
    if free_bytes >= needed_bytes {
        return Ok(());
    }
    Err(anyhow!(
        "{} has {} free where etcd's data lie, and copies of them need {}; nothing was changed",
        survivor.name,
        HumanBytes(free_bytes),
        HumanBytes(needed_bytes)
    ))
    .refused()
    .hint(format!("make room below /var/lib on {}", survivor.name))
}

/// etcd runs elsewhere, so that this host's data are not what the cluster goes on with.
fn refuse_unhealthy(healthy: &[&Found<'_>], named: Option<&DnsName>) -> anyhow::Result<()> {
    let Some(name) = named.filter(|name| healthy.iter().all(|host| host.name != *name)) else { return Ok(()) };
    let names: Vec<_> = healthy.iter().map(|host| host.name).collect();
    Err(anyhow!("etcd does its work on {}, and not on {name}; nothing was changed", few(&names)))
        .refused()
        .hint("leave out `--survivor`: the others join the members that run")
}

fn refuse_another_survivor<T>(begun: &[&Found<'_>]) -> anyhow::Result<T> {
    let names: Vec<_> = begun.iter().map(|host| host.name).collect();
    Err(anyhow!("a recovery was begun with the data of {} and is not complete; nothing was changed", few(&names)))
        .refused()
        .hint(format!("go on with it: `--survivor {}`", names[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERS: [&str; 3] = ["a", "b", "c"];

    fn ill(data: Data) -> MemberState {
        let members = MEMBERS.map(str::to_owned).to_vec();
        MemberState { illness: Some("context deadline exceeded".into()), data, unfinished: None, members }
    }

    fn at(revision: u64) -> MemberState {
        ill(Data::Readable { revision, needed_bytes: 300, free_bytes: 1000 })
    }

    fn healthy() -> MemberState {
        MemberState { illness: None, ..at(50) }
    }

    fn begun(part: Part) -> MemberState {
        MemberState { unfinished: Some(part), ..at(40) }
    }

    /// The course for hosts called `a`, `b` and so on.
    fn decided(states: &[MemberState], named: Option<&str>) -> Result<Course, String> {
        let names: Vec<DnsName> = MEMBERS.iter().map(|name| name.parse().unwrap()).collect();
        let found: Vec<_> = states
            .iter()
            .enumerate()
            .map(|(number, state)| Found { index: HostIndex(number), name: &names[number], state })
            .collect();
        let named = named.map(|name| name.parse().unwrap());
        course(&found, named.as_ref()).map_err(|error| error.to_string())
    }

    fn survivor(states: &[MemberState], named: Option<&str>) -> usize {
        match decided(states, named).unwrap() {
            Course::Restart { survivor, .. } => survivor.0,
            Course::Runs(on) => panic!("etcd runs on {on:?}"),
        }
    }

    #[test]
    fn the_newest_readable_data_are_gone_on_with() {
        let unreadable = ill(Data::Unreadable { reason: "the file is cut off".into() });
        assert_eq!(survivor(&[at(40)], None), 0);
        assert_eq!(survivor(&[unreadable.clone(), at(40)], None), 1);
        let five: Vec<_> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        let of_five = |revision| MemberState { members: five.clone(), ..at(revision) };
        assert_eq!(survivor(&[of_five(40), of_five(41)], None), 1);
        assert_eq!(survivor(&[of_five(41), of_five(41)], Some("b")), 1);
        let Ok(Course::Restart { reason, .. }) = decided(&[of_five(40), of_five(41)], None) else { panic!() };
        assert_eq!(reason, "etcd goes on with the data of b, revision 41; a has revision 40");
        let refused = decided(&[of_five(40), of_five(41)], Some("a")).unwrap_err();
        assert!(refused.contains("end at revision 40, and those of b at 41"), "{refused}");
        let refused = decided(&[unreadable.clone(), at(40)], Some("a")).unwrap_err();
        assert!(refused.contains("the data of a cannot be used: the file is cut off"), "{refused}");
        assert!(decided(&[at(40)], Some("c")).unwrap_err().contains("no member of etcd that was reached"));
        let refused = decided(&[unreadable, ill(Data::None)], None).unwrap_err();
        assert!(refused.contains("a: the file is cut off; b: there are no data"), "{refused}");
    }

    #[test]
    fn members_that_are_a_majority_are_to_be_started_and_not_thrown_away() {
        let refused = decided(&[at(40), at(39)], None).unwrap_err();
        assert!(refused.starts_with("2 of etcd's 3 members are here with their data (a, b)"), "{refused}");
    }

    #[test]
    fn etcd_that_runs_is_left_alone() {
        assert_eq!(decided(&[at(40), healthy()], None), Ok(Course::Runs(vec![HostIndex(1)])));
        let refused = decided(&[at(40), healthy()], Some("a")).unwrap_err();
        assert!(refused.contains("etcd does its work on b, and not on a"), "{refused}");
    }

    #[test]
    fn what_was_begun_is_gone_on_with_and_with_nothing_else() {
        assert_eq!(survivor(&[at(90), begun(Part::Survivor)], None), 1);
        let is_up = MemberState { unfinished: Some(Part::Survivor), ..healthy() };
        assert_eq!(survivor(&[begun(Part::Rejoins), is_up.clone()], None), 1);
        let refused = decided(&[at(90), begun(Part::Survivor)], Some("a")).unwrap_err();
        assert!(refused.contains("begun with the data of b"), "{refused}");
        let two = [begun(Part::Survivor), begun(Part::Survivor)];
        assert!(decided(&two, None).unwrap_err().contains("begun with the data of a, b"));
        assert_eq!(survivor(&two, Some("b")), 1);
        // It came back after the others went on without it.
        assert_eq!(decided(&[begun(Part::Survivor), healthy()], None), Ok(Course::Runs(vec![HostIndex(1)])));
    }

    #[test]
    fn copies_need_room() {
        let full = ill(Data::Readable { revision: 4, needed_bytes: 3 << 30, free_bytes: 1 << 30 });
        let refused = decided(&[full], None).unwrap_err();
        assert_eq!(
            refused,
            "a has 1.00 GiB free where etcd's data lie, and copies of them need 3.00 GiB; nothing was changed"
        );
    }
}
