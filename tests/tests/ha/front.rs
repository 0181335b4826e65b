//! What is in front of the API servers, other than a load balancer on every worker: one of the site's own, and an address that moves
//! between the control planes.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fs_err as fs;
use lab::Host;
use lab::cluster::eventually;
use lab::connected::{NEWEST, STICK, carried, copy_in};

use crate::site::{Member, Site};
use crate::streams::{Stream, end_writes, now};

const CONTROL_PLANES: [&str; 3] = ["host-1", "host-2", "host-3"];
/// How long the address may be silent when its holder's plug is pulled; the lease ends after 5 s.
const MOVES_WITHIN: Duration = Duration::from_secs(15);

/// Named as they call themselves: the kube-vip that the mirror has speaks to its own host's API server by that name.
fn three() -> Vec<Member> {
    (1..=3).zip(CONTROL_PLANES).map(|(host, name)| Member::new(name, host, "control-plane, etcd, worker")).collect()
}

#[test]
#[ignore = "three minutes: ./ci/test nightly"]
fn a_load_balancer_of_the_sites_own_reaches_every_api_server_or_the_one_it_lacks_is_named() -> anyhow::Result<()> {
    let mut members = three();
    members.push(Member::new("host-4", 4, "worker"));
    let mut site = Site::boot_hosts("ha-external", "bridge", 5, members)?;
    let address = site.lab.hosts()[4].address();
    site.set_api(format!("{{load-balancer: external, address: {address}}}"))?;
    let balancer = &site.lab.hosts()[4];
    install_haproxy(balancer)?;

    let printed = site.command(&["config", "load-balancer"])?.succeeded()?;
    let lacking: Vec<_> = printed.lines().filter(|line| !line.contains("server host-3 ")).collect();
    ensure!(lacking.len() + 1 == printed.lines().count(), "{printed}");
    balance_by(balancer, &lacking.join("\n"))?;
    let words = ["host-3 failed in stage `load balancer`", "kinstall config load-balancer"];
    let said = site.run(&[])?.failed(1, &words)?;
    ensure!(said.contains("1 of 4 hosts failed: host-3; the others are done"), "{said}");
    site.cluster("host-1").assert_nodes_ready(4)?;

    balance_by(balancer, &printed)?;
    site.run(&["--assert-no-op"])?.succeeded()?;
    // The worker's way to the API is the load balancer, and no API server's own address.
    let connections =
        site.host("host-4").sh("ss -Htn state established 'dport = :6443' | awk '{print $4}' | sort | uniq -c")?;
    ensure!(connections.contains(&format!("{address}:6443")), "{connections}");
    site.down()
}

/// Debian's own, as an administrator installs it.
fn install_haproxy(host: &Host) -> anyhow::Result<()> {
    let folder = carried(NEWEST, "bridge").file("haproxy");
    fs::create_dir_all(&folder)?;
    let apt = Command::new("apt-get")
        .args(["download", "haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"])
        .current_dir(&folder)
        .status()?;
    ensure!(apt.success(), "apt-get does not give HAProxy");
    host.sh(&format!("mkdir -p {STICK}"))?;
    copy_in(host, &folder, "haproxy")?;
    host.sh(&format!("dpkg -i {STICK}/haproxy/*.deb && systemctl stop haproxy")).map(drop)
}

fn balance_by(host: &Host, configuration: &str) -> anyhow::Result<()> {
    host.sh(&format!(
        "cat > /etc/haproxy/haproxy.cfg <<'END'\n{configuration}\nEND\n\
         haproxy -c -f /etc/haproxy/haproxy.cfg && systemctl restart haproxy"
    ))
    .map(drop)
}

#[test]
#[ignore = "three minutes: ./ci/test nightly"]
fn an_address_that_moves_is_taken_over_when_its_holders_plug_is_pulled() -> anyhow::Result<()> {
    let bundle = carried(NEWEST, "bridge").build_with_kube_vip()?;
    let mut site = Site::boot("ha-vip", "bridge", three())?;
    site.set_bundle(bundle);
    let before = site.snapshots()?;
    // The switch's own, and one of a network that no host is in.
    for (address, check) in [("10.77.0.1", "free-address"), ("198.51.100.1", "virtual-address")] {
        site.set_api(format!("{{load-balancer: vip, address: {address}}}"))?;
        site.run(&[])?.failed(3, &[check, address])?;
    }
    let address = "10.77.0.100";
    site.set_api(format!("{{load-balancer: vip, address: {address}}}"))?;
    site.run(&[])?.succeeded()?;
    site.cluster("host-1").assert_nodes_ready(3)?;
    site.run(&["--assert-no-op"])?.succeeded()?;

    let holder = holder_of(&site, address)?;
    let watcher = CONTROL_PLANES.into_iter().find(|name| *name != holder).context("another host")?;
    let writes = Stream::of_writes_to(&site.cluster(watcher), site.host(watcher), address)?;
    let start = now()?;
    // The lab's kernel would answer for a host that is off.
    site.host(holder).unplug()?;
    site.host(holder).power_cut()?;
    std::thread::sleep(Duration::from_secs(30));
    let silence = writes.longest_silence(start)?;
    eprintln!(
        "measured: writes to the virtual IP fail for at most {:.1} s after its holder's plug is pulled",
        silence.as_secs_f64()
    );
    ensure!(silence <= MOVES_WITHIN, "the address was silent for {silence:?}");
    end_writes(site.host(watcher))?;
    site.host(holder).plug()?;
    site.host(holder).boot()?;
    // A machine that was off has lost it; the lab keeps the network of a host for as long as the host is there.
    site.host(holder).sh(&format!("ip address delete {address}/32 dev eth0 || true"))?;
    // The kubelet starts every pod again: until all are ready, a run waits for them, and that is something to do.
    eventually("nothing to be done", || site.run(&["--assert-no-op"])?.succeeded())?;

    // A kube-vip that is killed leaves the address where it is.
    site.host(holder_of(&site, address)?).sh("systemctl stop kubelet; pkill -KILL -x kube-vip")?;
    site.command(&["reset", "--all", "--yes"])?.succeeded()?;
    ensure!(holders(&site, address)?.is_empty(), "a host that was reset has {address}");
    site.assert_clean(&before, "after `reset --all`")?;
    site.down()
}

/// The one host that has the address.
fn holder_of(site: &Site, address: &str) -> anyhow::Result<&'static str> {
    let holders = holders(site, address)?;
    let [holder] = holders.as_slice() else { anyhow::bail!("{address} is held by {holders:?}") };
    Ok(holder)
}

fn holders(site: &Site, address: &str) -> anyhow::Result<Vec<&'static str>> {
    let mut holders = Vec::new();
    for name in CONTROL_PLANES {
        if site.host(name).sh("ip -oneline address show dev eth0")?.contains(&format!(" {address}/32 ")) {
            holders.push(name);
        }
    }
    Ok(holders)
}
