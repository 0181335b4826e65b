//! Plain rules of iptables and nft: the closing chain first jumps to a chain of kinstall's own. Rules in another table are not enough,
//! since a packet has to pass all tables. A unit sets the rules at boot, after the site's.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::Openings;
use super::rules::rules;
use crate::config::IpFamily;
use crate::facts::packet_filter::{FilterChain, FilterProgram, Hook};
use crate::facts::{HostFacts, PacketFilter};
use crate::host::{Command, Host};
use crate::inputs::Inputs;
use crate::preflight::Subject;
use crate::preflight::firewall::closed;
use crate::steps::{Check, Context, needed};

const DIRECTORY: &str = "/etc/kinstall";
const UNIT: &str = "kinstall-firewall.service";
const UNIT_FILE: &str = "/etc/systemd/system/kinstall-firewall.service";
/// Marks kinstall's jumps in chains of nft, so that kinstall finds them again.
const COMMENT: &str = "kinstall";
const FILES: [RulesFile; 5] = [
    RulesFile::new(FilterProgram::Iptables, Some(IpFamily::Ipv4), "iptables", "/etc/kinstall/iptables.rules"),
    RulesFile::new(FilterProgram::Iptables, Some(IpFamily::Ipv6), "ip6tables", "/etc/kinstall/ip6tables.rules"),
    RulesFile::new(
        FilterProgram::IptablesLegacy,
        Some(IpFamily::Ipv4),
        "iptables-legacy",
        "/etc/kinstall/iptables-legacy.rules",
    ),
    RulesFile::new(
        FilterProgram::IptablesLegacy,
        Some(IpFamily::Ipv6),
        "ip6tables-legacy",
        "/etc/kinstall/ip6tables-legacy.rules",
    ),
    RulesFile::new(FilterProgram::Nft, None, "nft", "/etc/kinstall/nft.rules"),
];
const HOOKS: [(Hook, &str, &str); 3] = [
    (Hook::Input, "INPUT", "KINSTALL-INPUT"),
    (Hook::Forward, "FORWARD", "KINSTALL-FORWARD"),
    (Hook::Output, "OUTPUT", "KINSTALL-OUTPUT"),
];

/// A file of rules, and the program that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RulesFile {
    program: FilterProgram,
    /// The family of its tables; `None` for tables of both families.
    family: Option<IpFamily>,
    command: &'static str,
    path: &'static str,
}

impl RulesFile {
    const fn new(program: FilterProgram, family: Option<IpFamily>, command: &'static str, path: &'static str) -> Self {
        Self { program, family, command, path }
    }

    /// The file whose program can open this chain.
    fn of(chain: &FilterChain) -> Option<Self> {
        let is_its = |file: &Self| file.family.is_none_or(|family| chain.family.is_for(family));
        FILES.into_iter().find(|file| file.program == chain.program && is_its(file))
    }

    /// The rules files that this host has.
    fn on(host: &Host) -> Vec<Self> {
        FILES.into_iter().filter(|file| host.exists(file.path)).collect()
    }

    fn is_nft(self) -> bool {
        self.program == FilterProgram::Nft
    }
}

pub fn check(context: &Context<'_>, openings: &Openings) -> anyhow::Result<Check> {
    let host = &context.host;
    // The present rules: the facts are from before the first step.
    let facts = HostFacts { packet_filter: PacketFilter::read(host)?, ..context.facts.clone() };
    let closed = closed(&subject(&Inputs { facts: &facts, ..context.inputs }));
    if let Some((port, chain)) = closed.ports.first() {
        return needed(format!("{} blocks {}", chain.name(), port.name()));
    }
    if let Some(chain) = closed.chains.first() {
        return needed(format!("{} lets no packets of pods through", chain.name()));
    }
    // A host that was never closed gets no rules; the files of an opened host are kept up to date.
    for file in RulesFile::on(host) {
        let (chains, path) = (own_chains(host, file)?, file.path);
        if !host.has_file(path, content(file, &chains, openings).as_bytes(), 0o600)? {
            return needed(format!("{path} does not say what the roles need now"));
        }
        if !host.unit_is_up(UNIT)? {
            return needed(format!("{UNIT} does not set the rules at boot"));
        }
    }
    Ok(Check::Done)
}

