//! The members of etcd's cluster, queried and changed through the member on this host.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::layout;
use crate::host::{Command, Host};
use crate::step_progress::StepProgress;
use crate::wait::{Look, until};

/// How long a running member may take to answer: its disk or its processor may be slow.
const HEALTHY_WITHIN: Duration = Duration::from_mins(2);
/// How long a learner may take until it has all data: several GiB over a slow link.
const IN_SYNC_WITHIN: Duration = Duration::from_mins(10);

/// A member of the cluster, as etcd lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EtcdMember {
    /// Its id in the form of etcdctl: hexadecimal.
    pub id: String,
    /// Its name; empty until it has started for the first time.
    pub name: String,
    /// The URL at which its peers reach it.
    pub peer_url: String,
    /// Whether it gets all data and has no vote yet.
    #[serde(default)]
    pub is_learner: bool,
}

/// As what a new member begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NewMember {
    /// It counts for the majority at once.
    Voter,
    /// It counts when it is promoted.
    Learner,
}

/// Whether a member works.
pub(super) enum Health {
    Good,
    Bad(String),
}

/// Asks the member at `address` through its API, by a read that needs etcd's consensus.
pub(super) fn health(host: &Host, address: IpAddr) -> anyhow::Result<Health> {
    health_at(host, &layout::client_url(address))
}

fn health_at(host: &Host, endpoint: &str) -> anyhow::Result<Health> {
    let output = host.run_if_installed(&etcdctl_at(endpoint, &["endpoint", "health"]))?;
    Ok(match output {
        Some(output) if output.code == Some(0) => Health::Good,
        Some(output) => Health::Bad(output.stderr.trim().to_owned()),
        None => Health::Bad("etcdctl is not installed".to_owned()),
    })
}

/// Why the member at `address` does not work; `None` if it works.
pub fn illness(host: &Host, address: IpAddr) -> anyhow::Result<Option<String>> {
    Ok(match health(host, address)? {
        Health::Good => None,
        Health::Bad(said) => Some(said),
    })
}

/// Waits until the member at `address` does its work, after a start.
pub fn wait_until_healthy(progress: &dyn StepProgress, host: &Host, address: IpAddr) -> anyhow::Result<()> {
    wait_until_healthy_at(progress, host, &layout::client_url(address))
}

/// The same for the member that clients reach at `endpoint`.
pub fn wait_until_healthy_at(progress: &dyn StepProgress, host: &Host, endpoint: &str) -> anyhow::Result<()> {
    until(progress, "etcd to be healthy", HEALTHY_WITHIN, || {
        Ok(match health_at(host, endpoint)? {
            Health::Good => Look::Ready(()),
            Health::Bad(said) => Look::NotYet(said),
        })
    })
}

/// The members of the cluster that the member at this host's `address` belongs to.
pub fn members(host: &Host, address: IpAddr) -> anyhow::Result<Vec<EtcdMember>> {
    let output = host.run(&etcdctl(address, &["member", "list", "--write-out=json"]))?;
    read_members(&output.stdout).context("while reading what `etcdctl member list` wrote")
}

/// Adds a member with this name and this peer URL, and returns all members, including the new one. Start it next: until then a voter counts
/// as a failed member. A member that exists already is not an error.
pub fn add_member(
    host: &Host,
    address: IpAddr,
    name: &str,
    peer_url: &str,
    new: NewMember,
) -> anyhow::Result<Vec<EtcdMember>> {
    if !members(host, address)?.iter().any(|member| member.peer_url == peer_url) {
        let peer_urls = format!("--peer-urls={peer_url}");
        let learner = (new == NewMember::Learner).then_some("--learner");
        let words: Vec<_> = ["member", "add", name, &peer_urls].into_iter().chain(learner).collect();
        host.run(&etcdctl(address, &words))?;
    }
    let mut all = members(host, address)?;
    for member in all.iter_mut().filter(|member| member.peer_url == peer_url) {
        name.clone_into(&mut member.name);
    }
    Ok(all)
}

/// Removes the member with this peer URL; one that is gone already is not an error.
pub fn remove_member(host: &Host, address: IpAddr, peer_url: &str) -> anyhow::Result<()> {
    let all = members(host, address)?;
    let Some(member) = all.iter().find(|member| member.peer_url == peer_url) else { return Ok(()) };
    if all.len() == 1 {
        bail!("{} is the last member of etcd; the cluster's state would go with it", member.name);
    }
    host.run(&etcdctl(address, &["member", "remove", &member.id]))?;
    Ok(())
}

