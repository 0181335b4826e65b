//! What the kernel's packet filter does with new connections, whoever set its rules: firewalld, ufw, a service that loads a file,
//! another container engine.
//!
//! The rules of each chain at a hook are read with those that it jumps to, in order. A condition that cannot be decided without the packet
//! (its source, its interface, a set) makes the rule narrow: it may apply.

mod iptables;
mod nft;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::IpFamily;
use crate::host::{Command, Host, HostError};

/// Every chain at a hook of the packet filter that decides anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PacketFilter {
    /// The chains.
    pub chains: Vec<FilterChain>,
    /// Programs that did not tell their rules, with what they said.
    pub unread: Vec<String>,
}

/// A chain at a hook, with the rules of those that it jumps to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilterChain {
    /// The program that shows and changes it.
    pub program: FilterProgram,
    /// The packets that it gets.
    pub family: Family,
    /// Its table.
    pub table: String,
    /// Its name in the table.
    pub chain: String,
    /// Where it is.
    pub hook: Hook,
    /// The rules that accept or refuse new connections, in order.
    pub rules: Vec<FilterRule>,
    /// What happens to the others.
    pub policy: FilterVerdict,
}

/// A program that changes rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FilterProgram {
    /// `iptables`, or `ip6tables`.
    Iptables,
    /// The one for the kernel's older tables, where it is not the usual one.
    IptablesLegacy,
    /// `nft`.
    Nft,
}

/// Which packets a chain gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Both.
    Inet,
}

/// Where a chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// To this host.
    Input,
    /// Through this host, as to its pods.
    Forward,
    /// From this host.
    Output,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FilterVerdict {
    /// It goes on.
    Accept,
    /// It does not.
    Drop,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A rule that accepts or refuses new connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilterRule {
    /// What it does.
    pub verdict: FilterVerdict,
    /// The protocols that it is for; all where there are none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub protocols: BTreeSet<Protocol>,
    /// The first and last port that it is for; all where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<(u16, u16)>,
    /// Whether it asks for more, such as a source or an interface.
    #[serde(default)]
    pub is_narrow: bool,
}

/// Whether new connections get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// No connection does.
    Closed,
    /// Some do, as far as can be told: from certain sources, or through certain interfaces.
    Narrow,
    /// All connections do.
    Open,
}

/// The conditions of a rule, gathered while it is read.
#[derive(Clone, Debug, Default)]
struct Condition {
    protocols: BTreeSet<Protocol>,
    ports: Vec<(u16, u16)>,
    is_narrow: bool,
    /// It matches no new connection from another host: only an established connection, the loopback interface, or another protocol.
    is_never: bool,
}

impl Condition {
    /// The condition of a packet that matches both.
    fn and(&self, other: &Self) -> Self {
        let either =
            |here: &BTreeSet<_>, there: &BTreeSet<_>| if here.is_empty() { there.clone() } else { here.clone() };
        let both_narrow = !self.ports.is_empty() && !other.ports.is_empty();
        Self {
            protocols: either(&other.protocols, &self.protocols),
            ports: if other.ports.is_empty() { self.ports.clone() } else { other.ports.clone() },
            is_narrow: self.is_narrow || other.is_narrow || both_narrow,
            is_never: self.is_never || other.is_never,
        }
    }

    fn rule(self, verdict: FilterVerdict) -> Option<FilterRule> {
        let Self { protocols, ports, is_narrow, is_never } = self;
        (!is_never).then_some(FilterRule { verdict, protocols, ports, is_narrow })
    }
}

/// What a rule does with the packets that match its condition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Verdict(FilterVerdict),
    Jump(String),
    Goto(String),
    Return,
    /// It continues with the next rule.
    Next,
}

/// A rule as it was read.
#[derive(Clone, Debug)]
struct ReadRule {
    condition: Condition,
    target: Target,
}

/// How deep jumps are followed. The kernel itself allows 16.
const MAX_DEPTH: usize = 16;

