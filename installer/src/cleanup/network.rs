//! Network namespaces, links, routes, packet filter rules and sets of addresses that kube-proxy and CNI plugins made.

use std::collections::BTreeSet;

use crate::config::Cidr;
use crate::host::{Command, Host, HostError};
use crate::records::Records;
use crate::steps::virtual_address;

/// The directory of named network namespaces.
const NAMESPACES: &str = "/run/netns";
/// The protocols of `ip route` whose routes to pods Calico sets: Felix's own (`RouteTableProtocol`), and BIRD's (`rtnetlink.h`).
const CALICO_ROUTES: [&str; 2] = ["80", "12"];
/// What Calico's node keeps on every host that it has run on.
const CALICO_NODE: &str = "/var/lib/calico/nodename";

/// Removes the namespaces of pods. Their ends of the veth pairs go with them, and so do the ends on the host.
pub fn remove_namespaces(host: &Host) -> Result<(), HostError> {
    for name in host.names_in(NAMESPACES)?.iter().filter(|name| name.starts_with("cni-")) {
        host.remove_runtime(&format!("{NAMESPACES}/{name}"))?;
    }
    // The directory stays if it holds namespaces of others, or is mounted for them.
    host.remove_runtime_directory(NAMESPACES)?;
    Ok(())
}

/// Removes the control planes' virtual IP from this host, if it was left here.
pub fn remove_virtual_address(host: &Host) -> Result<(), HostError> {
    let Some((address, interface)) = virtual_address::held(host)? else { return Ok(()) };
    let shown = host.run_if_installed(&Command::new("ip", ["-oneline", "address", "show", "dev", &interface]))?;
    let with_prefix = format!(" {} ", Cidr::single(address));
    if shown.is_some_and(|shown| shown.stdout.contains(&with_prefix)) {
        host.run(&Command::new("ip", ["address", "delete", with_prefix.trim(), "dev", &interface]))?;
    }
    Ok(())
}

/// Removes the links that CNI plugins and kube-proxy make.
///
/// The kernel is asked for them: on a host inside of a container, `/sys/class/net` shows the links of another network namespace.
pub fn remove_links(host: &Host) -> Result<(), HostError> {
    let Some(shown) = host.run_if_installed(&Command::new("ip", ["-oneline", "link", "show"]))? else { return Ok(()) };
    for link in links(&shown.stdout).filter(|name| is_link_of_a_cluster(name)) {
        let deletion = Command::new("ip", ["link", "delete", link]);
        // Meanwhile a pod's end may go with its network namespace, and this end with it.
        if host.try_run(&deletion)?.code != Some(0) && is_there(host, link)? {
            host.run(&deletion)?;
        }
    }
    Ok(())
}

fn is_there(host: &Host, link: &str) -> Result<bool, HostError> {
    Ok(host.try_run(&Command::new("ip", ["link", "show", "dev", link]))?.code == Some(0))
}

/// Removes the addresses of the IP-in-IP tunnel on a host with Calico, and switches it off. The kernel's module makes the tunnel and keeps
/// it; on a host without Calico the site may use it.
pub fn empty_tunnel(host: &Host) -> Result<(), HostError> {
    let Some(shown) = host.run_if_installed(&Command::new("ip", ["-oneline", "link", "show"]))? else { return Ok(()) };
    if host.exists(CALICO_NODE) && links(&shown.stdout).any(|name| name == "tunl0") {
        host.run(&Command::new("ip", ["address", "flush", "dev", "tunl0"]))?;
        host.run(&Command::new("ip", ["link", "set", "tunl0", "down"]))?;
    }
    Ok(())
}

/// Removes the routes to pods that Calico set, including those to other hosts. Routes through Calico's links went with the links. A routing
/// daemon of the site may use BIRD's protocol too, but not for the pods' network.
pub fn remove_routes(host: &Host) -> Result<(), HostError> {
    if !host.exists(CALICO_NODE) {
        return Ok(());
    }
    let pods = match Records::read(host) {
        Ok(Some(records)) => records.spec.network.pod_cidr,
        Ok(None) => return Ok(()),
        Err(error) => {
            tracing::warn!(%error, "left Calico's routes: the addresses of pods are unknown");
            return Ok(());
        }
    };
    for pods in pods.iter() {
        for protocol in CALICO_ROUTES {
            remove_routes_of(host, &pods, protocol)?;
        }
    }
    Ok(())
}

