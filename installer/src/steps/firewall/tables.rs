//! Plain rules of iptables and nft: a chain of kinstall's own that the closing chain jumps to first. Rules in another table would not
//! do, since a packet has to get through all of them. A unit sets them at boot, after those of the site.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::Openings;
use crate::config::Cidr;
use crate::facts::packet_filter::{FilterChain, FilterProgram, Hook};
use crate::facts::{HostFacts, PacketFilter};
use crate::host::{Command, Host};
use crate::inputs::Inputs;
use crate::ports::Carrier;
use crate::preflight::Subject;
use crate::preflight::firewall::closed;
use crate::steps::{Check, Context, needed};

const DIRECTORY: &str = "/etc/kinstall";
const UNIT: &str = "kinstall-firewall.service";
const UNIT_FILE: &str = "/etc/systemd/system/kinstall-firewall.service";
/// By which kinstall finds its jumps in chains of nft again.
const COMMENT: &str = "kinstall";
const FILES: [(FilterProgram, &str); 3] = [
    (FilterProgram::Iptables, "/etc/kinstall/iptables.rules"),
    (FilterProgram::IptablesLegacy, "/etc/kinstall/iptables-legacy.rules"),
    (FilterProgram::Nft, "/etc/kinstall/nft.rules"),
];
const HOOKS: [(Hook, &str, &str); 3] = [
    (Hook::Input, "INPUT", "KINSTALL-INPUT"),
    (Hook::Forward, "FORWARD", "KINSTALL-FORWARD"),
    (Hook::Output, "OUTPUT", "KINSTALL-OUTPUT"),
];

pub fn check(context: &Context<'_>, openings: &Openings) -> anyhow::Result<Check> {
    let host = &context.host;
    // The rules as they are now: the facts are from before the first step.
    let facts = HostFacts { packet_filter: PacketFilter::read(host)?, ..context.facts.clone() };
    let closed = closed(&subject(&Inputs { facts: &facts, ..context.inputs }));
    if let Some((port, chain)) = closed.ports.first() {
        return needed(format!("{} lets nobody reach {}", chain.name(), port.name()));
    }
    if let Some(chain) = closed.chains.first() {
        return needed(format!("{} lets nothing of pods through", chain.name()));
    }
    // A host that was never closed gets nothing; one that was opened keeps its files up to date.
    for (program, path) in FILES.into_iter().filter(|(_, path)| host.exists(path)) {
        let chains = own_chains(host, program, path)?;
        if !host.has_file(path, content(program, &chains, openings).as_bytes(), 0o600)? {
            return needed(format!("{path} does not say what the roles need now"));
        }
        if !host.unit_is_up(UNIT)? {
            return needed(format!("{UNIT} does not set the rules at boot"));
        }
    }
    Ok(Check::Done)
}

pub fn apply(context: &mut Context<'_>, openings: &Openings) -> anyhow::Result<()> {
    let mut wanted: BTreeMap<&str, (FilterProgram, Vec<OwnChain>)> = BTreeMap::new();
    for (program, path) in FILES.into_iter().filter(|(_, path)| context.host.exists(path)) {
        wanted.insert(path, (program, own_chains(&context.host, program, path)?));
    }
    for chain in closing_chains(context) {
        let (_, path) =
            FILES.into_iter().find(|(program, _)| *program == chain.program).expect("each program has a file");
        let chains = &mut wanted.entry(path).or_insert((chain.program, Vec::new())).1;
        let own = OwnChain::of(chain);
        if !chains.contains(&own) {
            chains.push(own);
        }
    }
    let host = &mut context.host;
    take_out(host)?;
    host.make_directory(DIRECTORY, 0o755)?;
    for (path, (program, chains)) in &wanted {
        host.write_file(path, content(*program, chains, openings).as_bytes(), 0o600)?;
    }
    let programs: Vec<_> = wanted.values().map(|(program, _)| *program).collect();
    host.write_file(UNIT_FILE, unit(&programs).as_bytes(), 0o644)?;
    Ok(host.restart_unit(UNIT)?)
}

pub fn undo(host: &mut Host) -> anyhow::Result<()> {
    take_out(host)
}

fn subject<'a>(inputs: &Inputs<'a>) -> Subject<'a> {
    let topology = (!inputs.topology.is_single()).then_some(inputs.topology);
    Subject { spec: inputs.spec, facts: inputs.facts, topology, kubernetes: None }
}

