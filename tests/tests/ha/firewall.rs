//! Hosts that drop what nobody asked for: kinstall opens what the roles need, a cluster works behind it, and a reset closes it again.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use fs_err as fs;
use lab::Host;

use crate::site::{Member, Site};
use crate::traffic::assert_all_works;

/// As Debian's nftables.service loads it on a hardened host.
const NFTABLES: &str = "\
#!/usr/sbin/nft -f
flush ruleset
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname lo accept
    tcp dport 22 accept
  }
  chain forward { type filter hook forward priority filter; policy drop; }
  chain output { type filter hook output priority filter; policy accept; }
}
";
/// What the loopback interface and replies need is left out: whoever closes a host often forgets it.
const IPTABLES: &str =
    "iptables -A INPUT -p tcp --dport 22 -j ACCEPT && iptables -P INPUT DROP && iptables -P FORWARD DROP";

fn two() -> Vec<Member> {
    vec![Member::new("cp1", 1, "control-plane, etcd"), Member::new("w1", 2, "worker")]
}

/// All rules, without what counts packets, and without the tables of iptables that are there once they were looked at.
fn rules(host: &Host) -> anyhow::Result<String> {
    host.sh("iptables-save -t filter | grep -v '^#' | sed 's/ \\[.*//'; nft list table inet filter 2>/dev/null || true")
}

/// Refused without consent, with it a cluster that works and changes nothing the second time.
fn works_with_consent(site: &Site) -> anyhow::Result<()> {
    site.run(&[])?.failed(3, &["firewall", "--prepare"])?;
    site.run(&["--prepare"])?.succeeded()?;
    assert_all_works(site, &["cp1"], 2)?;
    site.run(&["--prepare", "--assert-no-op"])?.succeeded().map(drop)
}

#[test]
#[ignore = "five minutes: ./ci/test nightly"]
fn plain_rules_are_opened_for_the_roles_and_closed_again() -> anyhow::Result<()> {
    let site = Site::boot("ha-closed", "bridge", two())?;
    let (cp1, w1) = (site.host("cp1"), site.host("w1"));
    cp1.sh(&format!("printf '%s' '{NFTABLES}' > /etc/nftables.conf && systemctl enable --now nftables"))?;
    w1.sh(IPTABLES)?;
    let (before, closed) = (site.snapshots()?, (rules(cp1)?, rules(w1)?));

    works_with_consent(&site)?;
    let open = rules(cp1)?;
    ensure!(open.contains("tcp dport 6443 accept") && !open.contains("dport 10257"), "{open}");
    cp1.reboot()?;
    site.cluster("cp1").assert_nodes_ready(2)?;
    assert_all_works(&site, &["cp1"], 2)?;

    site.command(&["reset", "--all", "--yes"])?.succeeded()?;
    assert_eq!((rules(cp1)?, rules(w1)?), closed);
    site.assert_clean(&before, "after `reset --all`")?;
    site.down()
}

#[test]
#[ignore = "five minutes, and Debian's packages of firewalld: ./ci/test nightly"]
fn firewalld_is_opened_for_the_roles_and_closed_again() -> anyhow::Result<()> {
    let site = Site::boot("ha-firewalld", "flannel", two())?;
    let files = |host: &Host| host.sh("cd /etc/firewalld && find . -type f | sort | xargs sha256sum");
    let policies = |host: &Host| host.sh("firewall-cmd --list-all-policies; firewall-cmd --list-all-zones");
    for name in ["cp1", "w1"] {
        install_firewalld(site.host(name), site.folder())?;
    }
    let state = || {
        let of = |name: &str| Ok::<_, anyhow::Error>((files(site.host(name))?, policies(site.host(name))?));
        Ok::<_, anyhow::Error>((of("cp1")?, of("w1")?))
    };
    let before = state()?;
    works_with_consent(&site)?;
    ensure!(site.host("w1").sh("firewall-cmd --get-policies")?.contains("kinstall-input"));
    site.command(&["reset", "--all", "--yes"])?.succeeded()?;
    assert_eq!(state()?, before);
    site.down()
}

/// Installs firewalld on a host, from packages that this machine fetches: the host reaches nothing.
fn install_firewalld(host: &Host, folder: &Path) -> anyhow::Result<()> {
    let (archives, packages) = (folder.join("archives"), folder.join("firewalld.tar"));
    fs::create_dir_all(archives.join("partial"))?;
    let fetched = Command::new("apt-get")
        .args(["install", "--yes", "--quiet", "--download-only", "--no-install-recommends"])
        .arg("-o")
        .arg(format!("Dir::State::status={}", host.root().join("var/lib/dpkg/status").display()))
        .arg("-o")
        .arg(format!("Dir::Cache::archives={}", archives.display()))
        .arg("firewalld")
        .status()
        .context("cannot run apt-get")?;
    ensure!(fetched.success(), "the packages of firewalld could not be fetched");
    let packed = Command::new("tar").arg("-cf").arg(&packages).arg("-C").arg(&archives).arg(".").status()?;
    ensure!(packed.success(), "the packages of firewalld could not be packed");
    host.copy_in(&packages, "/root/firewalld.tar")?;
    // Several passes: python3 is unpacked only after python3-minimal is configured, and that only after python3.11-minimal; dpkg does
    // not sort its arguments by that.
    host.sh(
        "mkdir /root/debs && tar -xf /root/firewalld.tar -C /root/debs && for pass in 1 2 3; do ! dpkg -i /root/debs/*.deb >&2 || break; done && rm -r /root/debs /root/firewalld.tar \
         && systemctl enable --now firewalld && firewall-cmd --state",
    )?;
    Ok(())
}
