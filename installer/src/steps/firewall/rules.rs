//! The rules that a packet filter needs, in the syntax of iptables and of nft.

use super::Openings;
use crate::config::{Cidr, IpFamily};
use crate::facts::packet_filter::Hook;
use crate::ports::Carrier;

/// What a rule lets through.
pub(super) enum Rule {
    /// Replies.
    Replies,
    /// Packets from the host to itself, by the interface that they come in or go out by.
    Loopback(Hook),
    /// Connections that kube-proxy, or another rule of the site, has redirected to another address.
    SentOn,
    /// Neighbour discovery, router messages and packet sizes of IPv6 (RFC 4890).
    Discovery,
    /// New connections to a port.
    Port(Option<Cidr>, Carrier, u16),
    /// Packets from one network to another.
    Between(Option<Cidr>, Option<Cidr>),
}

/// The rules that are needed at a hook.
pub(super) fn rules(hook: Hook, openings: &Openings) -> Vec<Rule> {
    let Openings { pods, services, .. } = *openings;
    let has_ipv6 = pods.of(IpFamily::Ipv6).is_some();
    let mut found = vec![Rule::Replies];
    match hook {
        Hook::Input => {
            found.push(Rule::Loopback(hook));
            found.extend(has_ipv6.then_some(Rule::Discovery));
            found.extend(openings.ports.iter().map(|(port, source)| Rule::Port(*source, port.carrier, port.number)));
        }
        Hook::Forward => {
            found.push(Rule::SentOn);
            found.extend(pods.iter().map(|pods| Rule::Between(Some(pods), None)));
            found.extend(openings.peers_to_pods().map(|(peer, pods)| Rule::Between(Some(peer), Some(pods))));
        }
        Hook::Output => {
            found.push(Rule::Loopback(hook));
            found.extend(has_ipv6.then_some(Rule::Discovery));
            let targets = openings.peers.iter().copied().chain(pods.iter()).chain(services.iter());
            found.extend(targets.map(|target| Rule::Between(None, Some(target))));
        }
    }
    found
}

impl Rule {
    /// Whether a table of this family can contain the rule. A table of both families can contain any.
    pub(super) fn fits(&self, family: Option<IpFamily>) -> bool {
        let network = match self {
            Self::Discovery => return family != Some(IpFamily::Ipv4),
            Self::Replies | Self::Loopback(_) | Self::SentOn => None,
            Self::Port(source, ..) => *source,
            Self::Between(from, to) => from.or(*to),
        };
        network.zip(family).is_none_or(|(network, family)| network.family() == family)
    }

    /// The rule in the syntax of iptables(8), without chain and verdict.
    pub(super) fn in_iptables(&self) -> String {
        let network = |flag: &str, network: &Option<Cidr>| network.map(|found| format!("{flag} {found}"));
        match self {
            Self::Replies => "-m conntrack --ctstate RELATED,ESTABLISHED".to_owned(),
            Self::Loopback(Hook::Output) => "-o lo".to_owned(),
            Self::Loopback(_) => "-i lo".to_owned(),
            Self::SentOn => "-m conntrack --ctstate DNAT".to_owned(),
            Self::Discovery => "-p ipv6-icmp".to_owned(),
            Self::Port(source, carrier, number) => {
                let port = match carrier {
                    Carrier::Tcp => format!("-p tcp -m tcp --dport {number}"),
                    Carrier::Udp => format!("-p udp -m udp --dport {number}"),
                    Carrier::Ip => format!("-p {number}"),
                };
                [network("-s", source), Some(port)].into_iter().flatten().collect::<Vec<_>>().join(" ")
            }
            Self::Between(from, to) => {
                [network("-s", from), network("-d", to)].into_iter().flatten().collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// The rule in the syntax of nft(8), with its verdict.
    pub(super) fn in_nft(&self) -> String {
        let network = |side: &str, network: &Option<Cidr>| {
            network.map(|found| {
                let family = if found.family() == IpFamily::Ipv6 { "ip6" } else { "ip" };
                format!("{family} {side} {found}")
            })
        };
        let matched = match self {
            Self::Replies => "ct state established,related".to_owned(),
            Self::Loopback(Hook::Output) => "oifname lo".to_owned(),
            Self::Loopback(_) => "iifname lo".to_owned(),
            Self::SentOn => "ct status dnat".to_owned(),
            Self::Discovery => "meta l4proto ipv6-icmp".to_owned(),
            Self::Port(source, carrier, number) => {
                let port = match carrier {
                    Carrier::Tcp => format!("tcp dport {number}"),
                    Carrier::Udp => format!("udp dport {number}"),
                    // This syntax suits both families.
                    Carrier::Ip => format!("meta l4proto {number}"),
                };
                [network("saddr", source), Some(port)].into_iter().flatten().collect::<Vec<_>>().join(" ")
            }
            Self::Between(from, to) => {
                [network("saddr", from), network("daddr", to)].into_iter().flatten().collect::<Vec<_>>().join(" ")
            }
        };
        format!("{matched} accept")
    }
}