/// The chains in the way. Others of the same table stay as they are.
fn closing_chains<'a>(context: &Context<'a>) -> Vec<&'a FilterChain> {
    let found = closed(&subject(&context.inputs));
    found.ports.into_iter().map(|(_, chain)| chain).chain(found.chains).collect()
}

/// A chain of the site that jumps to one of kinstall's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnChain {
    hook: Hook,
    /// Family and table, for nft alone: `inet filter`.
    table: String,
    /// The site's chain.
    chain: String,
}

impl OwnChain {
    fn of(chain: &FilterChain) -> Self {
        let table = format!("{} {}", chain.family.name(), chain.table);
        Self { hook: chain.hook, table, chain: chain.chain.clone() }
    }

    fn own_name(&self) -> &'static str {
        HOOKS.iter().find(|(hook, ..)| *hook == self.hook).map_or("", |(_, _, own)| own)
    }
}

/// The chains that a file of kinstall's is about.
fn own_chains(host: &Host, program: FilterProgram, path: &str) -> anyhow::Result<Vec<OwnChain>> {
    let text = host.read_text(path)?.unwrap_or_default();
    let chain = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        match (program, words.as_slice()) {
            (FilterProgram::Nft, ["insert", "rule", family, table, chain, "jump", own, ..]) => {
                let (hook, ..) = HOOKS.into_iter().find(|(_, _, known)| known == own)?;
                Some(OwnChain { hook, table: format!("{family} {table}"), chain: (*chain).to_owned() })
            }
            (FilterProgram::Iptables | FilterProgram::IptablesLegacy, ["-I", chain, "-j", own]) => {
                let (hook, ..) = HOOKS.into_iter().find(|(_, _, known)| known == own)?;
                Some(OwnChain { hook, table: "ip filter".to_owned(), chain: (*chain).to_owned() })
            }
            _ => None,
        }
    };
    Ok(text.lines().filter_map(chain).collect())
}

/// Removes the jumps to kinstall's chains, and the chains.
fn take_out(host: &Host) -> anyhow::Result<()> {
    for (program, path) in FILES.into_iter().filter(|(_, path)| host.exists(path)) {
        for own in own_chains(host, program, path)? {
            let name = own.own_name();
            if program == FilterProgram::Nft {
                take_out_of_nft(host, &own)?;
                continue;
            }
            // Each fails where it is gone already, as after the site's rules were loaded again.
            for arguments in [vec!["-D", &own.chain, "-j", name], vec!["-F", name], vec!["-X", name]] {
                host.try_run(&Command::new(command(program), ["-w"].into_iter().chain(arguments)))?;
            }
        }
    }
    Ok(())
}

fn take_out_of_nft(host: &Host, own: &OwnChain) -> anyhow::Result<()> {
    let nft = |words: &[&str]| host.try_run(&Command::new("nft", words.iter().copied()));
    let Some((family, table)) = own.table.split_once(' ') else { return Ok(()) };
    let shown = nft(&["-j", "-a", "list", "chain", family, table, &own.chain])?;
    for handle in jumps(&shown.stdout) {
        nft(&["delete", "rule", family, table, &own.chain, "handle", &handle.to_string()])?;
    }
    nft(&["flush", "chain", family, table, own.own_name()])?;
    nft(&["delete", "chain", family, table, own.own_name()])?;
    Ok(())
}

/// The handles of kinstall's rules in what `nft -j -a list chain` prints.
fn jumps(shown: &str) -> Vec<u64> {
    let shown: Value = serde_json::from_str(shown).unwrap_or_default();
    let objects = shown["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rules = objects.iter().filter_map(|object| object.get("rule"));
    rules.filter(|rule| rule["comment"] == COMMENT).filter_map(|rule| rule["handle"].as_u64()).collect()
}

fn command(program: FilterProgram) -> &'static str {
    match program {
        FilterProgram::Iptables => "iptables",
        FilterProgram::IptablesLegacy => "iptables-legacy",
        FilterProgram::Nft => "nft",
    }
}