/// The rules of the chain called `name` and of the chains that it jumps to; `chains` gives a chain's own rules.
fn flatten<'a>(
    name: &str,
    chains: &impl Fn(&str) -> Option<&'a [ReadRule]>,
    outer: &Condition,
    depth: usize,
    found: &mut Vec<FilterRule>,
) {
    let mut outer = outer.clone();
    for rule in chains(name).filter(|_| depth < MAX_DEPTH && !is_of_a_cluster(name)).unwrap_or_default() {
        let condition = outer.and(&rule.condition);
        if condition.is_never {
            continue;
        }
        let is_for_all =
            rule.condition.protocols.is_empty() && rule.condition.ports.is_empty() && !rule.condition.is_narrow;
        match &rule.target {
            Target::Verdict(verdict) => found.extend(condition.rule(*verdict)),
            Target::Jump(to) => flatten(to, chains, &condition, depth + 1, found),
            Target::Goto(to) => {
                flatten(to, chains, &condition, depth + 1, found);
                if is_for_all {
                    return;
                }
                outer.is_narrow = true;
            }
            Target::Return if is_for_all => return,
            // The rules that follow apply to fewer packets than they say.
            Target::Return => outer.is_narrow = true,
            Target::Next => {}
        }
    }
}

/// Whether a chain is one that kube-proxy, the kubelet or a CNI plugin fills: it refuses nothing that a cluster needs.
fn is_of_a_cluster(chain: &str) -> bool {
    ["KUBE-", "CNI-", "FLANNEL-", "cali-"].iter().any(|prefix| chain.starts_with(prefix))
}

/// Whether a table is one that kube-proxy or a pod network fills, with thousands of rules.
fn is_table_of_a_cluster(table: &str) -> bool {
    ["calico", "flannel-ipv4", "flannel-ipv6", "kube-proxy"].contains(&table)
}

impl Family {
    /// The name that `nft` uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
        }
    }

    /// Whether it gets packets of this family.
    #[must_use]
    pub fn is_for(self, family: IpFamily) -> bool {
        match family {
            IpFamily::Ipv4 => self != Self::Ip6,
            IpFamily::Ipv6 => self != Self::Ip,
        }
    }
}

impl PacketFilter {
    /// Reads the rules by the programs that the host has.
    pub fn read(host: &Host) -> Result<Self, HostError> {
        let mut found = Self::default();
        let mut of_iptables = Vec::new();
        for (program, save, family) in [
            (FilterProgram::Iptables, "iptables-save", Family::Ip),
            (FilterProgram::Iptables, "ip6tables-save", Family::Ip6),
            (FilterProgram::IptablesLegacy, "iptables-legacy-save", Family::Ip),
            (FilterProgram::IptablesLegacy, "ip6tables-legacy-save", Family::Ip6),
        ] {
            let Some(saved) = found.said(host, &Command::new(save, [""; 0]))? else { continue };
            let is_usual = program == FilterProgram::Iptables;
            // If the usual program is the legacy one, the legacy program would repeat the same chains.
            if !is_usual && of_iptables.iter().any(|(known, legacy)| *known == family && *legacy) {
                continue;
            }
            let is_legacy = !saved.contains("(nf_tables)");
            let chains = iptables::chains(&saved, program, family);
            if is_usual && (is_legacy || !chains.is_empty()) {
                of_iptables.push((family, is_legacy));
            }
            found.chains.extend(chains);
        }
        let Some(shown) = found.said(host, &Command::new("nft", ["-j", "list", "chains"]))? else { return Ok(found) };
        for [family, table] in found.parsed(nft::filtering_tables(&shown)) {
            // `iptables` has already reported what it made in nf_tables.
            let is_of_iptables =
                |(known, is_legacy): &(Family, bool)| !is_legacy && known.name() == family && table == "filter";
            if of_iptables.iter().any(is_of_iptables) || is_table_of_a_cluster(&table) {
                continue;
            }
            let list = Command::new("nft", ["-j", "list", "table", &family, &table]);
            let shown = found.said(host, &list)?.unwrap_or_default();
            let chains = found.parsed(nft::chains(&shown));
            found.chains.extend(chains);
        }
        Ok(found)
    }

