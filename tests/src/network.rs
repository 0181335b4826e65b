//! The switch: a network namespace with a bridge and no uplink. Each host is a namespace whose `eth0`
//! hangs on it. Every lab has namespaces of its own, so that all may use the same addresses.

use std::path::Path;

use anyhow::Result;

use crate::command::run;

const SWITCH_ADDRESS: &str = "10.77.0.1";

/// The address of the host with this index, counted from 0.
pub(crate) fn host_address(index: usize) -> String {
    format!("10.77.0.{}", 11 + index)
}

/// Its IPv6 address, once a lab has any: unique local ones (RFC 4193).
const SWITCH_ADDRESS_IPV6: &str = "fd00:77::1";

/// The IPv6 address of the host with this index, where its lab has any.
pub(crate) fn host_address_ipv6(index: usize) -> String {
    format!("fd00:77::{}", 11 + index)
}

/// Gives the switch IPv6, without a way out too.
pub(crate) fn add_ipv6_to_switch(switch: &str) -> Result<()> {
    run(&format!("ip -n {switch} addr add {SWITCH_ADDRESS_IPV6}/64 dev br0 nodad"))?;
    run(&format!("ip netns exec {switch} sysctl -qw net.ipv6.conf.all.forwarding=1"))?;
    Ok(())
}

/// Gives a host IPv6 beside IPv4. Its default route is a dead end as that of IPv4 is, and it forwards nothing, as a fresh server.
pub(crate) fn add_ipv6_to_host(netns: &str, index: usize) -> Result<()> {
    run(&format!("ip -n {netns} addr add {}/64 dev eth0 nodad", host_address_ipv6(index)))?;
    run(&format!("ip -n {netns} route add default via {SWITCH_ADDRESS_IPV6}"))?;
    run(&format!("ip netns exec {netns} sysctl -qw net.ipv6.conf.all.forwarding=0"))?;
    Ok(())
}

/// Makes the namespace with the bridge.
///
/// It forwards, and has no route out: packets to the outside are refused at once instead of lost.
pub(crate) fn create_switch(switch: &str) -> Result<()> {
    run(&format!("ip netns add {switch}"))?;
    run(&format!("ip -n {switch} link add br0 type bridge"))?;
    run(&format!("ip -n {switch} addr add {SWITCH_ADDRESS}/24 dev br0"))?;
    run(&format!("ip -n {switch} link set br0 up"))?;
    run(&format!("ip -n {switch} link set lo up"))?;
    run(&format!("ip netns exec {switch} sysctl -qw net.ipv4.ip_forward=1"))?;
    Ok(())
}

/// Makes a host's namespace with `eth0` addressed before the host boots.
///
/// The default route is a dead end, but without one the host could not reach Service addresses: no
/// route, no translation. A new namespace inherits forwarding; a fresh server has none.
pub(crate) fn create_host(switch: &str, netns: &str, index: usize) -> Result<()> {
    let port = port(index);
    run(&format!("ip netns add {netns}"))?;
    run(&format!("ip link add {port} netns {switch} type veth peer name eth0 netns {netns}"))?;
    run(&format!("ip -n {switch} link set {port} master br0 up"))?;
    run(&format!("ip -n {netns} addr add {}/24 dev eth0", host_address(index)))?;
    run(&format!("ip -n {netns} link set eth0 up"))?;
    run(&format!("ip -n {netns} link set lo up"))?;
    run(&format!("ip -n {netns} route add default via {SWITCH_ADDRESS}"))?;
    run(&format!("ip netns exec {netns} sysctl -qw net.ipv4.ip_forward=0"))?;
    if Path::new("/proc/sys/net/bridge").exists() {
        run(&format!("ip netns exec {netns} sysctl -qw net.bridge.bridge-nf-call-iptables=0"))?;
    }
    Ok(())
}

/// Pulls the host's cable out of the switch, or puts it back.
pub(crate) fn set_plugged(switch: &str, index: usize, plugged: bool) -> Result<()> {
    let state = if plugged { "up" } else { "down" };
    run(&format!("ip -n {switch} link set {} {state}", port(index)))?;
    Ok(())
}

/// The switch's end of a host's cable.
fn port(index: usize) -> String {
    format!("port{index}")
}

/// Removes a namespace and what is in it; it is not an error that it is gone.
pub(crate) fn remove(netns: &str) -> Result<()> {
    if Path::new("/run/netns").join(netns).exists() {
        run(&format!("ip netns delete {netns}"))?;
    }
    Ok(())
}