/// What a file has its program do.
fn content(program: FilterProgram, chains: &[OwnChain], openings: &Openings) -> String {
    let mut text = String::from("# By kinstall: what Kubernetes needs on this host. `kinstall reset` removes it.\n");
    let mut line = |words: String| writeln!(text, "{words}").expect("a string takes all");
    if program == FilterProgram::Nft {
        for own in chains {
            let (table, name) = (&own.table, own.own_name());
            line(format!("add chain {table} {name}"));
            line(format!("flush chain {table} {name}"));
            for rule in rules(own.hook, openings) {
                line(format!("add rule {table} {name} {}", rule.in_nft()));
            }
            line(format!("insert rule {table} {} jump {name} comment \"{COMMENT}\"", own.chain));
        }
        return text;
    }
    line("*filter".to_owned());
    for own in chains {
        line(format!(":{} - [0:0]", own.own_name()));
    }
    for own in chains {
        for rule in rules(own.hook, openings) {
            line(format!("-A {} {} -j ACCEPT", own.own_name(), rule.in_iptables()));
        }
        line(format!("-I {} -j {}", own.chain, own.own_name()));
    }
    line("COMMIT".to_owned());
    text
}

/// What a rule lets through.
enum Rule {
    /// Replies.
    Replies,
    /// What the host says to itself; by the interface that it comes in or goes out by.
    Loopback(Hook),
    /// What kube-proxy, or another rule of the site, has sent on to another address.
    SentOn,
    /// New connections to a port.
    Port(Option<Cidr>, Carrier, u16),
    /// Packets from one network to another.
    Between(Option<Cidr>, Option<Cidr>),
}

fn rules(hook: Hook, openings: &Openings) -> Vec<Rule> {
    let Openings { pods, services, .. } = *openings;
    let mut found = vec![Rule::Replies];
    match hook {
        Hook::Input => {
            found.push(Rule::Loopback(hook));
            found.extend(openings.ports.iter().map(|(port, source)| Rule::Port(*source, port.carrier, port.number)));
        }
        Hook::Forward => {
            found.extend([Rule::SentOn, Rule::Between(Some(pods), None)]);
            found.extend(openings.peers.iter().map(|peer| Rule::Between(Some(*peer), Some(pods))));
        }
        Hook::Output => {
            found.push(Rule::Loopback(hook));
            let targets = openings.peers.iter().copied().chain([pods, services]);
            found.extend(targets.map(|target| Rule::Between(None, Some(target))));
        }
    }
    found
}

