//! What cannot become a cluster is refused before anything is changed, and said in full.

use anyhow::ensure;
use lab::Host;
use lab::files::Snapshot;

use crate::site::{Member, Site};

fn two() -> Vec<Member> {
    vec![Member::new("cp1", 1, "control-plane, etcd"), Member::new("w1", 2, "worker")]
}

#[test]
fn hosts_that_cannot_be_a_cluster_are_refused_and_stay_as_they_were() -> anyhow::Result<()> {
    let mut site = Site::boot("ha-refusals", two())?;
    let before = site.snapshots()?;
    let refused = |site: &Site, words: &[&str]| -> anyhow::Result<String> {
        site.run(&[])?.failed(3, &[words, &["hint:"]].concat())
    };

    site = site.with(vec![two()[0].clone(), Member::new("cp1", 2, "worker")])?;
    let ran = site.run(&[])?;
    ensure!(ran.code.is_some_and(|code| [2, 3].contains(&code)) && ran.said.contains("cp1"), "{ran:?}");
    site = site.with(two())?;

    for trouble in [same_machine_id, another_architecture, a_port_taken, too_small_a_disk] {
        let (undo, words) = trouble(site.host("w1"))?;
        refused(&site, &[&["w1"], words].concat())?;
        site.host("w1").sh(undo)?;
    }
    site.assert_clean(&before, "after refusals")?;
    site.run(&[])?.succeeded()?;
    site.cluster("cp1").assert_nodes_ready(2)?;
    site.down()
}

/// What brings the host into order again, and words that have to be said.
type Trouble = (&'static str, &'static [&'static str]);

/// As after copying a disk.
fn same_machine_id(host: &Host) -> anyhow::Result<Trouble> {
    host.sh("cp -p /etc/machine-id /run/machine-id-kept")?;
    let first = host.root().parent().expect("the hosts' roots").join("host-1/etc/machine-id");
    fs_err::copy(first, host.root().join("etc/machine-id"))?;
    Ok(("cp -p /run/machine-id-kept /etc/machine-id", &["machine"]))
}

/// All hosts of this lab have this machine's processor; `uname` on this one says otherwise.
fn another_architecture(host: &Host) -> anyhow::Result<Trouble> {
    let script = r#"printf '#!/bin/sh\nexec /usr/bin/uname "$@" | sed s/x86_64/aarch64/g\n' > /usr/local/bin/uname; chmod 755 /usr/local/bin/uname"#;
    host.sh(script)?;
    Ok(("rm /usr/local/bin/uname", &["arm64"]))
}

fn a_port_taken(host: &Host) -> anyhow::Result<Trouble> {
    host.sh("systemd-run --quiet --unit=squatter socat TCP-LISTEN:10250,fork,reuseaddr /dev/null; sleep 0.5")?;
    Ok(("systemctl stop squatter", &["10250"]))
}

fn too_small_a_disk(host: &Host) -> anyhow::Result<Trouble> {
    host.sh("mkdir /var/lib/containerd && mount -t tmpfs -o size=64m tmpfs /var/lib/containerd")?;
    Ok(("umount /var/lib/containerd && rmdir /var/lib/containerd", &["/var/lib/containerd"]))
}

#[test]
fn snapshots_see_a_changed_host() -> anyhow::Result<()> {
    let site = Site::boot("ha-snapshot", vec![Member::new("cp1", 1, "control-plane, etcd, worker")])?;
    let before = Snapshot::of(site.host("cp1"))?;
    site.host("cp1").sh("touch /etc/new")?;
    ensure!(before != Snapshot::of(site.host("cp1"))?, "a new file was not seen");
    site.down()
}