    /// Parses what `nft` prints; records that the form is unknown.
    fn parsed<T>(&mut self, told: serde_json::Result<Vec<T>>) -> Vec<T> {
        told.unwrap_or_else(|error| {
            self.unread.push(format!("nft: {error}"));
            Vec::new()
        })
    }

    /// What a program prints; `None` if it is not installed or has failed. A failure is recorded.
    fn said(&mut self, host: &Host, command: &Command) -> Result<Option<String>, HostError> {
        let Some(output) = host.run_if_installed(command)? else { return Ok(None) };
        if output.code == Some(0) {
            return Ok(Some(output.stdout));
        }
        let why = output.stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or("it failed");
        self.unread.push(format!("{}: {why}", command.program));
        Ok(None)
    }

    /// The chains at `hook` that packets of this family go through.
    pub fn at(&self, hook: Hook, family: IpFamily) -> impl Iterator<Item = &FilterChain> {
        self.chains.iter().filter(move |chain| chain.hook == hook && chain.family.is_for(family))
    }
}

impl FilterChain {
    /// Whether new connections reach this port; without a port, whether any packets do.
    #[must_use]
    pub fn access(&self, port: Option<(Protocol, u16)>) -> Access {
        let (mut lets_some, mut stops_some) = (false, false);
        for rule in &self.rules {
            let Some(is_narrow) = rule.meets(port) else { continue };
            match (rule.verdict, is_narrow) {
                (FilterVerdict::Accept, true) => lets_some = true,
                (FilterVerdict::Drop, true) => stops_some = true,
                (FilterVerdict::Accept, false) => return if stops_some { Access::Narrow } else { Access::Open },
                (FilterVerdict::Drop, false) => return if lets_some { Access::Narrow } else { Access::Closed },
            }
        }
        match self.policy {
            FilterVerdict::Accept if stops_some => Access::Narrow,
            FilterVerdict::Accept => Access::Open,
            FilterVerdict::Drop if lets_some => Access::Narrow,
            FilterVerdict::Drop => Access::Closed,
        }
    }

    /// For people, such as `chain INPUT of iptables`.
    #[must_use]
    pub fn name(&self) -> String {
        let Self { chain, table, .. } = self;
        match (self.program, self.family) {
            (FilterProgram::Iptables, Family::Ip6) => format!("chain {chain} of ip6tables"),
            (FilterProgram::Iptables, _) => format!("chain {chain} of iptables"),
            (FilterProgram::IptablesLegacy, _) => format!("chain {chain} of iptables-legacy"),
            (FilterProgram::Nft, Family::Ip) => format!("chain {chain} of nft's table ip {table}"),
            (FilterProgram::Nft, Family::Ip6) => format!("chain {chain} of nft's table ip6 {table}"),
            (FilterProgram::Nft, Family::Inet) => format!("chain {chain} of nft's table inet {table}"),
        }
    }
}

impl FilterRule {
    /// Whether the rule matches this port, or any packets if there is no port; the inner value says whether it matches only some of them.
    fn meets(&self, port: Option<(Protocol, u16)>) -> Option<bool> {
        let Some((protocol, port)) = port else {
            return Some(self.is_narrow || !self.protocols.is_empty() || !self.ports.is_empty());
        };
        let in_ports = self.ports.is_empty() || self.ports.iter().any(|(first, last)| (*first..=*last).contains(&port));
        let in_protocols = self.protocols.is_empty() || self.protocols.contains(&protocol);
        (in_ports && in_protocols).then_some(self.is_narrow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;

    const CASE_23: &str = "\
# Generated by iptables-save v1.8.9 (nf_tables) on Fri Nov 27 18:00:00 2026
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
";
    const NFT: &str = r#"{"nftables": [
        {"metainfo": {"json_schema_version": 1}},
        {"table": {"family": "ip", "name": "filter", "handle": 1}},
        {"chain": {"family": "ip", "table": "filter", "name": "INPUT", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
        {"table": {"family": "inet", "name": "site", "handle": 2}},
        {"chain": {"family": "inet", "table": "site", "name": "in", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}}
    ]}"#;

    const SITE: &str = r#"{"nftables": [
        {"chain": {"family": "inet", "table": "site", "name": "in", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}}
    ]}"#;