fn remove_routes_of(host: &Host, pods: &Cidr, protocol: &str) -> Result<(), HostError> {
    let family = pods.family().option_of_ip();
    let show = Command::new("ip", [family, "route", "show", "proto", protocol]);
    let Some(shown) = host.run_if_installed(&show)? else { return Ok(()) };
    for route in routes_into(&shown.stdout, pods) {
        host.run(&Command::new("ip", [family, "route", "delete"].into_iter().chain(route)))?;
    }
    Ok(())
}

/// Of what `ip route show` prints, the routes into `network`, each as `ip route delete` takes it: `blackhole 10.244.1.0/26`.
fn routes_into<'a>(shown: &'a str, network: &Cidr) -> Vec<Vec<&'a str>> {
    let target = |line: &'a str| {
        let words: Vec<_> = line.split_whitespace().take(2).collect();
        let route = if words.first() == Some(&"blackhole") { words } else { words[..1].to_vec() };
        let text = *route.last()?;
        let address = text.split('/').next()?.parse().ok()?;
        network.contains(address).then_some(route)
    };
    shown.lines().filter(|line| !line.trim().is_empty()).filter_map(target).collect()
}

/// Interfaces of a cluster with fixed names.
pub const LINKS: [&str; 10] = [
    "cni0",
    "flannel.1",
    "flannel-v6.1",
    "flannel-wg",
    "flannel-wg-v6",
    "kube-ipvs0",
    "vxlan.calico",
    "vxlan-v6.calico",
    "wireguard.cali",
    "wg-v6.cali",
];

fn is_link_of_a_cluster(name: &str) -> bool {
    LINKS.contains(&name) || name.starts_with("cali")
}

/// The names in what `ip -oneline link show` prints: `3: eth0@if4: <…> …`.
fn links(shown: &str) -> impl Iterator<Item = &str> {
    shown.lines().filter_map(|line| line.split(": ").nth(1)?.split('@').next())
}

/// Removes the chains of kube-proxy, the kubelet and CNI plugins, and the rules that lead to them.
pub fn remove_rules(host: &Host) -> Result<(), HostError> {
    for family in ["iptables", "ip6tables"] {
        let Some(saved) = host.run_if_installed(&Command::new(&format!("{family}-save"), [""; 0]))? else { continue };
        let removal = removal(&saved.stdout);
        if !removal.is_empty() {
            host.run(&Command::new(&format!("{family}-restore"), ["--noflush"]).input(removal))?;
        }
    }
    Ok(())
}

/// Makes the input of `iptables-restore --noflush` that removes the cluster's chains and the rules that jump to them, from the output of
/// `iptables-save`; empty if there are none. Rules of others stay, even in the same tables.
fn removal(saved: &str) -> String {
    saved.split_inclusive("COMMIT\n").flat_map(removal_from_table).map(|line| line + "\n").collect()
}

fn removal_from_table(table: &str) -> Vec<String> {
    let name_of = |line: &str| Some(line.strip_prefix(':')?.split(' ').next()?.to_owned());
    let chains: BTreeSet<_> = table.lines().filter_map(name_of).filter(|chain| is_ours(chain)).collect();
    let Some(name) = table.lines().find(|line| line.starts_with('*')).filter(|_| !chains.is_empty()) else {
        return Vec::new();
    };
    let leads_to_ours = |rule: &&str| {
        let mut words = rule.split(' ');
        let is_elsewhere = words.next().is_some_and(|chain| !chains.contains(chain));
        is_elsewhere && (words.any(|word| chains.contains(word)) || is_marked(rule))
    };
    let rules = table.lines().filter_map(|line| line.strip_prefix("-A "));
    let mut script = vec![name.to_owned()];
    script.extend(rules.filter(leads_to_ours).map(|rule| format!("-D {rule}")));
    script.extend(chains.iter().map(|chain| format!("-F {chain}")));
    script.extend(chains.iter().map(|chain| format!("-X {chain}")));
    script.push("COMMIT".to_owned());
    script
}

