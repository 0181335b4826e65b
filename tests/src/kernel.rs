//! The content of a host's kernel: every setting, mounts, links with their addresses, routes, rules, packet filter and IP sets.

use anyhow::{Context as _, ensure};

use crate::Remote;

/// Begins the keys of settings.
pub(crate) const SETTING: &str = "setting ";

/// Settings that say how things are, and change on their own.
const READINGS: [&str; 14] = [
    "fs/aio-nr",
    "fs/dentry-state",
    "fs/file-nr",
    "fs/inode-nr",
    "fs/inode-state",
    "fs/quota/",
    "kernel/ns_last_pid",
    "kernel/perf_event_max_sample_rate",
    "kernel/pty/nr",
    "kernel/random/",
    "net/ipv4/tcp_fastopen_key",
    // Computed at each boot from the memory that is free then.
    "net/ipv4/tcp_mem",
    "net/ipv4/udp_mem",
    "net/netfilter/nf_conntrack_count",
];
/// Mounts that come and go with logins, services and first uses.
const PASSING_MOUNTS: [&str; 3] = ["/run/user/", "/run/credentials/", "/proc/sys/fs/binfmt_misc"];
/// The tables that `iptables-save` shows; without rules they are as good as none.
const IPTABLES: [&str; 5] = ["filter", "mangle", "nat", "raw", "security"];

/// All entries, by a key that names them.
pub(crate) fn entries(host: &Remote) -> anyhow::Result<Vec<(String, String)>> {
    let mut entries = settings(host)?;
    entries.extend(mounts(&host.sh("cat /proc/1/mounts")?));
    entries.extend(links(host)?);
    for family in ["-4", "-6"] {
        let routes = host.sh(&format!("ip {family} route show table all; ip {family} rule show"))?;
        let lasting = routes.lines().map(|line| format!("route {family} {}", without_lifetime(line)));
        entries.extend(lasting.map(|key| (key, String::new())));
    }
    entries.extend(filters(host)?);
    Ok(entries)
}

fn settings(host: &Remote) -> anyhow::Result<Vec<(String, String)>> {
    // Some are there to be written only, or not for everyone: grep passes them over and says so by its status.
    let read = "find /proc/sys -xdev -type f -perm -u=r -print0 | xargs -0 grep -Hs '' || true";
    let found: Vec<_> = host.sh(read)?.lines().filter_map(setting).collect();
    let known = |name: &str| found.iter().any(|(key, _)| key.starts_with(&format!("{SETTING}{name}")));
    ensure!(
        known("net/ipv4/ip_forward") && known("kernel/panic"),
        "the look at the kernel's settings found next to none"
    );
    Ok(found)
}

/// Reads `/proc/sys/NAME:VALUE`. A setting of several lines has one entry with each.
fn setting(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("/proc/sys/")?.split_once(':')?;
    let lasts = !READINGS.iter().any(|reading| name == *reading || reading.ends_with('/') && name.starts_with(reading));
    lasts.then(|| (format!("{SETTING}{name}"), value.to_owned()))
}

fn mounts(table: &str) -> Vec<(String, String)> {
    let mount = |line: &str| {
        let mut words = line.split(' ');
        let (source, target, kind) = (words.next()?, words.next()?, words.next()?);
        let lasts = !PASSING_MOUNTS.iter().any(|passing| target.starts_with(passing));
        lasts.then(|| (format!("mount {target} {kind}"), source.to_owned()))
    };
    table.lines().filter_map(mount).collect()
}

fn links(host: &Remote) -> anyhow::Result<Vec<(String, String)>> {
    let shown: Vec<serde_json::Value> = serde_json::from_str(&host.sh("ip -json address show")?)?;
    let mut entries = Vec::new();
    for link in &shown {
        let name = link["ifname"].as_str().context("a link without a name")?;
        entries.push((format!("link {name}"), format!("mtu {}", link["mtu"])));
        for address in link["addr_info"].as_array().into_iter().flatten() {
            entries.push((format!("address {name} {}/{}", address["local"], address["prefixlen"]), String::new()));
        }
    }
    ensure!(entries.iter().any(|(key, _)| key == "link lo"), "the look at the links found none");
    Ok(entries)
}

/// A route without its remaining lifetime.
fn without_lifetime(route: &str) -> String {
    let mut words = route.split_whitespace();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if word == "expires" {
            words.next();
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

fn filters(host: &Remote) -> anyhow::Result<Vec<(String, String)>> {
    let mut entries = Vec::new();
    for family in ["iptables", "ip6tables"] {
        let saved = host.sh(&if_installed(&format!("{family}-save")))?;
        entries.extend(rules(&saved).into_iter().map(|rule| (format!("{family} {rule}"), String::new())));
    }
    let tables = host.sh(&if_installed("nft list tables"))?;
    let of_others = tables.lines().filter(|table| !IPTABLES.iter().any(|name| table.ends_with(&format!(" {name}"))));
    entries.extend(of_others.map(|table| (format!("nft {table}"), String::new())));
    let sets = host.sh(&if_installed("ipset list -name"))?;
    entries.extend(sets.lines().map(|set| (format!("ipset {set}"), String::new())));
    Ok(entries)
}

fn if_installed(command: &str) -> String {
    let program = command.split(' ').next().unwrap_or_default();
    format!("if command -v {program} >/dev/null; then {command}; fi")
}

/// From what `iptables-save` prints, the rules, the chains that somebody made and policies other than the usual, by table.
fn rules(saved: &str) -> Vec<String> {
    let mut table = "";
    let mut rules = Vec::new();
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(chain) = line.strip_prefix(':') {
            let chain = chain.split(" [").next().unwrap_or_default();
            if !chain.ends_with(" ACCEPT") {
                rules.push(format!("{table} {chain}"));
            }
        } else if line.starts_with("-A ") {
            rules.push(format!("{table} {line}"));
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_readings_left_out() {
        let entry = |key: &str, value: &str| Some((format!("setting {key}"), value.to_owned()));
        let key = "net/ipv4/conf/all/route_localnet";
        assert_eq!(setting("/proc/sys/net/ipv4/conf/all/route_localnet:1"), entry(key, "1"));
        assert_eq!(setting("/proc/sys/kernel/random/uuid:0f"), None);
        assert_eq!(setting("/proc/sys/fs/file-nr:1\t2\t3"), None);
        assert_eq!(setting("/proc/sys/kernel/core_pattern:|/x:y"), entry("kernel/core_pattern", "|/x:y"));
    }

    #[test]
    fn only_chains_and_rules_that_somebody_made_count() {
        let saved = "# by iptables-save\n*nat\n:POSTROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n\
                     -A POSTROUTING -j KUBE-SERVICES\nCOMMIT\n*filter\n:INPUT DROP [3:4]\nCOMMIT\n";
        let expected = ["nat KUBE-SERVICES -", "nat -A POSTROUTING -j KUBE-SERVICES", "filter INPUT DROP"];
        assert_eq!(rules(saved), expected);
    }

    #[test]
    fn what_is_good_for_a_while_is_the_same_a_second_later() {
        let route = "default via fe80::1 dev eth0 proto ra metric 1024 expires 1750sec pref medium";
        assert_eq!(without_lifetime(route), "default via fe80::1 dev eth0 proto ra metric 1024 pref medium");
    }

    #[test]
    fn mounts_of_logins_pass() {
        let table = "tmpfs /run tmpfs rw 0 0\ntmpfs /run/user/0 tmpfs rw 0 0\n";
        assert_eq!(mounts(table), [("mount /run tmpfs".to_owned(), "tmpfs".to_owned())]);
    }
}
