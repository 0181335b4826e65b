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
}

/// Whether a member works.
pub(super) enum Health {
    Good,
    Bad(String),
}

/// Asks the member at `address` through its API, by a read that needs etcd's consensus.
pub(super) fn health(host: &Host, address: IpAddr) -> anyhow::Result<Health> {
    let output = host.run_if_installed(&etcdctl(address, &["endpoint", "health"]))?;
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
    until(progress, "etcd to be healthy", HEALTHY_WITHIN, || {
        Ok(match health(host, address)? {
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

/// Adds a member with this name and this peer URL, and returns all members, including the new one. Start it next: until then it counts as a
/// failed member. A member that exists already is not an error.
pub fn add_member(host: &Host, address: IpAddr, name: &str, peer_url: &str) -> anyhow::Result<Vec<EtcdMember>> {
    if !members(host, address)?.iter().any(|member| member.peer_url == peer_url) {
        host.run(&etcdctl(address, &["member", "add", name, &format!("--peer-urls={peer_url}")]))?;
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

/// The path of etcd's client.
pub const ETCDCTL: &str = "/usr/local/bin/etcdctl";

/// `etcdctl` for the member at `address`. It uses version 3 of etcd's API by default since 3.4, and 3.6 warns about `ETCDCTL_API`.
#[must_use]
pub fn etcdctl(address: IpAddr, arguments: &[&str]) -> Command {
    // Its own limit is five seconds. A slow host would seem ill, and its etcd be restarted for that.
    let limit = ["--command-timeout=20s".to_owned()].into_iter();
    let all = limit.chain(connection(address)).chain(arguments.iter().map(|&argument| argument.to_owned()));
    Command::new(ETCDCTL, all)
}

/// The flags by which `etcdctl` reaches the member at `address`, with the credentials of the member on this host.
#[must_use]
pub fn connection(address: IpAddr) -> [String; 4] {
    let own = |name: &str| format!("{}/{name}", layout::PKI_DIRECTORY);
    [
        format!("--endpoints={}", layout::client_url(address)),
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
        Ok(EtcdMember { id: format!("{id:x}"), name: name.to_owned(), peer_url: peer_url.to_owned() })
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
        let all = add_member(&host, here, "b", "https://192.0.2.2:2380").unwrap();
        assert_eq!((all[1].name.as_str(), acts(&bench)), ("b", vec![]));
        add_member(&host, here, "c", "https://192.0.2.3:2380").unwrap();
        assert_eq!(acts(&bench), ["member add c --peer-urls=https://192.0.2.3:2380"]);
        remove_member(&host, here, "https://192.0.2.3:2380").unwrap();
        assert_eq!(acts(&bench), Vec::<String>::new());
        remove_member(&host, here, "https://192.0.2.2:2380").unwrap();
        assert_eq!(acts(&bench), ["member remove ff"]);
    }
}
