//! Checks between the hosts of a cluster, for what no single host can see. They read the facts of all hosts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Answer, CheckId, Finding, Verdict, finding};
use crate::config::DnsName;
use crate::facts::HostFacts;

/// If clocks differ by more, certificates of one host are not yet valid on another.
const CLOCKS_REJECT_SECONDS: f64 = 30.0;
/// etcd logs a warning if clocks differ by one second or more.
const CLOCKS_WARN_SECONDS: f64 = 2.0;

/// A host whose facts are known.
#[derive(Clone, Copy)]
pub struct Visited<'a> {
    /// Its name in cluster.yaml.
    pub name: &'a DnsName,
    /// Its address there.
    pub address: IpAddr,
    /// Its facts.
    pub facts: &'a HostFacts,
    /// How far its clock is ahead of the leading host's.
    pub clock_offset_seconds: f64,
}

/// A finding about one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFinding {
    /// The host's name.
    pub host: DnsName,
    /// What was found.
    pub finding: Finding,
}

/// A check: an answer for each host, in order.
struct Check {
    id: &'static str,
    wanted: &'static str,
    look: fn(&[Visited<'_>]) -> Vec<Answer>,
}

const CHECKS: &[Check] = &[
    Check {
        id: "distinct-machine-ids",
        wanted: "a machine id that no other host has (the kubelet reports it)",
        look: machine_ids,
    },
    Check { id: "distinct-hostnames", wanted: "a host name that no other host has", look: hostnames },
    Check { id: "clocks", wanted: "clocks that agree within 2 s (certificates, etcd)", look: clocks },
    Check { id: "mtus", wanted: "the same MTU on all hosts", look: mtus },
];

/// The check that hosts perform among themselves, by connecting to each other.
const REACH: &str = "reach";

/// The finding about a host that could not connect to other hosts, if any; `closed` are hosts whose firewall kinstall opens later.
#[must_use]
pub fn reach(host: &DnsName, failures: &[String], closed: &[String], ignored: &[CheckId]) -> HostFinding {
    let answer = if failures.is_empty() && closed.is_empty() {
        Answer::pass("all required connections work")
    } else if failures.is_empty() {
        Answer::pass(format!("closed now, and kinstall opens them: {}", closed.join(", ")))
    } else {
        let advice = "allow these TCP ports between the hosts, in their firewalls (`kinstall run --prepare`) and in those between them";
        Answer::reject(format!("cannot connect to {}", failures.join(", ")), advice)
    };
    let wanted = "connections to API servers, etcd and kubelets, as the host's roles need them";
    HostFinding { host: host.clone(), finding: finding(REACH, wanted, answer, ignored) }
}

/// The check of the number of etcd members.
const ETCD_MEMBERS: &str = "etcd-members";

/// The finding about the number of etcd members, reported for the last of them. An installed cluster may have an even number for a
/// while, since members are added and removed one at a time.
#[must_use]
pub fn etcd_members(hosts: &[&DnsName], stands: bool, ignored: &[CheckId]) -> Option<HostFinding> {
    let (members, host) = (hosts.len(), *hosts.last()?);
    let answer = if members % 2 == 1 {
        Answer::pass(format!("{members} members"))
    } else {
        let lost = match (members - 1) / 2 {
            0 => "none".to_owned(),
            lost => lost.to_string(),
        };
        let found = format!("{members} members; {lost} may fail, the same as with {}", members - 1);
        let advice = format!(
            "remove the role etcd from one host or add it to another, for {} or {} members",
            members - 1,
            members + 1
        );
        if stands { Answer::warn(found, advice) } else { Answer::reject(found, advice) }
    };
    let wanted = "an odd number of etcd members; an even number tolerates no more failures";
    Some(HostFinding { host: host.clone(), finding: finding(ETCD_MEMBERS, wanted, answer, ignored) })
}

/// The ids, which `--ignore` takes.
pub(super) fn ids() -> impl Iterator<Item = CheckId> {
    CHECKS.iter().map(|check| CheckId(check.id)).chain([CheckId(REACH), CheckId(ETCD_MEMBERS)])
}

/// Runs every check on all hosts. If a check in `ignored` rejects, the verdict is [`Verdict::Ignored`].
#[must_use]
pub fn examine(hosts: &[Visited<'_>], ignored: &[CheckId]) -> Vec<HostFinding> {
    let mut findings = Vec::new();
    for check in CHECKS {
        for (host, answer) in hosts.iter().zip((check.look)(hosts)) {
            let finding = finding(check.id, check.wanted, answer, ignored);
            findings.push(HostFinding { host: host.name.clone(), finding });
        }
    }
    findings
}

/// An answer for each host, by the value that `what` reads. Hosts with the same value are rejected.
fn distinct(hosts: &[Visited<'_>], what: impl Fn(&HostFacts) -> Option<&str>, advice: &str) -> Vec<Answer> {
    let mut holders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for host in hosts {
        if let Some(value) = what(host.facts) {
            holders.entry(value).or_default().push(host.name.as_str());
        }
    }
    let answer = |host: &Visited<'_>| {
        let Some(value) = what(host.facts) else { return Answer::unknown("none") };
        match holders[value].as_slice() {
            [_] => Answer::pass(value),
            // Many hosts may share it; three names are enough.
            sharers => {
                let others: Vec<_> =
                    sharers.iter().filter(|name| **name != host.name.as_str()).take(3).copied().collect();
                let more = sharers.len() - 1 - others.len();
                let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                Answer::reject(format!("`{value}`, the same as {}{more}", others.join(", ")), advice)
            }
        }
    };
    hosts.iter().map(answer).collect()
}

fn machine_ids(hosts: &[Visited<'_>]) -> Vec<Answer> {
    let advice = "on a copy of another host: `rm /etc/machine-id /var/lib/dbus/machine-id; systemd-machine-id-setup`, then reboot";
    distinct(hosts, |facts| facts.machine_id.as_deref(), advice)
}

fn hostnames(hosts: &[Visited<'_>]) -> Vec<Answer> {
    distinct(hosts, |facts| Some(&facts.hostname), "`hostnamectl set-hostname NAME` with a name that no other host has")
}

/// Compares each clock with the median, so that only the wrong one is named.
fn clocks(hosts: &[Visited<'_>]) -> Vec<Answer> {
    let mut offsets: Vec<_> = hosts.iter().map(|host| host.clock_offset_seconds).collect();
    offsets.sort_by(f64::total_cmp);
    let Some(&middle) = offsets.get(offsets.len() / 2) else { return Vec::new() };
    let answer = |host: &Visited<'_>| {
        let ahead = host.clock_offset_seconds - middle;
        let side = if ahead < 0.0 { "behind" } else { "ahead of" };
        let found = format!("{:.1} s {side} most other hosts", ahead.abs());
        let advice = "set the clock (`timedatectl set-time`), and run chrony or ntp against a server of the site";
        if ahead.abs() > CLOCKS_REJECT_SECONDS {
            Answer::reject(found, advice)
        } else if ahead.abs() > CLOCKS_WARN_SECONDS {
            Answer::warn(found, advice)
        } else {
            Answer::pass("agrees with the others")
        }
    };
    hosts.iter().map(answer).collect()
}

fn mtus(hosts: &[Visited<'_>]) -> Vec<Answer> {
    let mtu = |host: &Visited<'_>| host.facts.mtu_of(host.address);
    let smallest = hosts.iter().filter_map(mtu).min();
    let answer = |host: &Visited<'_>| match (mtu(host), smallest) {
        (Some(own), Some(smallest)) if own > smallest => Answer::warn(
            format!("{own} bytes; another host has {smallest}"),
            "set the same MTU on all hosts; otherwise large packets between pods are lost",
        ),
        (Some(own), _) => Answer::pass(format!("{own} bytes")),
        (None, _) => Answer::unknown("not reported"),
    };
    hosts.iter().map(answer).collect()
}

/// The findings that reject.
#[must_use]
pub fn rejections(findings: &[HostFinding]) -> Vec<&HostFinding> {
    findings.iter().filter(|found| found.finding.verdict == Verdict::Reject).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    /// The notable findings on three hosts after `change`.
    fn notable(change: impl FnOnce(&mut [HostFacts; 3], &mut [f64; 3])) -> Vec<String> {
        let mut facts = ["a", "b", "c"].map(|name| {
            let mut facts = fixture::facts();
            facts.machine_id = Some(name.repeat(32));
            name.clone_into(&mut facts.hostname);
            facts
        });
        let mut offsets = [0.1, 0.0, -0.2];
        change(&mut facts, &mut offsets);
        let address = facts[0].addresses[0].address;
        let names: [DnsName; 3] = ["a", "b", "c"].map(|name| name.parse().unwrap());
        let visited: Vec<_> = names
            .iter()
            .zip(&facts)
            .zip(offsets)
            .map(|((name, facts), clock_offset_seconds)| Visited { name, address, facts, clock_offset_seconds })
            .collect();
        examine(&visited, &[])
            .iter()
            .filter(|found| found.finding.is_notable())
            .map(|found| {
                format!("{} {} {:?}: {}", found.host, found.finding.check, found.finding.verdict, found.finding.found)
            })
            .collect()
    }

    #[test]
    fn distinct_hosts_pass() {
        assert_eq!(notable(|_, _| ()), Vec::<String>::new());
    }

    #[test]
    fn copies_of_a_host_are_found() {
        insta::assert_debug_snapshot!(notable(|facts, _| {
            facts[2].machine_id = facts[0].machine_id.clone();
            facts[1].hostname = facts[0].hostname.clone();
        }), @r#"
        [
            "a distinct-machine-ids Reject: `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`, the same as c",
            "c distinct-machine-ids Reject: `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`, the same as a",
            "a distinct-hostnames Reject: `a`, the same as b",
            "b distinct-hostnames Reject: `a`, the same as a",
        ]
        "#);
    }

    #[test]
    fn an_even_number_of_etcd_members_is_allowed_only_in_an_installed_cluster() {
        let told = |hosts: &[&str], stands| {
            let names: Vec<DnsName> = hosts.iter().map(|name| name.parse().unwrap()).collect();
            let names: Vec<_> = names.iter().collect();
            let HostFinding { host, finding } = etcd_members(&names, stands, &[]).unwrap();
            format!("{host} {:?}: {}; {}", finding.verdict, finding.found, finding.advice)
        };
        insta::assert_snapshot!(told(&["a", "b"], false), @"b Reject: 2 members; none may fail, the same as with 1; remove the role etcd from one host or add it to another, for 1 or 3 members");
        insta::assert_snapshot!(told(&["a", "b", "c", "d"], true), @"d Warn: 4 members; 1 may fail, the same as with 3; remove the role etcd from one host or add it to another, for 3 or 5 members");
        insta::assert_snapshot!(told(&["a", "b", "c"], false), @"c Pass: 3 members; ");
        assert_eq!(etcd_members(&[], false, &[]), None);
    }

    #[test]
    fn the_wrong_clock_is_named() {
        insta::assert_debug_snapshot!(notable(|_, offsets| *offsets = [600.0, 0.0, -3.0]), @r#"
        [
            "a clocks Reject: 600.0 s ahead of most other hosts",
            "c clocks Warn: 3.0 s behind most other hosts",
        ]
        "#);
    }

    #[test]
    fn a_larger_mtu_than_another_hosts_is_reported() {
        insta::assert_debug_snapshot!(notable(|facts, _| facts[1].mtus = [("eth0".into(), 1450)].into()), @r#"
        [
            "a mtus Warn: 1500 bytes; another host has 1450",
            "c mtus Warn: 1500 bytes; another host has 1450",
        ]
        "#);
    }
}
