//! Parsers of what the kernel and `/etc` say about the network. They take text and return facts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::DefaultRoute;

/// A listening socket, as in `/proc/net/tcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListeningSocket {
    /// The port.
    pub port: u16,
    /// The local address.
    pub address: IpAddr,
    /// The socket's number among the open files of processes.
    pub inode: u64,
}

/// Reads the listening sockets of `/proc/net/tcp` or `/proc/net/tcp6`; other lines are skipped.
///
/// Source: the kernel's `Documentation/networking/proc_net_tcp.rst`. Addresses are words in the host's byte order.
#[must_use]
pub fn listening_sockets(table: &str) -> Vec<ListeningSocket> {
    const LISTEN: &str = "0A";
    let socket = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        if fields.get(3) != Some(&LISTEN) {
            return None;
        }
        let (address, port) = fields[1].split_once(':')?;
        Some(ListeningSocket {
            port: u16::from_str_radix(port, 16).ok()?,
            address: address_of_words(address)?,
            inode: fields.get(9)?.parse().ok()?,
        })
    };
    table.lines().filter_map(socket).collect()
}

/// Reads an address of one word (IPv4) or four words (IPv6), each of 8 hex digits in the host's byte order.
fn address_of_words(text: &str) -> Option<IpAddr> {
    let words = text
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<Vec<_>>>()?;
    match *words.concat() {
        [a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d).into()),
        ref bytes => {
            let bytes: [u8; 16] = bytes.try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
    }
}

/// Finds the default route with the lowest metric in `/proc/net/ipv6_route`.
///
/// Source: the kernel's `ipv6_route_native_seq_show`: destination, its prefix, source, its prefix, gateway, metric, two counts, flags
/// (`include/uapi/linux/route.h`), interface.
#[must_use]
pub fn default_route_ipv6(table: &str) -> Option<DefaultRoute> {
    const UP: u32 = 0x1;
    const REJECT: u32 = 0x200;
    let route = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [destination, prefix, _, _, gateway, metric, _, _, flags, interface] = fields[..] else { return None };
        let number = |text: &str| u32::from_str_radix(text, 16).ok();
        let flags = number(flags)?;
        let leads_out = destination.bytes().all(|digit| digit == b'0') && prefix == "00" && interface != "lo";
        if !leads_out || flags & UP == 0 || flags & REJECT != 0 {
            return None;
        }
        let gateway = Ipv6Addr::from(u128::from_str_radix(gateway, 16).ok()?);
        let gateway = (!gateway.is_unspecified()).then(|| gateway.into());
        Some((number(metric)?, DefaultRoute { interface: interface.to_owned(), gateway }))
    };
    table.lines().filter_map(route).min_by_key(|(metric, _)| *metric).map(|(_, route)| route)
}

/// Finds the default route with the lowest metric in `/proc/net/route`.
#[must_use]
pub fn default_route(table: &str) -> Option<DefaultRoute> {
    const UP: u32 = 1;
    let route = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [interface, destination, gateway, flags, _, _, metric, mask, ..] = fields[..] else { return None };
        let up = u32::from_str_radix(flags, 16).ok()? & UP != 0;
        let all = address_of_words(destination)?.is_unspecified() && address_of_words(mask)?.is_unspecified();
        let gateway = address_of_words(gateway).filter(|gateway| !gateway.is_unspecified());
        let route = DefaultRoute { interface: interface.to_owned(), gateway };
        (up && all).then_some((metric.parse::<u32>().ok()?, route))
    };
    table.lines().filter_map(route).min_by_key(|(metric, _)| *metric).map(|(_, route)| route)
}

/// The name servers of a `resolv.conf`, as written.
#[must_use]
pub fn nameservers(resolv_conf: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        // A link-local server has its interface after `%`.
        (words.next() == Some("nameserver")).then(|| words.next()?.split('%').next()?.parse().ok()).flatten()
    };
    resolv_conf.lines().filter_map(server).collect()
}

/// The first address that a hosts file gives `name`.
#[must_use]
pub fn address_in_hosts(hosts: &str, name: &str) -> Option<IpAddr> {
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    })
}

