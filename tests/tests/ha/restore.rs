//! A cluster that is lost with all of its hosts, and restored from its backup on others.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::ensure;
use lab::backed_up::{BACKUP, assert_filled, assert_revisions_are_higher, fill, give_backup_key, write_passphrase};
use lab::connected::STICK;
use lab::document_of;
use lab::files::Snapshot;

use crate::site::{Member, Ran, Site, finish, stage_begins};
use crate::traffic::{assert_all_works, assert_etcd_healthy};

const LOST: usize = 4;
/// The stages at whose beginning the kinstall that leads is killed.
const KILLED_IN: [&str; 5] = ["bundle", "etcd", "first-control-plane", "control-planes", "workers"];

fn lost_members() -> Vec<Member> {
    vec![
        Member::new("cp1", 1, "control-plane, etcd"),
        Member::new("cp2", 2, "control-plane, etcd"),
        Member::new("cp3", 3, "control-plane, etcd, worker"),
        Member::new("w1", 4, "worker"),
    ]
}

/// Some are called as lost ones, and all have other addresses.
fn new_members() -> Vec<Member> {
    vec![
        Member::new("cp1", 5, "control-plane, etcd"),
        Member::new("new2", 6, "control-plane, etcd, worker"),
        Member::new("cp3", 7, "control-plane, etcd"),
        Member::new("w1", 8, "worker"),
    ]
}

fn restore(site: &Site, options: &[&str]) -> Command {
    let mut command = site.kinstall(&["restore", "plant.backup"]);
    command.arg(site.carried.file("bundle.tar.zst")).arg("--key").arg(site.carried.file("signing.pub"));
    command.arg("--backup-key").arg(site.carried.file("backup.pub")).args(["--passphrase-file", "passphrase"]);
    command.arg("--config").arg(site.config()).args(options);
    command
}

#[test]
#[ignore = "ten minutes, eight hosts: ./ci/test nightly"]
fn a_cluster_that_is_lost_with_all_hosts_is_restored_on_others() -> anyhow::Result<()> {
    let site = Site::boot_hosts("ha-restored", "bridge", 2 * LOST, lost_members())?;
    site.run(&[])?.succeeded()?;
    fill(&site.cluster("cp1"))?;
    let token = site.host("cp2").sh("kubeadm token create")?;
    back_up(&site)?;
    is_refused(finish(&mut restore(&site, &[]))?, "cp1, cp2, cp3, w1 are set up already")?;
    site.run(&["--assert-no-op"])?.succeeded()?;
    for host in &site.lab.hosts()[..LOST] {
        host.power_cut()?;
    }

    let site = site.with(new_members())?;
    let before = fresh(&site)?;
    let planned = finish(&mut restore(&site, &["--dry-run"]))?.succeeded()?;
    ensure!(planned.contains("restore the data of etcd from the backup"), "{planned}");
    assert_untouched(&site, &before)?;
    for stage in KILLED_IN {
        let command = restore(&site, &["--output", "json"]);
        let (ran, came) = site.watch(command, |event| stage_begins(event, stage), || site.kill_kinstall())?;
        ensure!(came && ran.code.is_none(), "it was not killed in `{stage}`: {ran:?}");
        if stage == "etcd" {
            site.run(&[])?.failed(1, &["cp1", "a restoration was begun", "kinstall restore"])?;
        }
    }
    let started = Instant::now();
    finish(&mut restore(&site, &[]))?.succeeded()?;
    eprintln!("the last call took {:?}", started.elapsed());
    is_whole(&site, &token)?;

    let again = finish(&mut restore(&site, &["--output", "json"]))?.succeeded()?;
    ensure!(!again.contains(r#""changed":true"#), "restoring once more changed something: {again}");
    site.run(&["--assert-no-op"])?.succeeded()?;
    site.down()
}

/// Backs up on the second control plane, and takes the backup to the management place.
fn back_up(site: &Site) -> anyhow::Result<()> {
    let host = site.host("cp2");
    give_backup_key(host, site.carried)?;
    let made = document_of("kinstall", "backup", &host.sh(&format!("cd {STICK} && {BACKUP} --output json"))?)?;
    ensure!(made["kubernetesVersion"] == site.carried.kubernetes && made["host"] == "cp2", "{made}");
    host.copy_out(&format!("{STICK}/plant.backup"), &in_folder(site, "plant.backup"))?;
    write_passphrase(&in_folder(site, "passphrase"))
}

fn in_folder(site: &Site, name: &str) -> PathBuf {
    site.folder().join(name)
}

fn is_refused(ran: Ran, why: &str) -> anyhow::Result<()> {
    ran.failed(3, &[why, "nothing was changed"]).map(drop)
}

fn fresh(site: &Site) -> anyhow::Result<Vec<Snapshot>> {
    site.lab.hosts()[LOST..].iter().map(|host| Snapshot::of(host)).collect()
}

fn assert_untouched(site: &Site, before: &[Snapshot]) -> anyhow::Result<()> {
    for (host, before) in site.lab.hosts()[LOST..].iter().zip(before) {
        before.assert_same(&Snapshot::of(host)?, &format!("after a dry run, on {}", host.name()));
    }
    Ok(())
}

/// All of the lost cluster is there, on the new hosts, and nothing that tells of the lost ones.
fn is_whole(site: &Site, token: &str) -> anyhow::Result<()> {
    let cluster = site.cluster("cp1");
    assert_all_works(site, &["cp1", "new2", "cp3"], LOST)?;
    let addresses = cluster.kubectl("get nodes -o wide")?;
    for host in &site.lab.hosts()[..LOST] {
        ensure!(!addresses.split_whitespace().any(|word| word == host.address()), "{addresses}");
    }
    let leases = cluster.kubectl("-n kube-node-lease get leases -o name")?;
    ensure!(leases.lines().count() == LOST && !leases.contains("cp2"), "{leases}");
    let tokens = site.host("cp1").sh("kubeadm token list")?;
    ensure!(!tokens.contains(token.split('.').next().unwrap_or(token)), "{tokens}");
    assert_filled(&cluster)?;
    assert_revisions_are_higher(&cluster)?;
    assert_etcd_healthy(site.host("cp3"), 3)?;
    for member in ["cp1", "new2", "cp3", "w1"] {
        site.host(member).sh(
            "kinstall status && test ! -e /var/lib/kinstall/restore/snapshot.db && test ! -e /var/lib/etcd/restored",
        )?;
    }
    Ok(())
}