pub fn apply(context: &mut Context<'_>, openings: &Openings) -> anyhow::Result<()> {
    let mut wanted: BTreeMap<&str, (RulesFile, Vec<OwnChain>)> = BTreeMap::new();
    for file in RulesFile::on(&context.host) {
        wanted.insert(file.path, (file, own_chains(&context.host, file)?));
    }
    for chain in closing_chains(context) {
        let file = RulesFile::of(chain).expect("each program has a file");
        let chains = &mut wanted.entry(file.path).or_insert((file, Vec::new())).1;
        let own = OwnChain::of(chain);
        if !chains.contains(&own) {
            chains.push(own);
        }
    }
    let host = &mut context.host;
    take_out(host)?;
    host.make_directory(DIRECTORY, 0o755)?;
    for (path, (file, chains)) in &wanted {
        host.write_file(path, content(*file, chains, openings).as_bytes(), 0o600)?;
    }
    let files: Vec<_> = FILES.into_iter().filter(|file| wanted.contains_key(file.path)).collect();
    host.write_file(UNIT_FILE, unit(&files).as_bytes(), 0o644)?;
    Ok(host.restart_unit(UNIT)?)
}

pub fn undo(host: &mut Host) -> anyhow::Result<()> {
    take_out(host)
}

fn subject<'a>(inputs: &Inputs<'a>) -> Subject<'a> {
    let topology = (!inputs.topology.is_single()).then_some(inputs.topology);
    Subject { spec: inputs.spec, facts: inputs.facts, topology, kubernetes: None, brought: None }
}

/// The chains that block the cluster. Others in the same table stay unchanged.
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

    /// The family of its table; `None` for a table of both families.
    fn family(&self) -> Option<IpFamily> {
        match self.table.split(' ').next() {
            Some("ip") => Some(IpFamily::Ipv4),
            Some("ip6") => Some(IpFamily::Ipv6),
            _ => None,
        }
    }

    fn own_name(&self) -> &'static str {
        HOOKS.iter().find(|(hook, ..)| *hook == self.hook).map_or("", |(_, _, own)| own)
    }
}

/// The site's chains that one of kinstall's files is for.
fn own_chains(host: &Host, file: RulesFile) -> anyhow::Result<Vec<OwnChain>> {
    let text = host.read_text(file.path)?.unwrap_or_default();
    let filter = if file.family == Some(IpFamily::Ipv6) { "ip6 filter" } else { "ip filter" };
    let chain = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        match (file.program, words.as_slice()) {
            (FilterProgram::Nft, ["insert", "rule", family, table, chain, "jump", own, ..]) => {
                let (hook, ..) = HOOKS.into_iter().find(|(_, _, known)| known == own)?;
                Some(OwnChain { hook, table: format!("{family} {table}"), chain: (*chain).to_owned() })
            }
            (FilterProgram::Iptables | FilterProgram::IptablesLegacy, ["-I", chain, "-j", own]) => {
                let (hook, ..) = HOOKS.into_iter().find(|(_, _, known)| known == own)?;
                Some(OwnChain { hook, table: filter.to_owned(), chain: (*chain).to_owned() })
            }
            _ => None,
        }
    };
    Ok(text.lines().filter_map(chain).collect())
}