/// Reads what `ip -oneline link show` prints: `2: eth0@if4: <UP> mtu 1500 qdisc …`. Returns the largest packet by interface, in bytes.
#[must_use]
pub fn mtus(shown: &str) -> BTreeMap<String, u32> {
    let read = |line: &str| {
        let name = line.split(": ").nth(1)?.split('@').next()?;
        let mut words = line.split_whitespace().skip_while(|word| *word != "mtu");
        Some((name.to_owned(), words.nth(1)?.parse().ok()?))
    };
    shown.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_who_listens_and_not_who_talks() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0
   1: 00000000:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0
   2: 0100007F:192B 0100007F:BEEF 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0
   broken line
";
        let found: Vec<_> =
            listening_sockets(table).into_iter().map(|s| (s.address.to_string(), s.port, s.inode)).collect();
        assert_eq!(found, [("127.0.0.1".to_owned(), 631, 4711), ("0.0.0.0".to_owned(), 6443, 4712)]);
    }

    #[test]
    fn reads_both_families_of_addresses() {
        let tcp6 = "   0: 00000000000000000000000001000000:192B 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 99 1\n\
                       1: 0000000000000000FFFF00000100007F:192C 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 99 1\n";
        let found: Vec<_> = listening_sockets(tcp6).into_iter().map(|socket| socket.address.to_string()).collect();
        assert_eq!(found, ["::1", "127.0.0.1"]);
    }

    #[test]
    fn the_default_route_is_the_one_with_the_lowest_metric() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                     wlan0\t00000000\t010AA8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
                     eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                     eth1\t00000000\t0102A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n\
                     eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let route = default_route(table).unwrap();
        assert_eq!((route.interface.as_str(), route.gateway), ("eth0", Some("192.168.1.1".parse().unwrap())));
        assert_eq!(default_route("Iface\tDestination\n"), None);
    }

    #[test]
    fn the_default_route_of_ipv6_is_no_route_that_refuses() {
        let none = "00000000000000000000000000000000";
        let line = |metric: &str, gateway: &str, flags: &str, interface: &str| {
            format!("{none} 00 {none} 00 {gateway} {metric} 00000001 00000000 {flags} {interface}\n")
        };
        let router = "fe80000000000000000000fffe000001";
        let table = line("00000400", router, "00450003", "eth0")
            + &line("00000100", none, "00000001", "wg0")
            + "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0\n"
            + &line("ffffffff", none, "00200200", "lo");
        let route = default_route_ipv6(&table).unwrap();
        assert_eq!((route.interface.as_str(), route.gateway), ("wg0", None));
        let route = default_route_ipv6(&line("00000400", router, "00450003", "eth0")).unwrap();
        assert_eq!((route.interface.as_str(), route.gateway), ("eth0", "fe80::ff:fe00:1".parse().ok()));
        assert_eq!(default_route_ipv6(&line("ffffffff", none, "00200200", "lo")), None);
    }

    #[test]
    fn name_servers_and_hosts_are_read_as_the_resolver_does() {
        let servers = nameservers(
            "# x\nnameserver 10.0.0.2\nsearch a b\nnameserver fe80::1%eth0\n nameserver  ::1 \noptions ndots:2",
        );
        assert_eq!(servers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.2", "fe80::1", "::1"]);
        let hosts = "127.0.0.1 localhost\n10.1.1.5\tNode-1.plant node-1 # node-2\n::1 node-1\n";
        assert_eq!(address_in_hosts(hosts, "node-1"), Some("10.1.1.5".parse().unwrap()));
        assert_eq!(address_in_hosts(hosts, "node-2"), None);
    }

    #[test]
    fn mtus_are_read_by_interface() {
        let shown = "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT\\    link/loopback\n\
                     2: eth0@if3: <BROADCAST,UP> mtu 1450 qdisc noqueue state UP\n";
        assert_eq!(mtus(shown), [("lo".to_owned(), 65536), ("eth0".to_owned(), 1450)].into());
    }
}