/// Gives the learner with this peer URL its vote, as soon as it has all data. One that has a vote is not an error.
pub fn promote_member(progress: &dyn StepProgress, host: &Host, address: IpAddr, peer_url: &str) -> anyhow::Result<()> {
    until(progress, "the new member of etcd to have all data", IN_SYNC_WITHIN, || {
        let all = members(host, address)?;
        let found = all.iter().find(|member| member.peer_url == peer_url);
        let member = found.with_context(|| format!("etcd has no member at {peer_url}"))?;
        if !member.is_learner {
            return Ok(Look::Ready(()));
        }
        let output = host.try_run(&etcdctl(address, &["member", "promote", &member.id]))?;
        Ok(if output.code == Some(0) { Look::Ready(()) } else { Look::NotYet(output.stderr.trim().to_owned()) })
    })
}

/// The revision of the data of the member at `address`, which need not have a majority; `None` where it does not answer.
pub fn revision(host: &Host, address: IpAddr) -> anyhow::Result<Option<u64>> {
    let asked = host.run_if_installed(&etcdctl(address, &["endpoint", "status", "--write-out=json"]))?;
    let Some(output) = asked.filter(|output| output.code == Some(0)) else { return Ok(None) };
    let status: Value =
        serde_json::from_str(&output.stdout).context("while reading what `etcdctl endpoint status` wrote")?;
    Ok(status[0]["Status"]["header"]["revision"].as_u64())
}

/// The path of etcd's client.
pub const ETCDCTL: &str = "/usr/local/bin/etcdctl";

/// `etcdctl` for the member at `address`. It uses version 3 of etcd's API by default since 3.4, and 3.6 warns about `ETCDCTL_API`.
#[must_use]
pub fn etcdctl(address: IpAddr, arguments: &[&str]) -> Command {
    etcdctl_at(&layout::client_url(address), arguments)
}

fn etcdctl_at(endpoint: &str, arguments: &[&str]) -> Command {
    // Its own limit is five seconds. A slow host would seem ill, and its etcd be restarted for that.
    let limit = ["--command-timeout=20s".to_owned()].into_iter();
    let all = limit.chain(connection_to(endpoint)).chain(arguments.iter().map(|&argument| argument.to_owned()));
    Command::new(ETCDCTL, all)
}

/// The flags by which `etcdctl` reaches the member at `address`, with the credentials of the member on this host.
#[must_use]
pub fn connection(address: IpAddr) -> [String; 4] {
    connection_to(&layout::client_url(address))
}

/// The same for the member that clients reach at `endpoint`.
pub(super) fn connection_to(endpoint: &str) -> [String; 4] {
    let own = |name: &str| format!("{}/{name}", layout::PKI_DIRECTORY);
    [
        format!("--endpoints={endpoint}"),
        format!("--cacert={}", layout::CA_PATH),
        format!("--cert={}", own("peer.crt")),
        format!("--key={}", own("peer.key")),
    ]
}