    fn read(bench: &Bench) -> Vec<String> {
        let found = PacketFilter::read(&bench.host()).unwrap();
        let chains = found.chains.iter().map(|chain| format!("{} {:?} {:?}", chain.name(), chain.hook, chain.policy));
        chains.chain(found.unread).collect()
    }

    #[test]
    fn what_iptables_has_in_nf_tables_is_told_once() {
        let bench = Bench::with_programs(|_, command| match command.program.as_str() {
            "iptables-save" => Some(CASE_23.to_owned()),
            "nft" if command.arguments.contains(&"chains".to_owned()) => Some(NFT.to_owned()),
            "nft" => Some(SITE.to_owned()),
            _ => None,
        });
        insta::assert_debug_snapshot!(read(&bench), @r#"
        [
            "chain INPUT of iptables Input Drop",
            "chain FORWARD of iptables Forward Drop",
            "chain OUTPUT of iptables Output Accept",
            "chain in of nft's table inet site Input Accept",
        ]
        "#);
        let asked: Vec<_> = bench.ran().into_iter().filter(|command| command.starts_with("nft")).collect();
        assert_eq!(asked, ["nft -j list chains", "nft -j list table inet site"]);
    }

    #[test]
    fn rules_that_are_not_told_are_noted() {
        let bench = Bench::with_programs(|_, command| {
            let name = command.program.as_str();
            (name == "iptables-save").then(|| "fails: Permission denied (you must be root)\n".to_owned())
        });
        let read = read(&bench);
        assert!(read.contains(&"iptables-save: Permission denied (you must be root)".to_owned()), "{read:?}");
    }

    #[test]
    fn the_first_rule_that_is_for_all_decides() {
        type Rules<'a> = &'a [(FilterVerdict, &'a [(u16, u16)], bool)];
        let chain = |rules: Rules<'_>, policy| FilterChain {
            program: FilterProgram::Nft,
            family: Family::Inet,
            table: "t".into(),
            chain: "c".into(),
            hook: Hook::Input,
            rules: rules
                .iter()
                .map(|&(verdict, ports, is_narrow)| FilterRule {
                    verdict,
                    protocols: [Protocol::Tcp].into(),
                    ports: ports.to_vec(),
                    is_narrow,
                })
                .collect(),
            policy,
        };
        let (accept, drop) = (FilterVerdict::Accept, FilterVerdict::Drop);
        let access = |rules: &[_], policy| chain(rules, policy).access(Some((Protocol::Tcp, 6443)));
        assert_eq!(access(&[], drop), Access::Closed);
        assert_eq!(access(&[(accept, &[(22, 22)], false)], drop), Access::Closed);
        assert_eq!(access(&[(accept, &[(6000, 7000)], false)], drop), Access::Open);
        assert_eq!(access(&[(accept, &[], true)], drop), Access::Narrow);
        assert_eq!(access(&[(drop, &[], true)], accept), Access::Narrow);
        assert_eq!(access(&[(drop, &[], false), (accept, &[], false)], accept), Access::Closed);
        assert_eq!(chain(&[(drop, &[], false)], accept).access(Some((Protocol::Udp, 6443))), Access::Open);
        assert_eq!(chain(&[(drop, &[], false)], accept).access(None), Access::Narrow);
    }
}