/// Whether Calico marked a rule as its own: some of its rules are in chains of others and jump nowhere.
fn is_marked(rule: &str) -> bool {
    ["--comment \"cali:", "--comment cali:"].iter().any(|mark| rule.contains(mark))
}

fn is_ours(chain: &str) -> bool {
    ["KUBE-", "CNI-", "FLANNEL-", "cali-"].iter().any(|prefix| chain.starts_with(prefix))
}

/// Removes the IP sets of kube-proxy and Calico, which no rule uses any more, and the tables that kube-proxy, Flannel and Calico have in
/// nftables. Only if the host has `ipset` and `nft`: the pods' own programs are gone with the pods.
pub fn remove_sets_and_tables(host: &Host) -> Result<(), HostError> {
    let listed = |program: &str, arguments: &[&str]| {
        let output = host.run_if_installed(&Command::new(program, arguments.iter().copied()))?;
        Ok::<_, HostError>(output.unwrap_or_default().stdout)
    };
    for set in listed("ipset", &["list", "-name"])?.lines().filter(|set| is_set_of_a_cluster(set)) {
        host.run(&Command::new("ipset", ["destroy", set]))?;
    }
    for table in listed("nft", &["list", "tables"])?.lines().filter_map(table_of_a_cluster) {
        host.run(&Command::new("nft", ["delete", "table"].into_iter().chain(table)))?;
    }
    Ok(())
}

fn is_set_of_a_cluster(set: &str) -> bool {
    ["KUBE-", "cali4", "cali6"].iter().any(|prefix| set.starts_with(prefix))
}

