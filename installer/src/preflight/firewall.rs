//! The check of the packet filter: it has to let through what the host's roles need, whichever program set the rules.

use super::{Answer, Check, Subject};
use crate::config::{Cni, Switch};
use crate::distributions::Firewall;
use crate::facts::packet_filter::{Access, Family, FilterChain, FilterProgram, Hook};
use crate::facts::{HostFacts, Installation};
use crate::ports::{self, Port};

pub(super) const CHECKS: &[Check] = &[Check {
    id: "firewall",
    wanted: "new connections to the ports of this host's roles, and to and from pods (the manual: ports)",
    look: firewall,
}];

/// The connections of the cluster that a host's packet filter blocks.
pub struct Closed<'a> {
    /// Ports, each with a chain that blocks it.
    pub ports: Vec<(Port, &'a FilterChain)>,
    /// Chains that let no packets of pods through, or none of this host out.
    pub chains: Vec<&'a FilterChain>,
}

impl Closed<'_> {
    /// Whether nothing is blocked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.chains.is_empty()
    }
}

/// What a host's packet filter blocks of the cluster's connections.
#[must_use]
pub fn closed<'a>(subject: &Subject<'a>) -> Closed<'a> {
    let facts = subject.facts;
    let families = || subject.spec.network.pod_cidr.families();
    let at = |hook| families().flat_map(move |family| facts.packet_filter.at(hook, family));
    // Only a single host's own pods connect to it.
    let is_needed = |port: &Port| match subject.topology {
        None => port.clients.include_pods(),
        Some(topology) => port.has_clients_in(topology),
    };
    let closing = |port: Port| {
        let closing = at(Hook::Input).filter(|chain| chain.access(port.protocol()) == Access::Closed);
        distinct(closing).into_iter().map(move |chain| (port, chain))
    };
    let wanted = ports::of_host(subject.spec, |role| subject.has(role));
    let is_node = subject.topology.is_none_or(|topology| topology.this().is_node());
    // Calico and Flannel insert their own rules before those of others, in the same chain.
    let network_helps_itself = matches!(subject.spec.network.cni, Some(Cni::Calico | Cni::Flannel));
    let is_closed = |chain: &&FilterChain| {
        chain.access(None) == Access::Closed && !(network_helps_itself && chain.program == FilterProgram::Iptables)
    };
    let forward = at(Hook::Forward).filter(|chain| is_node && is_closed(chain));
    let output = at(Hook::Output).filter(|chain| chain.access(None) == Access::Closed);
    Closed {
        ports: wanted.into_iter().filter(is_needed).flat_map(closing).collect(),
        chains: distinct(forward.chain(output)),
    }
}

/// Removes duplicates: a chain for both IP families appears once.
fn distinct<'a>(chains: impl Iterator<Item = &'a FilterChain>) -> Vec<&'a FilterChain> {
    let mut found: Vec<&FilterChain> = Vec::new();
    for chain in chains {
        if !found.contains(&chain) {
            found.push(chain);
        }
    }
    found
}

fn firewall(subject: &Subject<'_>) -> Answer {
    let filter = &subject.facts.packet_filter;
    let manager = Firewall::of(subject.facts);
    let closed = closed(subject);
    let is_prepared = subject.spec.host_preparation == Switch::Enabled;
    if closed.is_empty() {
        return match (manager.unit(), filter.unread.as_slice()) {
            (Some(unit), _) if filter.chains.is_empty() && !is_prepared => Answer::warn(
                format!("{unit} runs, and its rules cannot be read"),
                "install nftables, whose `nft` shows all rules, or open the ports by hand (`kinstall manual reference/environment`)",
            ),
            (_, [_, ..]) if filter.chains.is_empty() => Answer::unknown(filter.unread.join("; ")),
            (Some(unit), _) => Answer::pass(format!("{unit} runs; nothing that is needed is closed")),
            (None, _) => Answer::pass("nothing that is needed is closed"),
        };
    }
    let found = describe(&closed);
    if is_prepared {
        return Answer::pass(format!("{found}; kinstall opens what is needed"));
    }
    let closing = closed.ports.iter().map(|(_, chain)| *chain).chain(closed.chains.iter().copied()).next();
    let keeper = match (manager, closing.map(|chain| chain.program)) {
        (Firewall::None, Some(FilterProgram::Nft)) => Firewall::Nftables,
        _ => manager,
    };
    let rest = match manager {
        Firewall::Firewalld | Firewall::Ufw => "",
        Firewall::Nftables | Firewall::Iptables | Firewall::None => ", and let in replies and what comes by lo",
    };
    let advice = format!(
        "`kinstall run --prepare` opens what is needed, to the hosts of the cluster alone; by hand: {}{rest}; then {}",
        commands(manager, subject, &closed).iter().map(|command| format!("`{command}`")).collect::<Vec<_>>().join(", "),
        keeper.keep()
    );
    match subject.facts.installation {
        Installation::None => Answer::reject(found, advice),
        Installation::Ours => Answer::warn(found, advice),
    }
}

