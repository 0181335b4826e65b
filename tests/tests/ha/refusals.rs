//! What cannot become a cluster is refused before anything is changed, and said in full.

use std::path::Path;

use anyhow::ensure;
use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use lab::Host;
use lab::cluster::eventually;

use crate::site::{Member, Site};
use crate::traffic::assert_all_works;

/// `ssh` on the management place, for one host with a clock that is ten minutes behind: all hosts of the lab share this machine's clock,
/// and the programs are static, so no library can tell them another time. What the host answers is real but for that number.
const SSH_TO_A_SLOW_CLOCK: &str = r#"#!/bin/bash
set -o pipefail
case " $* " in
    *" -- ADDRESS "*) /usr/bin/ssh "$@" | perl -pe 'BEGIN { $| = 1 } s/("clockMilliseconds":)(\d+)/$1 . ($2 - 600000)/e' ;;
    *) exec /usr/bin/ssh "$@" ;;
esac
"#;

/// The control plane's administrator is not root: `sudo` asks for a password.
fn three() -> Vec<Member> {
    vec![
        Member::new("cp1", 1, "control-plane, etcd").with("ssh: {user: admin, sudo: password}"),
        Member::new("w1", 2, "worker"),
        Member::new("w2", 3, "worker"),
    ]
}

fn add_administrator(host: &Host) -> anyhow::Result<()> {
    host.sh("useradd -m -s /bin/bash -G sudo admin && echo admin:right | chpasswd")?;
    host.sh("cp -r /root/.ssh /home/admin/ && chown -R admin:admin /home/admin/.ssh")?;
    // sudo itself notes its first success there.
    host.sh("touch /home/admin/.sudo_as_admin_successful")?;
    Ok(())
}

/// Refused, with these words, in a way that left nothing behind.
fn refused(site: &Site, words: &[&str]) -> anyhow::Result<()> {
    site.run(&[])?.failed(3, &[words, &["hint:"]].concat()).map(drop)
}

#[test]
fn hosts_that_cannot_be_a_cluster_are_refused_and_stay_as_they_were() -> anyhow::Result<()> {
    let mut site = Site::boot("ha-refusals", "flannel", three())?;
    add_administrator(site.host("cp1"))?;
    let before = site.snapshots()?;

    site = site.with(vec![three()[0].clone(), Member::new("cp1", 2, "worker")])?;
    let ran = site.run(&[])?;
    ensure!(ran.code.is_some_and(|code| [2, 3].contains(&code)) && ran.said.contains("cp1"), "{ran:?}");
    site = site.with(three())?;

    site.set_variable("KINSTALL_SUDO_PASSWORD", "wrong");
    refused(&site, &["cp1", "password"])?;
    site.set_variable("KINSTALL_SUDO_PASSWORD", "right");

    let troubles: [(Cause, &str); 5] = [
        (same_machine_id, "w1"),
        (same_host_name, "w1"),
        (another_architecture, "cp1"),
        (a_port_taken, "w1"),
        (too_small_a_disk, "w1"),
    ];
    for (trouble, member) in troubles {
        let (undo, words) = trouble(site.host(member))?;
        refused(&site, &[&[member], words].concat())?;
        site.host(member).sh(undo)?;
    }
    refuses_a_slow_clock(&mut site)?;

    site.assert_clean(&before, "after refusals")?;
    site.run(&[])?.succeeded()?;
    assert_all_works(&site, &["cp1"], 3)?;
    site.down()
}

/// What brings the host into order again, and words that have to be said.
type Trouble = (&'static str, &'static [&'static str]);

/// Brings a host into trouble.
type Cause = fn(&Host) -> anyhow::Result<Trouble>;

/// As after copying a disk.
fn same_machine_id(host: &Host) -> anyhow::Result<Trouble> {
    host.sh("cp -p /etc/machine-id /tmp/machine-id-kept")?;
    let first = host.root().parent().expect("the hosts' roots").join("host-1/etc/machine-id");
    fs::copy(first, host.root().join("etc/machine-id"))?;
    Ok(("cp -p /tmp/machine-id-kept /etc/machine-id", &["machine"]))
}

fn same_host_name(host: &Host) -> anyhow::Result<Trouble> {
    host.sh("hostname host-1")?;
    Ok(("hostname host-2", &["host-1"]))
}

/// All hosts of this lab have this machine's processor; `uname` on this one says otherwise.
fn another_architecture(host: &Host) -> anyhow::Result<Trouble> {
    host.sh(
        r#"printf '#!/bin/sh\nexec /usr/bin/uname "$@" | sed s/x86_64/aarch64/g\n' > /usr/local/bin/uname; chmod 755 /usr/local/bin/uname"#,
    )?;
    Ok(("rm /usr/local/bin/uname", &["aarch64"]))
}

fn a_port_taken(host: &Host) -> anyhow::Result<Trouble> {
    host.sh("systemd-run --quiet --unit=squatter socat TCP-LISTEN:10250,fork,reuseaddr /dev/null")?;
    eventually("the port to be taken", || host.sh("ss -ltn | grep -q :10250"))?;
    Ok(("systemctl stop squatter", &["10250"]))
}

fn too_small_a_disk(host: &Host) -> anyhow::Result<Trouble> {
    host.sh("mkdir /var/lib/containerd && mount -t tmpfs -o size=64m tmpfs /var/lib/containerd")?;
    Ok(("umount /var/lib/containerd && rmdir /var/lib/containerd", &["/var/lib/containerd"]))
}

fn refuses_a_slow_clock(site: &mut Site) -> anyhow::Result<()> {
    let programs = site.folder().join("bin");
    write_program(&programs.join("ssh"), &SSH_TO_A_SLOW_CLOCK.replace("ADDRESS", &site.host("w1").address()))?;
    let path = std::env::var("PATH")?;
    site.set_variable("PATH", &format!("{}:{path}", programs.display()));
    refused(site, &["w1", "clock"])?;
    site.set_variable("PATH", &path);
    Ok(())
}

fn write_program(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::create_dir_all(path.parent().expect("a folder"))?;
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o755).open(path)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(())
}
