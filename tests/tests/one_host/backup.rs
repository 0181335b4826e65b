//! A cluster that is lost with its host, and restored from a backup on another with another name and address.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::ensure;
use fs_err as fs;
use lab::backed_up::{BACKUP, assert_filled, assert_revisions_are_higher, fill, give_backup_key, write_passphrase};
use lab::cluster::{Cluster, assert_a_second_run_changes_nothing, install};
use lab::connected::{Carried, NEWEST, STICK, carried, copy_in};
use lab::files::Snapshot;
use lab::{Host, Lab, document_of};

const RESTORE: &str = "./kinstall restore plant.backup bundle.tar.zst --key signing.pub --backup-key backup.pub --passphrase-file passphrase";

#[test]
#[ignore = "six minutes: ./ci/test nightly"]
fn a_cluster_that_is_lost_with_its_host_is_restored_on_another() -> anyhow::Result<()> {
    let lab = Lab::boot("one-restored", 2)?;
    let [lost, new] = lab.hosts() else { unreachable!("two hosts were booted") };
    let carried = carried(NEWEST, "bridge");
    let token = cluster_with_a_backup(lost, carried)?;
    are_made_by_a_timer(lost)?;
    move_to(lost, new, carried)?;

    let before = Snapshot::of(new)?;
    bad_backups_are_refused(new)?;
    before.assert_same(&Snapshot::of(new)?, "after bad backups were refused");
    let planned = new.sh(&format!("cd {STICK} && {RESTORE} --dry-run"))?;
    ensure!(planned.contains("restore the data of etcd from the backup"), "{planned}");
    before.assert_same(&Snapshot::of(new)?, "after a dry run");

    new.sh(&format!("cd {STICK} && {RESTORE}"))?;
    is_whole(new, lost.name(), &token)?;
    let again = new.sh(&format!("cd {STICK} && {RESTORE} --output json"))?;
    ensure!(!again.contains(r#""changed":true"#), "restoring once more changed something: {again}");
    assert_a_second_run_changes_nothing(new)?;
    lab.down()
}

#[test]
#[ignore = "eight minutes: ./ci/test nightly"]
fn a_restoration_killed_after_each_step_in_turn_is_completed_by_the_next() -> anyhow::Result<()> {
    let lab = Lab::boot("one-half-restored", 2)?;
    let [lost, new] = lab.hosts() else { unreachable!("two hosts were booted") };
    let carried = carried(NEWEST, "bridge");
    let token = cluster_with_a_backup(lost, carried)?;
    move_to(lost, new, carried)?;
    let mut killed_after = BTreeSet::new();
    while let Some(step) = restore_until_after_a_step_not_in(new, &killed_after)? {
        if step == "restored-data" {
            let run =
                new.exec(&["sh", "-c", &format!("cd {STICK} && ./kinstall run bundle.tar.zst --key signing.pub")])?;
            ensure!(run.status.code() == Some(3) && run.stderr.contains("a restoration was begun"), "{}", run.stderr);
        }
        killed_after.insert(step);
        ensure!(killed_after.len() < 100, "the steps do not come to an end: {killed_after:?}");
    }
    ensure!(killed_after.contains("restored-objects"), "{killed_after:?}");
    is_whole(new, lost.name(), &token)?;
    lab.down()
}

/// Sets up a cluster with something in it, and backs it up. Returns the id of a token to join with.
fn cluster_with_a_backup(host: &Host, carried: &Carried) -> anyhow::Result<String> {
    carried.carry_into(host)?;
    give_backup_key(host, carried)?;
    install(host)?;
    fill(&Cluster::new(host))?;
    let token = host.sh("kubeadm token create")?;

    let made = document_of("kinstall", "backup", &host.sh(&format!("cd {STICK} && ./{BACKUP} --output json"))?)?;
    ensure!(made["kubernetesVersion"] == carried.kubernetes && made["host"] == host.name(), "{made}");
    ensure!(host.sh(&format!("stat -c %a {STICK}/plant.backup"))? == "600");
    host.sh("test ! -e /var/lib/kinstall/etcd/backup.db")?;
    let plain =
        host.exec(&["grep", "-c", "-a", "-e", "PRIVATE KEY", "-e", "ConfigMap", &format!("{STICK}/plant.backup")])?;
    ensure!(plain.status.code() == Some(1), "a part of the backup is not encrypted");
    let again = host.exec(&["sh", "-c", &format!("cd {STICK} && ./{BACKUP}")])?;
    ensure!(again.status.code() == Some(3) && again.stderr.contains("is not replaced"), "{}", again.stderr);
    host.sh(&format!("cd {STICK} && ./{BACKUP} --force"))?;
    assert_a_second_run_changes_nothing(host)?;
    Ok(token.split('.').next().unwrap_or_default().to_owned())
}

/// A timer writes backups and deletes the oldest; a failure is seen in the status.
fn are_made_by_a_timer(host: &Host) -> anyhow::Result<()> {
    let schedule = |options: &str| {
        let line =
            format!("kinstall backup schedule --every 6h {options} --passphrase-file passphrase --sign-key backup.key");
        host.sh(&format!("mkdir -p /root/backups && cd {STICK} && {line} --output json"))
    };
    let scheduled = document_of("kinstall", "backup schedule", &schedule("--to /root/backups --keep 2")?)?;
    ensure!(scheduled["everySeconds"] == 21600, "{scheduled}");
    host.sh("systemctl is-active kinstall-backup.timer")?;
    for _ in 0..3 {
        // Names have a second in them.
        host.sh("sleep 1.1 && systemctl start kinstall-backup.service")?;
    }
    let kept = host.sh("ls /root/backups")?;
    ensure!(kept.lines().count() == 2 && kept.lines().all(|name| name.starts_with("kubernetes-20")), "{kept}");
    let status = || document_of("kinstall", "status", &host.exec(&["kinstall", "status", "--output", "json"])?.stdout);
    let well = status()?;
    ensure!(well["healthy"] == true && well["backups"]["failed"] == false, "{well}");
    ensure!(
        well["backups"]["last"]["file"]
            .as_str()
            .is_some_and(|file| file.ends_with(kept.lines().next_back().unwrap_or("-"))),
        "{well}"
    );
    host.sh(&format!("mv {STICK}/passphrase {STICK}/gone; ! systemctl start kinstall-backup.service; mv {STICK}/gone {STICK}/passphrase"))?;
    let ill = status()?;
    ensure!(ill["healthy"] == false && ill["backups"]["failed"] == true, "{ill}");
    ensure!(host.sh("ls /root/backups")? == kept, "a backup that failed deleted another");
    let stopped = document_of("kinstall", "backup unschedule", &host.sh("kinstall backup unschedule --output json")?)?;
    ensure!(stopped["stopped"] == true, "{stopped}");
    ensure!(status()?["healthy"] == true);
    host.sh("rm -r /root/backups").map(drop)
}

/// Carries the backup to a new host. The old one is gone.
fn move_to(lost: &Host, new: &Host, carried: &Carried) -> anyhow::Result<()> {
    let (local, folder) = (carried.file("plant.backup"), tempfile::tempdir()?);
    lost.copy_out(&format!("{STICK}/plant.backup"), &local)?;
    lost.power_cut()?;
    carried.carry_into(new)?;
    copy_in(new, &local, "plant.backup")?;
    fs::remove_file(local)?;
    copy_in(new, &carried.file("backup.pub"), "backup.pub")?;
    copy_in(new, &carried.file("stranger.pub"), "stranger.pub")?;
    let passphrase = folder.path().join("passphrase");
    write_passphrase(&passphrase)?;
    copy_in(new, &passphrase, "passphrase")
}

fn bad_backups_are_refused(host: &Host) -> anyhow::Result<()> {
    host.sh(&format!(
        "cd {STICK} && cp plant.backup flipped.backup && size=$(stat -c %s plant.backup) && \
         byte=$(od -An -tu1 -j $((size / 2)) -N1 plant.backup) && \
         printf \"\\\\$(printf %o $((byte ^ 1)))\" | dd of=flipped.backup bs=1 seek=$((size / 2)) conv=notrunc status=none && \
         ! cmp -s plant.backup flipped.backup && \
         head -c $((size - 1000)) plant.backup > cut.backup && echo 'another one of the lab' > other"
    ))?;
    for (change, to, why) in [
        ("plant.backup", "flipped.backup", "a part of it was changed"),
        ("plant.backup", "cut.backup", "is damaged or not complete"),
        ("--backup-key backup.pub", "--backup-key stranger.pub", "it is of another cluster, or forged"),
        ("--passphrase-file passphrase", "--passphrase-file other", "the passphrase does not open it"),
        ("plant.backup", "bundle.tar.zst", "it does not begin as an age file"),
    ] {
        let output = host.exec(&["sh", "-c", &format!("cd {STICK} && {}", RESTORE.replacen(change, to, 1))])?;
        ensure!(
            output.status.code() == Some(3)
                && output.stderr.contains(why)
                && output.stderr.contains("nothing was changed"),
            "{to}: {}",
            output.stderr
        );
    }
    host.sh(&format!("rm {STICK}/flipped.backup {STICK}/cut.backup {STICK}/other"))?;
    Ok(())
}

/// Restores until a step is done that is not in `seen`, and kills the program then. `None` when it ended by itself.
fn restore_until_after_a_step_not_in(host: &Host, seen: &BTreeSet<String>) -> anyhow::Result<Option<String>> {
    let script = format!("cd {STICK} && echo $$ > /tmp/kinstall-under-test && exec {RESTORE} --output json");
    let mut child = host.ssh().arg(script).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut last = String::new();
    let Some(events) = child.stdout.take() else { unreachable!("it is piped") };
    for line in BufReader::new(events).lines() {
        last = line?;
        let event = document_of("kinstall", "restore", &last)?;
        let Some(step) = event["step"].as_str().filter(|_| event["event"] == "step-done") else { continue };
        // After its last step a program may be gone before the signal comes; it has then ended by itself.
        if !seen.contains(step) && host.exec(&["sh", "-c", "kill -9 $(cat /tmp/kinstall-under-test)"])?.status.success()
        {
            child.wait()?;
            return Ok(Some(step.to_owned()));
        }
    }
    ensure!(child.wait()?.success(), "the restoration ended with an error: {last}");
    Ok(None)
}

/// Everything of the lost host's cluster is there, and nothing that tells of the host.
fn is_whole(host: &Host, lost: &str, token: &str) -> anyhow::Result<()> {
    let cluster = Cluster::new(host);
    cluster.assert_nodes_ready(1)?;
    let nodes = cluster.nodes()?;
    ensure!(nodes.keys().collect::<Vec<_>>() == [host.name()], "{nodes:?}");
    let leases = cluster.kubectl("-n kube-node-lease get leases -o name")?;
    ensure!(!leases.contains(lost), "{leases}");
    let tokens = host.sh("kubeadm token list")?;
    ensure!(!token.is_empty() && !tokens.contains(token), "{tokens}");
    assert_filled(&cluster)?;
    assert_revisions_are_higher(&cluster)?;
    let status = document_of("kinstall", "status", &host.sh("kinstall status --output json")?)?;
    ensure!(status["healthy"] == true, "{status}");
    host.sh("test ! -e /var/lib/kinstall/restore/snapshot.db && test ! -e /var/lib/etcd/restored").map(drop)
}