fn describe(closed: &Closed<'_>) -> String {
    let mut parts = Vec::new();
    let mut chains: Vec<&FilterChain> = closed.ports.iter().map(|(_, chain)| *chain).collect();
    chains.dedup();
    for chain in chains {
        let of_chain = closed.ports.iter().filter(|(_, found)| *found == chain);
        let names: Vec<_> = of_chain.map(|(port, _)| port.name()).collect();
        parts.push(format!("{} blocks {}", chain.name(), names.join(", ")));
    }
    parts.extend(closed.chains.iter().map(|chain| match chain.hook {
        Hook::Output => format!("{} lets nothing out", chain.name()),
        Hook::Input | Hook::Forward => format!("{} blocks packets of pods", chain.name()),
    }));
    parts.join("; ")
}

/// The commands that open the blocked ports and chains, for this host's firewall.
fn commands(manager: Firewall, subject: &Subject<'_>, closed: &Closed<'_>) -> Vec<String> {
    let pods = |chain: &FilterChain| {
        let all = subject.spec.network.pod_cidr;
        all.iter().filter(|cidr| chain.family.is_for(cidr.family())).collect::<Vec<_>>()
    };
    let by_chain = |chain: &FilterChain| match (manager, chain.program) {
        (Firewall::Firewalld | Firewall::Ufw, _) => manager,
        (_, FilterProgram::Nft) => Firewall::Nftables,
        (_, FilterProgram::Iptables | FilterProgram::IptablesLegacy) => Firewall::Iptables,
    };
    let at = |command: String, chain: &FilterChain| {
        let command =
            command.replace("TABLE CHAIN", &format!("{} {} {}", chain.family.name(), chain.table, chain.chain));
        if chain.family == Family::Ip6 { command.replace("iptables", "ip6tables") } else { command }
    };
    let mut found: Vec<_> = closed
        .ports
        .iter()
        .filter_map(|(port, chain)| {
            let (protocol, number) = port.protocol()?;
            Some(at(by_chain(chain).open(protocol, number, None), chain))
        })
        .collect();
    for chain in closed.chains.iter().filter(|chain| chain.hook == Hook::Forward) {
        for pods in pods(chain) {
            found.extend(by_chain(chain).forward(&pods.to_string()).into_iter().map(|command| at(command, chain)));
        }
    }
    found.dedup();
    found
}

