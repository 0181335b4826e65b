//! Which machine of the host's own network has an address.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use super::questions::FindNeighbour;
use crate::host::{Command, Host};

/// The kernel asks three times, a second apart.
const ANSWERS_WITHIN: Duration = Duration::from_secs(4);
/// Nothing has to listen there: the kernel's own ARP request, or neighbour solicitation, finds the machine.
const ANY_PORT: u16 = 9;

/// The hardware address of the machine that has the address, if any has.
pub fn find(asked: &FindNeighbour) -> anyhow::Result<Option<String>> {
    let address = asked.address;
    // Whether it connects or not, the kernel's table has the answer afterwards.
    drop(TcpStream::connect_timeout(&SocketAddr::new(address, ANY_PORT), ANSWERS_WITHIN));
    let host = Host::local()?;
    if address.is_ipv6() {
        let shown = host.run(&Command::new("ip", ["-6", "neighbour", "show", "to", &address.to_string()]))?;
        return Ok(link_address(&shown.stdout));
    }
    Ok(host.read_text("/proc/net/arp")?.and_then(|table| hardware_address(&table, address)))
}

/// Reads what `ip neighbour show` prints: `2001:db8::9 dev eth0 lladdr 02:00:00:00:00:09 REACHABLE`. A neighbour that never answered has no
/// `lladdr`; one that answered before and no longer does has `FAILED` behind it.
fn link_address(shown: &str) -> Option<String> {
    let mut words = shown.lines().find(|line| !line.ends_with("FAILED"))?.split_whitespace();
    words.find(|word| *word == "lladdr")?;
    words.next().map(str::to_owned)
}

/// Reads the table of `/proc/net/arp`: address, type, flags, hardware address, mask, device.
///
/// Source: the kernel's `arp_format_neigh_entry`; the flag 2 is `ATF_COM`, an entry that was answered.
fn hardware_address(table: &str, address: IpAddr) -> Option<String> {
    const COMPLETE: u32 = 2;
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let found: IpAddr = fields.next()?.parse().ok()?;
        let flags = u32::from_str_radix(fields.nth(1)?.strip_prefix("0x")?, 16).ok()?;
        (found == address && flags & COMPLETE != 0).then(|| fields.next().map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_only_when_a_machine_answered() {
        let table = "\
IP address       HW type     Flags       HW address            Mask     Device
192.0.2.7        0x1         0x2         02:00:00:00:00:07     *        eth0
192.0.2.9        0x1         0x0         00:00:00:00:00:00     *        eth0
";
        let of = |address: &str| hardware_address(table, address.parse().unwrap());
        assert_eq!(of("192.0.2.7").as_deref(), Some("02:00:00:00:00:07"));
        assert_eq!((of("192.0.2.9"), of("192.0.2.8")), (None, None));
        let of = |state: &str| link_address(&format!("2001:db8::9 dev eth0 {state} \n").replace(" \n", "\n"));
        assert_eq!(of("lladdr 02:00:00:00:00:09 REACHABLE").as_deref(), Some("02:00:00:00:00:09"));
        assert_eq!((of("FAILED"), of("lladdr 02:00:00:00:00:09 FAILED"), link_address("")), (None, None, None));
    }
}