/// The family and the name in `table ip kube-proxy`.
fn table_of_a_cluster(line: &str) -> Option<[&str; 2]> {
    const TABLES: [&str; 4] = ["calico", "flannel-ipv4", "flannel-ipv6", "kube-proxy"];
    let (family, name) = line.strip_prefix("table ")?.split_once(' ')?;
    TABLES.contains(&name).then_some([family, name])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;

    #[test]
    fn namespaces_of_pods_go_and_those_that_cannot_be_listed_are_an_error() {
        let bench = Bench::new();
        remove_namespaces(&bench.host()).unwrap();
        bench.file("run/netns/cni-1", "");
        bench.file("run/netns/site", "");
        remove_namespaces(&bench.host()).unwrap();
        assert!(!bench.path("run/netns/cni-1").exists() && bench.path("run/netns/site").exists());
        let bench = Bench::new();
        fs_err::create_dir_all(bench.path("run")).unwrap();
        // A link to itself is there and cannot be read.
        fs_err::os::unix::fs::symlink("netns", bench.path("run/netns")).unwrap();
        assert_eq!(remove_namespaces(&bench.host()).unwrap_err().to_string(), "cannot look into /run/netns");
    }

    #[test]
    fn links_are_read_without_their_peers() {
        let shown = "1: lo: <LOOPBACK,UP> mtu 65536 qdisc noqueue\n\
                     2: eth0@if3: <BROADCAST,UP> mtu 1500\\    link/ether 02:28:a3\n\
                     3: cni0: <NO-CARRIER> mtu 1500\n";
        assert_eq!(links(shown).collect::<Vec<_>>(), ["lo", "eth0", "cni0"]);
        assert!(is_link_of_a_cluster("cni0") && is_link_of_a_cluster("cali12ab") && !is_link_of_a_cluster("eth0"));
    }

    #[test]
    fn sets_and_tables_of_others_stay() {
        let bench = Bench::with_programs(|_, command| {
            let said = match command.to_string().as_str() {
                "ipset list -name" => "KUBE-CLUSTER-IP\ncali40s:abc\nblocked-by-site\n",
                "nft list tables" => "table ip kube-proxy\ntable ip nat\ntable inet site\n",
                _ => "",
            };
            Some(said.to_owned())
        });
        remove_sets_and_tables(&bench.host()).unwrap();
        let changes: Vec<_> = bench.ran().into_iter().filter(|command| !command.contains(" list ")).collect();
        assert_eq!(
            changes,
            ["ipset destroy KUBE-CLUSTER-IP", "ipset destroy cali40s:abc", "nft delete table ip kube-proxy"]
        );
    }

    #[test]
    fn only_chains_of_clusters_and_what_leads_to_them_go() {
        let saved = "\
# Generated by iptables-save
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-MARK-MASQ - [0:0]
:CNI-1a2b - [0:0]
:SITE - [0:0]
-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A PREROUTING -j SITE
-A POSTROUTING -s 10.244.0.5/32 -m comment --comment \"name: \\\"x\\\" id: \\\"y\\\"\" -j CNI-1a2b
-A KUBE-SERVICES -j KUBE-MARK-MASQ
-A SITE -j ACCEPT
COMMIT
*filter
:INPUT ACCEPT [0:0]
-A INPUT -j ACCEPT
COMMIT
";
        insta::assert_snapshot!(removal(saved), @r#"
        *nat
        -D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
        -D POSTROUTING -s 10.244.0.5/32 -m comment --comment "name: \"x\" id: \"y\"" -j CNI-1a2b
        -F CNI-1a2b
        -F KUBE-MARK-MASQ
        -F KUBE-SERVICES
        -X CNI-1a2b
        -X KUBE-MARK-MASQ
        -X KUBE-SERVICES
        COMMIT
        "#);
        assert_eq!(removal("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"), "");
        assert_eq!(removal(""), "");
    }

    #[test]
    fn what_calico_put_into_chains_of_others_goes_too() {
        let saved = "\
*filter
:FORWARD ACCEPT [0:0]
:cali-FORWARD - [0:0]
-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD
-A FORWARD -m comment --comment \"cali:S93hcgKJrXEqnTfs\" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A FORWARD -s 192.0.2.0/24 -j ACCEPT
-A cali-FORWARD -m comment --comment \"cali:1ABC\" -j MARK --set-xmark 0x0/0xe0000
COMMIT
";
        insta::assert_snapshot!(removal(saved), @r#"
        *filter
        -D FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD
        -D FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -m mark --mark 0x10000/0x10000 -j ACCEPT
        -F cali-FORWARD
        -X cali-FORWARD
        COMMIT
        "#);
    }

    #[test]
    fn routes_to_pods_go_and_those_of_the_site_stay() {
        let shown = "blackhole 10.244.36.64/26\n10.244.1.0/26 via 192.0.2.12 dev eth0 \n10.244.36.65 dev cali1 scope link\n\
                     172.16.0.0/12 via 192.0.2.1 dev eth0 \ndefault via 192.0.2.1 dev eth0\n\n";
        assert_eq!(
            routes_into(shown, &"10.244.0.0/16".parse().unwrap()),
            [vec!["blackhole", "10.244.36.64/26"], vec!["10.244.1.0/26"], vec!["10.244.36.65"]]
        );
    }

    #[test]
    fn routes_and_the_tunnel_are_calicos_only_where_it_ran() {
        let bench = Bench::with_programs(|_, command| {
            command.to_string().contains("link show").then(|| "4: tunl0@NONE: <NOARP,UP>".to_owned())
        });
        empty_tunnel(&bench.host()).unwrap();
        remove_routes(&bench.host()).unwrap();
        assert_eq!(bench.ran(), ["ip -oneline link show"]);
        bench.file(CALICO_NODE.trim_start_matches('/'), "n1");
        empty_tunnel(&bench.host()).unwrap();
        insta::assert_snapshot!(bench.ran().join("\n"), @"
        ip -oneline link show
        ip address flush dev tunl0
        ip link set tunl0 down
        ");
    }
}