/// Reads etcdctl's `MemberListResponse` (etcd's api/etcdserverpb/rpc.proto), in which ids are decimal.
fn read_members(text: &str) -> anyhow::Result<Vec<EtcdMember>> {
    let list: Value = serde_json::from_str(text)?;
    let read = |member: &Value| {
        let id = member["ID"].as_u64().context("a member has no id")?;
        let peer_url = member["peerURLs"][0].as_str().context("a member has no peer URL")?;
        let name = member["name"].as_str().unwrap_or_default();
        let is_learner = member["isLearner"].as_bool().unwrap_or_default();
        Ok(EtcdMember { id: format!("{id:x}"), name: name.to_owned(), peer_url: peer_url.to_owned(), is_learner })
    };
    list["members"].as_array().context("there are no members")?.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::{Bench, FAILS, Notes};

    /// The output of etcdctl 3.4.23, shortened; the second member was added and has not started yet.
    const LIST: &str = r#"{"header":{"cluster_id":14841639068965178418},"members":[
        {"ID":10276657743932975437,"name":"a","peerURLs":["https://192.0.2.1:2380"],"clientURLs":["https://192.0.2.1:2379"]},
        {"ID":255,"peerURLs":["https://192.0.2.2:2380"]}]}"#;

    fn listing(_: &std::path::Path, command: &Command) -> Option<String> {
        command.arguments.contains(&"list".to_owned()).then(|| LIST.to_owned())
    }

    /// A member that answers the second time.
    fn slow(root: &std::path::Path, _: &Command) -> Option<String> {
        let asked = root.join("asked");
        if asked.exists() {
            return None;
        }
        fs_err::write(asked, "").unwrap();
        Some(format!("{FAILS}context deadline exceeded"))
    }

    #[test]
    fn a_member_that_is_slow_to_answer_is_waited_for() {
        let bench = Bench::with_programs(slow);
        wait_until_healthy(&Notes::default(), &bench.host(), IpAddr::from([192, 0, 2, 1])).unwrap();
        assert_eq!(acts(&bench), ["endpoint health", "endpoint health"]);
    }

    /// The arguments that etcdctl was given, without the common part.
    fn acts(bench: &Bench) -> Vec<String> {
        let act = |line: &String| line.split_once("peer.key ").unwrap().1.to_owned();
        bench.ran().iter().map(act).filter(|act| !act.starts_with("member list")).collect()
    }

    #[test]
    fn members_are_read() {
        let found = read_members(LIST).unwrap();
        assert_eq!(found[0].id, "8e9e05c52164694d");
        assert_eq!((found[1].id.as_str(), found[1].name.as_str()), ("ff", ""));
        assert!(read_members("{}").is_err());
    }

    #[test]
    fn only_what_is_missing_is_added_and_only_what_is_there_is_removed() {
        let bench = Bench::with_programs(listing);
        let (host, here) = (bench.host(), IpAddr::from([192, 0, 2, 1]));
        let all = add_member(&host, here, "b", "https://192.0.2.2:2380", NewMember::Voter).unwrap();
        assert_eq!((all[1].name.as_str(), acts(&bench)), ("b", vec![]));
        add_member(&host, here, "c", "https://192.0.2.3:2380", NewMember::Voter).unwrap();
        assert_eq!(acts(&bench), ["member add c --peer-urls=https://192.0.2.3:2380"]);
        add_member(&host, here, "c", "https://192.0.2.3:2380", NewMember::Learner).unwrap();
        assert_eq!(acts(&bench), ["member add c --peer-urls=https://192.0.2.3:2380 --learner"]);
        remove_member(&host, here, "https://192.0.2.3:2380").unwrap();
        assert_eq!(acts(&bench), Vec::<String>::new());
        remove_member(&host, here, "https://192.0.2.2:2380").unwrap();
        assert_eq!(acts(&bench), ["member remove ff"]);
    }

    /// A learner that is promoted the second time, and a member that says how far its data is.
    fn learning(root: &std::path::Path, command: &Command) -> Option<String> {
        let said = command.arguments.join(" ");
        if said.contains("endpoint status") {
            let status = r#"[{"Endpoint":"https://192.0.2.1:2379","Status":{"header":{"revision":1042},"errors":["etcdserver: no leader"]}}]"#;
            return Some(status.to_owned());
        }
        let tries = fs_err::read_to_string(root.join("tries")).map_or(0, |tries| tries.len());
        if said.contains("promote") {
            fs_err::write(root.join("tries"), "x".repeat(tries + 1)).unwrap();
            return (tries == 0)
                .then(|| format!("{FAILS}can only promote a learner member which is in sync with leader"));
        }
        let learner = r#"{"ID":255,"peerURLs":["https://192.0.2.2:2380"],"isLearner":true}"#;
        Some(format!(
            r#"{{"members":[{}]}}"#,
            if tries < 2 { learner.to_owned() } else { learner.replace("true", "false") }
        ))
    }

    #[test]
    fn a_learner_gets_its_vote_once_it_has_all_data() {
        let bench = Bench::with_programs(learning);
        let (host, here) = (bench.host(), IpAddr::from([192, 0, 2, 1]));
        let promote = || promote_member(&Notes::default(), &host, here, "https://192.0.2.2:2380");
        promote().unwrap();
        assert_eq!(acts(&bench), ["member promote ff", "member promote ff"]);
        promote().unwrap();
        assert_eq!(acts(&bench), Vec::<String>::new(), "it has its vote");
        let error = promote_member(&Notes::default(), &host, here, "https://192.0.2.9:2380").unwrap_err();
        assert_eq!(error.to_string(), "etcd has no member at https://192.0.2.9:2380");
    }

    #[test]
    fn a_member_without_a_majority_tells_how_far_its_data_is() {
        let here = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(revision(&Bench::with_programs(learning).host(), here).unwrap(), Some(1042));
        let silent = Bench::with_programs(|_, _| Some(format!("{FAILS}context deadline exceeded")));
        assert_eq!(revision(&silent.host(), here).unwrap(), None);
    }
}