impl Rule {
    fn in_iptables(&self) -> String {
        let network = |flag: &str, network: &Option<Cidr>| network.map(|found| format!("{flag} {found}"));
        match self {
            Self::Replies => "-m conntrack --ctstate RELATED,ESTABLISHED".to_owned(),
            Self::Loopback(Hook::Output) => "-o lo".to_owned(),
            Self::Loopback(_) => "-i lo".to_owned(),
            Self::SentOn => "-m conntrack --ctstate DNAT".to_owned(),
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

    fn in_nft(&self) -> String {
        let network = |side: &str, network: &Option<Cidr>| network.map(|found| format!("ip {side} {found}"));
        let matched = match self {
            Self::Replies => "ct state established,related".to_owned(),
            Self::Loopback(Hook::Output) => "oifname lo".to_owned(),
            Self::Loopback(_) => "iifname lo".to_owned(),
            Self::SentOn => "ct status dnat".to_owned(),
            Self::Port(source, carrier, number) => {
                let port = match carrier {
                    Carrier::Tcp => format!("tcp dport {number}"),
                    Carrier::Udp => format!("udp dport {number}"),
                    Carrier::Ip => format!("ip protocol {number}"),
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

/// The unit that sets the rules at boot, and again whenever the site's are loaded again by their own unit.
fn unit(programs: &[FilterProgram]) -> String {
    const OF_OTHERS: &str = "iptables.service nftables.service netfilter-persistent.service";
    let mut acts = String::new();
    for (program, path) in FILES.into_iter().filter(|(program, _)| programs.contains(program)) {
        let act = match program {
            FilterProgram::Iptables | FilterProgram::IptablesLegacy => {
                let name = command(program);
                for (_, chain, own) in HOOKS {
                    writeln!(acts, "ExecStartPre=-{name} -w -D {chain} -j {own}").expect("a string takes all");
                }
                format!("ExecStart={name}-restore -w --noflush {path}")
            }
            FilterProgram::Nft => format!("ExecStart=nft -f {path}"),
        };
        writeln!(acts, "{act}").expect("a string takes all");
    }
    format!(
        "[Unit]\nDescription=What Kubernetes needs of the packet filter\nAfter={OF_OTHERS}\nPartOf={OF_OTHERS}\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\n{acts}\n[Install]\nWantedBy=multi-user.target\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Cni;
    use crate::facts::packet_filter::{Access, Protocol};
    use crate::fixture::Cluster;
    use crate::fixture::bench::Bench;
    use crate::join_material::JoinMaterial;

    const SAVED: &str = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n";

    fn cluster(bench: &Bench) -> Cluster {
        let mut cluster = Cluster::of_three_and_two();
        cluster.spec.network.cni = Some(Cni::Bridge);
        cluster.facts.packet_filter = PacketFilter::read(&bench.host()).unwrap();
        cluster
    }

    /// `iptables-save` says [`SAVED`] at first, and with kinstall's rules once its file is there.
    fn programs(root: &std::path::Path, command: &Command) -> Option<String> {
        let unit = "Id=kinstall-firewall.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n";
        match (command.program.as_str(), command.arguments.first().map(String::as_str)) {
            ("systemctl", Some("show")) if root.join("etc/kinstall").exists() => Some(unit.to_owned()),
            ("iptables-save", _) => {
                let own = fs_err::read_to_string(root.join("etc/kinstall/iptables.rules")).unwrap_or_default();
                let lines = own.lines().filter(|line| line.starts_with([':', '-']));
                let lines: String = lines.map(|line| line.replace("-I INPUT", "-A INPUT") + "\n").collect();
                let (heads, rules): (Vec<_>, Vec<_>) = lines.lines().partition(|line| line.starts_with(':'));
                let rules = rules.join("\n").replace("-I FORWARD", "-A FORWARD").replace("-I OUTPUT", "-A OUTPUT");
                Some(SAVED.replace("-A INPUT", &format!("{}\n{rules}\n-A INPUT", heads.join("\n"))))
            }
            _ => None,
        }
    }

    #[test]
    fn closed_chains_are_opened_for_the_roles_and_a_second_run_finds_nothing_to_do() {
        let bench = Bench::with_programs(programs);
        let before = cluster(&bench);
        let topology = before.seen_from("w1");
        let openings = Openings::of(&before.inputs(&topology));
        bench.act_as(&before, "w1", &JoinMaterial::default(), |context| {
            assert!(matches!(check(context, &openings).unwrap(), Check::Needed(_)));
            apply(context, &openings).unwrap();
            assert_eq!(check(context, &openings).unwrap(), Check::Done, "by the facts from before");
        });
        insta::assert_snapshot!(bench.read("etc/kinstall/iptables.rules"), @"
        # By kinstall: what Kubernetes needs on this host. `kinstall reset` removes it.
        *filter
        :KINSTALL-INPUT - [0:0]
        :KINSTALL-FORWARD - [0:0]
        -A KINSTALL-INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        -A KINSTALL-INPUT -i lo -j ACCEPT
        -A KINSTALL-INPUT -s 192.0.2.1/32 -p tcp -m tcp --dport 10250 -j ACCEPT
        -A KINSTALL-INPUT -s 192.0.2.2/32 -p tcp -m tcp --dport 10250 -j ACCEPT
        -A KINSTALL-INPUT -s 192.0.2.3/32 -p tcp -m tcp --dport 10250 -j ACCEPT
        -A KINSTALL-INPUT -s 10.244.0.0/16 -p tcp -m tcp --dport 10250 -j ACCEPT
        -I INPUT -j KINSTALL-INPUT
        -A KINSTALL-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        -A KINSTALL-FORWARD -m conntrack --ctstate DNAT -j ACCEPT
        -A KINSTALL-FORWARD -s 10.244.0.0/16 -j ACCEPT
        -A KINSTALL-FORWARD -s 192.0.2.1/32 -d 10.244.0.0/16 -j ACCEPT
        -A KINSTALL-FORWARD -s 192.0.2.2/32 -d 10.244.0.0/16 -j ACCEPT
        -A KINSTALL-FORWARD -s 192.0.2.3/32 -d 10.244.0.0/16 -j ACCEPT
        -A KINSTALL-FORWARD -s 192.0.2.12/32 -d 10.244.0.0/16 -j ACCEPT
        -I FORWARD -j KINSTALL-FORWARD
        COMMIT
        ");
        insta::assert_snapshot!(bench.read("etc/systemd/system/kinstall-firewall.service"), @"
        [Unit]
        Description=What Kubernetes needs of the packet filter
        After=iptables.service nftables.service netfilter-persistent.service
        PartOf=iptables.service nftables.service netfilter-persistent.service

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStartPre=-iptables -w -D INPUT -j KINSTALL-INPUT
        ExecStartPre=-iptables -w -D FORWARD -j KINSTALL-FORWARD
        ExecStartPre=-iptables -w -D OUTPUT -j KINSTALL-OUTPUT
        ExecStart=iptables-restore -w --noflush /etc/kinstall/iptables.rules

        [Install]
        WantedBy=multi-user.target
        ");
        let after = cluster(&bench);
        let input = after.facts.packet_filter.at(Hook::Input, topology.this().address).next().unwrap();
        assert_eq!(input.access(Some((Protocol::Tcp, 10250))), Access::Narrow);
        assert_eq!(input.access(Some((Protocol::Tcp, 2379))), Access::Closed);
        bench.look_as(&after, "w1", &JoinMaterial::default(), |context| {
            assert_eq!(check(context, &openings).unwrap(), Check::Done);
        });
        bench.ran();
        undo(&mut bench.host()).unwrap();
        insta::assert_snapshot!(bench.ran().join("\n"), @"
        iptables -w -D INPUT -j KINSTALL-INPUT
        iptables -w -F KINSTALL-INPUT
        iptables -w -X KINSTALL-INPUT
        iptables -w -D FORWARD -j KINSTALL-FORWARD
        iptables -w -F KINSTALL-FORWARD
        iptables -w -X KINSTALL-FORWARD
        ");
    }

    #[test]
    fn a_chain_of_nft_jumps_to_one_of_its_own_table() {
        let bench = Bench::new();
        let cluster = cluster(&bench);
        let topology = cluster.seen_from("w1");
        let openings = Openings::of(&cluster.inputs(&topology));
        let chains = [(Hook::Input, "input"), (Hook::Output, "output")].map(|(hook, chain)| OwnChain {
            hook,
            table: "inet filter".into(),
            chain: chain.into(),
        });
        let text = content(FilterProgram::Nft, &chains, &openings);
        insta::assert_snapshot!(text, @r#"
        # By kinstall: what Kubernetes needs on this host. `kinstall reset` removes it.
        add chain inet filter KINSTALL-INPUT
        flush chain inet filter KINSTALL-INPUT
        add rule inet filter KINSTALL-INPUT ct state established,related accept
        add rule inet filter KINSTALL-INPUT iifname lo accept
        add rule inet filter KINSTALL-INPUT ip saddr 192.0.2.1/32 tcp dport 10250 accept
        add rule inet filter KINSTALL-INPUT ip saddr 192.0.2.2/32 tcp dport 10250 accept
        add rule inet filter KINSTALL-INPUT ip saddr 192.0.2.3/32 tcp dport 10250 accept
        add rule inet filter KINSTALL-INPUT ip saddr 10.244.0.0/16 tcp dport 10250 accept
        insert rule inet filter input jump KINSTALL-INPUT comment "kinstall"
        add chain inet filter KINSTALL-OUTPUT
        flush chain inet filter KINSTALL-OUTPUT
        add rule inet filter KINSTALL-OUTPUT ct state established,related accept
        add rule inet filter KINSTALL-OUTPUT oifname lo accept
        add rule inet filter KINSTALL-OUTPUT ip daddr 192.0.2.1/32 accept
        add rule inet filter KINSTALL-OUTPUT ip daddr 192.0.2.2/32 accept
        add rule inet filter KINSTALL-OUTPUT ip daddr 192.0.2.3/32 accept
        add rule inet filter KINSTALL-OUTPUT ip daddr 192.0.2.12/32 accept
        add rule inet filter KINSTALL-OUTPUT ip daddr 10.244.0.0/16 accept
        add rule inet filter KINSTALL-OUTPUT ip daddr 10.96.0.0/12 accept
        insert rule inet filter output jump KINSTALL-OUTPUT comment "kinstall"
        "#);
        bench.file("etc/kinstall/nft.rules", &text);
        let read = own_chains(&bench.host(), FilterProgram::Nft, "/etc/kinstall/nft.rules").unwrap();
        assert_eq!(read, chains);
        let shown = r#"{"nftables": [{"rule": {"handle": 7, "comment": "kinstall"}}, {"rule": {"handle": 8, "comment": "site"}}]}"#;
        assert_eq!(jumps(shown), [7]);
    }

    #[test]
    fn a_host_that_is_open_gets_nothing() {
        let bench = Bench::new();
        let cluster = cluster(&bench);
        bench.look_as(&cluster, "c1", &JoinMaterial::default(), |context| {
            let openings = Openings::of(&context.inputs);
            assert_eq!(check(context, &openings).unwrap(), Check::Done);
        });
    }
}
