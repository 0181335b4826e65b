//! Hosts that drop unrequested packets: kinstall opens what the roles need, a cluster works behind it, and a reset closes it again.

use anyhow::ensure;
use lab::Host;

use crate::packages::install;
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
        install(&site, name, "firewalld")?;
        site.host(name).sh("systemctl enable --now firewalld && firewall-cmd --state")?;
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

/// What ufw adds for kinstall: etcd of one member and kube-proxy of a bridge have no clients on other hosts.
const UFW_OF_CONTROL_PLANE: &str = "\
allow 22/tcp
allow 6443/tcp comment 'kinstall'
allow from 10.244.0.0/16 to any port 10250 proto tcp comment 'kinstall'
route allow from 10.244.0.0/16 comment 'kinstall'
route allow to 10.244.0.0/16 comment 'kinstall'";
const UFW_OF_WORKER: &str = "\
allow 22/tcp
allow from 10.244.0.0/16 to any port 10250 proto tcp comment 'kinstall'
allow from 10.77.0.11 to any port 10250 proto tcp comment 'kinstall'
route allow from 10.244.0.0/16 comment 'kinstall'
route allow to 10.244.0.0/16 comment 'kinstall'";

#[test]
#[ignore = "five minutes, and Debian's packages of ufw: ./ci/test nightly"]
fn ufw_is_opened_for_the_roles_and_closed_again() -> anyhow::Result<()> {
    let site = Site::boot("ha-ufw", "bridge", two())?;
    for name in ["cp1", "w1"] {
        install(&site, name, "ufw")?;
        site.host(name).sh("ufw allow 22/tcp && ufw --force enable && systemctl enable --now ufw")?;
    }
    let state = |name: &str| {
        let host = site.host(name);
        let status = host.sh("ufw status verbose")?;
        ensure!(status.contains("Status: active") && status.contains("deny (incoming)"), "{status}");
        Ok((status, host.sh("cat /etc/ufw/*.rules /etc/ufw/ufw.conf /etc/default/ufw")?, rules(host)?))
    };
    let before = (state("cp1")?, state("w1")?);
    works_with_consent(&site)?;
    for (name, wanted) in [("cp1", UFW_OF_CONTROL_PLANE), ("w1", UFW_OF_WORKER)] {
        let added = site.host(name).sh("ufw show added | sed -n 's/^ufw //p' | LC_ALL=C sort")?;
        ensure!(added == wanted, "{name} has the rules\n{added}\nand not\n{wanted}");
    }
    // Pods have other addresses after a restart of their host; those that the last look found would be asked for.
    site.cluster("cp1").kubectl("delete daemonset everywhere")?;
    site.host("w1").reboot()?;
    assert_all_works(&site, &["cp1"], 2)?;
    site.command(&["reset", "--all", "--yes"])?.succeeded()?;
    assert_eq!((state("cp1")?, state("w1")?), before);
    site.down()
}