/// Removes the jumps to kinstall's chains, and the chains.
fn take_out(host: &Host) -> anyhow::Result<()> {
    for file in RulesFile::on(host) {
        for own in own_chains(host, file)? {
            let name = own.own_name();
            if file.is_nft() {
                take_out_of_nft(host, &own)?;
                continue;
            }
            // A command fails if its rule is gone already, for example after the site's rules were loaded again.
            for arguments in [vec!["-D", &own.chain, "-j", name], vec!["-F", name], vec!["-X", name]] {
                host.try_run(&Command::new(file.command, ["-w"].into_iter().chain(arguments)))?;
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

/// The content of a rules file, as input for its program.
fn content(file: RulesFile, chains: &[OwnChain], openings: &Openings) -> String {
    let mut text = String::from("# By kinstall: what Kubernetes needs on this host. `kinstall reset` removes it.\n");
    let mut line = |words: String| writeln!(text, "{words}").expect("a string takes all");
    if file.is_nft() {
        for own in chains {
            let (table, name) = (&own.table, own.own_name());
            line(format!("add chain {table} {name}"));
            line(format!("flush chain {table} {name}"));
            for rule in rules(own.hook, openings).iter().filter(|rule| rule.fits(own.family())) {
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
        for rule in rules(own.hook, openings).iter().filter(|rule| rule.fits(file.family)) {
            line(format!("-A {} {} -j ACCEPT", own.own_name(), rule.in_iptables()));
        }
        line(format!("-I {} -j {}", own.chain, own.own_name()));
    }
    line("COMMIT".to_owned());
    text
}

/// The unit that sets the rules at boot, and again after the site's own unit has loaded the site's rules.
fn unit(files: &[RulesFile]) -> String {
    const OF_OTHERS: &str = "iptables.service nftables.service netfilter-persistent.service";
    let mut acts = String::new();
    for RulesFile { command, path, .. } in files {
        let act = if *command == "nft" {
            format!("ExecStart=nft -f {path}")
        } else {
            for (_, chain, own) in HOOKS {
                writeln!(acts, "ExecStartPre=-{command} -w -D {chain} -j {own}").expect("a string takes all");
            }
            format!("ExecStart={command}-restore -w --noflush {path}")
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

    /// `iptables-save` prints [`SAVED`] at first, and also kinstall's rules once their file exists.
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
        let input = after.facts.packet_filter.at(Hook::Input, IpFamily::Ipv4).next().unwrap();
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
        let text = content(FILES[4], &chains, &openings);
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
        let read = own_chains(&bench.host(), FILES[4]).unwrap();
        assert_eq!(read, chains);
        let shown = r#"{"nftables": [{"rule": {"handle": 7, "comment": "kinstall"}}, {"rule": {"handle": 8, "comment": "site"}}]}"#;
        assert_eq!(jumps(shown), [7]);
    }

    #[test]
    fn each_family_is_opened_in_its_own_tables() {
        let mut cluster = Cluster::of_both_families();
        cluster.spec.network.cni = Some(Cni::Bridge);
        let topology = cluster.seen_from("w1");
        let openings = Openings::of(&cluster.inputs(&topology));
        let chain = |table: &str| OwnChain { hook: Hook::Forward, table: table.to_owned(), chain: "FORWARD".into() };
        let of = |file: RulesFile, table: &str| content(file, &[chain(table)], &openings);
        let (ipv4, ipv6) = (of(FILES[0], "ip filter"), of(FILES[1], "ip6 filter"));
        assert!(!ipv4.contains("2001:db8") && !ipv4.contains("fd00"), "{ipv4}");
        assert!(!ipv6.contains("192.0.2") && ipv6.contains("-s 2001:db8::1/128 -d fd00:244::/56 -j ACCEPT"), "{ipv6}");
        let both = of(FILES[4], "inet filter");
        for rule in
            ["ip saddr 192.0.2.1/32 ip daddr 10.244.0.0/16", "ip6 saddr 2001:db8::1/128 ip6 daddr fd00:244::/56"]
        {
            assert!(both.contains(rule), "{both}");
        }
        assert!(!of(FILES[4], "ip6 filter").contains("192.0.2"));
        let input = [OwnChain { hook: Hook::Input, table: "ip6 filter".into(), chain: "INPUT".into() }];
        assert!(content(FILES[1], &input, &openings).contains("-A KINSTALL-INPUT -p ipv6-icmp -j ACCEPT\n"));
        assert!(unit(&FILES[..2]).contains("ExecStart=ip6tables-restore -w --noflush /etc/kinstall/ip6tables.rules\n"));
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
