//! Hosts that are unlike each other: what a kubelet has from its host is that host's, whichever leads.

use anyhow::ensure;
use lab::Host;

use crate::site::{Member, Site};
use crate::traffic::assert_all_works;

/// Where systemd-resolved keeps the servers that it asks itself, beside its stub in /etc/resolv.conf.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
/// A name server that nobody has: an address for documentation (RFC 5737).
const SERVER: &str = "192.0.2.53";

/// As Ubuntu has it: a stub on a loopback address, which no pod reaches.
fn has_a_stub(host: &Host) -> anyhow::Result<()> {
    let script = format!(
        "mkdir -p $(dirname {RESOLVED}) && echo nameserver {SERVER} > {RESOLVED} && echo nameserver 127.0.0.53 > /etc/resolv.conf"
    );
    host.sh(&script).map(drop)
}

/// As RHEL and Debian have it.
fn has_a_plain_file(host: &Host) -> anyhow::Result<()> {
    host.sh(&format!("echo nameserver {SERVER} > /etc/resolv.conf")).map(drop)
}

fn assert_kubelet_reads(host: &Host, wanted: &str) -> anyhow::Result<()> {
    let line = host.sh("grep ^resolvConf: /var/lib/kubelet/config.yaml")?;
    ensure!(line == format!("resolvConf: {wanted}"), "{}: {line}", host.name());
    host.sh(&format!("test -e {wanted} && ! grep -q 127. {wanted}")).map(drop)
}

#[test]
#[ignore = "five minutes: ./ci/test nightly"]
fn each_kubelet_reads_the_name_servers_of_its_own_host() -> anyhow::Result<()> {
    let members = vec![Member::new("cp1", 1, "control-plane, etcd"), Member::new("w1", 2, "worker")];
    for (stub, plain) in [("cp1", "w1"), ("w1", "cp1")] {
        let site = Site::boot("ha-unlike", "bridge", members.clone())?;
        has_a_stub(site.host(stub))?;
        has_a_plain_file(site.host(plain))?;
        site.run(&[])?.succeeded()?;
        assert_kubelet_reads(site.host(stub), RESOLVED)?;
        assert_kubelet_reads(site.host(plain), "/etc/resolv.conf")?;
        assert_all_works(&site, &["cp1"], 2)?;
        site.run(&["--assert-no-op"])?.succeeded()?;
        site.down()?;
    }
    Ok(())
}