/// Whether a connection from another host may fail only because `--prepare` has not opened its port yet.
#[must_use]
pub fn will_be_opened(facts: &HostFacts) -> bool {
    Firewall::of(facts) != Firewall::None || !facts.packet_filter.chains.is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::tests::verdicts;
    use super::*;
    use crate::config::ClusterSpec;
    use crate::facts::packet_filter::{Family, FilterRule, FilterVerdict, Protocol};
    use crate::fixture::{self, Cluster};
    use crate::host::UnitState;

    fn chain(hook: Hook, name: &str) -> FilterChain {
        FilterChain {
            program: FilterProgram::Iptables,
            family: Family::Ip,
            table: "filter".into(),
            chain: name.into(),
            hook,
            rules: vec![FilterRule {
                verdict: FilterVerdict::Accept,
                protocols: [Protocol::Tcp].into(),
                ports: vec![(22, 22)],
                is_narrow: false,
            }],
            policy: FilterVerdict::Drop,
        }
    }

    /// The rules of `iptables -P INPUT DROP; iptables -P FORWARD DROP; iptables -A INPUT -p tcp --dport 22 -j ACCEPT`, without a program
    /// that manages them.
    fn drop_by_default(facts: &mut HostFacts) {
        let mut forward = chain(Hook::Forward, "FORWARD");
        forward.rules.clear();
        facts.packet_filter.chains = vec![chain(Hook::Input, "INPUT"), forward];
    }

    #[test]
    fn a_host_that_drops_by_default_is_rejected_whoever_set_it() {
        insta::assert_debug_snapshot!(verdicts(drop_by_default), @r#"
        [
            "firewall Reject: chain INPUT of iptables blocks 10250/tcp, 6443/tcp; chain FORWARD of iptables blocks packets of pods | `kinstall run --prepare` opens what is needed, to the hosts of the cluster alone; by hand: `iptables -I INPUT -p tcp --dport 10250 -j ACCEPT`, `iptables -I INPUT -p tcp --dport 6443 -j ACCEPT`, `iptables -I FORWARD -s 10.244.0.0/16 -j ACCEPT`, `iptables -I FORWARD -d 10.244.0.0/16 -j ACCEPT`, and let in replies and what comes by lo; then `iptables-save` into what is loaded at boot (/etc/iptables/rules.v4, on RHEL /etc/sysconfig/iptables)",
        ]
        "#);
    }

    #[test]
    fn each_family_of_the_cluster_is_looked_at_and_no_other() {
        let told = |mut cluster: Cluster| {
            cluster.spec.network.cni = Some(Cni::Bridge);
            let mut forward = FilterChain { family: Family::Ip6, ..chain(Hook::Forward, "FORWARD") };
            forward.rules.clear();
            let input = FilterChain { family: Family::Ip6, ..chain(Hook::Input, "INPUT") };
            cluster.facts.packet_filter.chains = vec![input, forward];
            let topology = cluster.seen_from("w1");
            firewall(&Subject {
                spec: &cluster.spec,
                facts: &cluster.facts,
                topology: Some(&topology),
                kubernetes: None,
                brought: None,
            })
            .advice
        };
        assert_eq!(told(Cluster::of_three_and_two()), "");
        for cluster in [Cluster::of_both_families(), Cluster::of_ipv6()] {
            let advice = told(cluster);
            assert!(advice.contains("`ip6tables -I INPUT -p tcp --dport 10250 -j ACCEPT`"), "{advice}");
            assert!(advice.contains("`ip6tables -I FORWARD -s fd00:244::/56 -j ACCEPT`"), "{advice}");
            assert!(!advice.contains("10.244"), "{advice}");
        }
    }

    #[test]
    fn an_installed_host_is_warned_and_a_prepared_one_passes() {
        let warned = verdicts(|facts| {
            drop_by_default(facts);
            facts.installation = Installation::Ours;
        });
        assert!(warned[0].starts_with("firewall Warn: "), "{warned:?}");
        let mut facts = fixture::facts();
        drop_by_default(&mut facts);
        let spec = ClusterSpec { host_preparation: Switch::Enabled, ..ClusterSpec::default() };
        let answer = firewall(&Subject { spec: &spec, facts: &facts, topology: None, kubernetes: None, brought: None });
        insta::assert_snapshot!(answer.found, @"chain INPUT of iptables blocks 10250/tcp, 6443/tcp; chain FORWARD of iptables blocks packets of pods; kinstall opens what is needed");
        assert_eq!(answer.verdict, super::super::Verdict::Pass);
    }

    #[test]
    fn each_role_needs_its_own_ports() {
        let mut cluster = Cluster::of_three_and_two();
        cluster.spec.network.cni = Some(Cni::Calico);
        drop_by_default(&mut cluster.facts);
        let closed = |name: &str| {
            let topology = cluster.seen_from(name);
            let subject = Subject {
                spec: &cluster.spec,
                facts: &cluster.facts,
                topology: Some(&topology),
                kubernetes: None,
                brought: None,
            };
            describe(&closed(&subject))
        };
        insta::assert_snapshot!(closed("c1"), @"chain INPUT of iptables blocks 2379/tcp, 2380/tcp, 10250/tcp, 4789/udp, 6443/tcp");
        insta::assert_snapshot!(closed("w1"), @"chain INPUT of iptables blocks 10250/tcp, 4789/udp");
    }

    #[test]
    fn a_firewall_whose_rules_cannot_be_read_is_pointed_out() {
        let active = UnitState { active: "active".into(), file: "enabled".into(), needs_reload: false };
        let with = |ufw_enabled| {
            verdicts(|facts| {
                facts.units = [("ufw.service".to_owned(), active.clone())].into();
                facts.hardening.ufw_enabled = ufw_enabled;
            })
        };
        insta::assert_debug_snapshot!(with(true), @r#"
        [
            "firewall Warn: ufw runs, and its rules cannot be read | install nftables, whose `nft` shows all rules, or open the ports by hand (`kinstall manual reference/environment`)",
        ]
        "#);
        assert!(with(false).is_empty(), "Ubuntu starts the unit also where ufw is off");
    }
}
