//! The main way: install, use, install again, reboot, reset.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use fs_err as fs;
use lab::{Host, Lab};

use lab::cluster::{Cluster, assert_a_second_run_changes_nothing, install};
use lab::connected::{Carried, NEWEST, OLDEST, STICK, carried, copy_in, kbundle};
use lab::files::Snapshot;

use super::{certificates, support};

#[test]
fn the_oldest_release_serves_survives_a_reboot_and_is_removed_without_a_trace() -> anyhow::Result<()> {
    serves_survives_a_reboot_and_is_removed_without_a_trace("one-oldest", carried(OLDEST, "calico"))
}

#[test]
fn the_newest_release_serves_survives_a_reboot_and_is_removed_without_a_trace() -> anyhow::Result<()> {
    serves_survives_a_reboot_and_is_removed_without_a_trace("one-newest", carried(NEWEST, "bridge"))
}

pub fn serves_survives_a_reboot_and_is_removed_without_a_trace(lab: &str, carried: &Carried) -> anyhow::Result<()> {
    let lab = Lab::boot(lab, 1)?;
    let host = &lab.hosts()[0];
    carried.carry_into(host)?;
    let before = Snapshot::of(host)?;

    let planned = host.sh(&format!("cd {STICK} && ./kinstall run bundle.tar.zst --key signing.pub --dry-run"))?;
    assert!(planned.contains("containerd"), "{planned}");
    before.assert_same(&Snapshot::of(host)?, "after a dry run");

    install(host)?;
    let cluster = Cluster::new(host);
    cluster.assert_nodes_ready(1)?;
    cluster.assert_kubelets_are(&carried.kubernetes)?;
    cluster.deploy_web()?;
    cluster.assert_web_answers()?;
    cluster.assert_names_resolve()?;
    cluster.assert_logs_and_exec()?;
    cluster.assert_secrets_are_encrypted()?;
    cluster.assert_nothing_was_pulled()?;
    let status = host.sh("kinstall status --output json")?;
    let status = lab::document_of("kinstall", "status", &status)?;
    ensure!(status["healthy"] == true, "{status}");

    assert_a_second_run_changes_nothing(host)?;
    certificates::are_listed_extended_and_renewed(host)?;
    support::tells_what_helps_and_nothing_secret(host)?;

    host.reboot()?;
    cluster.assert_nodes_ready(1)?;
    cluster.assert_web_answers()?;
    cluster.assert_names_resolve()?;
    cluster.assert_nothing_was_pulled()?;

    cluster.assert_a_removed_image_comes_back()?;
    cluster.assert_images_answer_to_every_name()?;
    cluster.assert_unpacked_images_are_whole()?;
    assert_ctr_takes_exported_images(host, carried)?;

    host.sh(&format!("{STICK}/kinstall reset --yes"))?;
    before.assert_same(&Snapshot::of(host)?, "after a reset");
    lab.down()
}

/// containerd imports what `kbundle export` wrote, under the names and digests of upstream.
fn assert_ctr_takes_exported_images(host: &Host, carried: &Carried) -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let (layout, archive) = (place.path().join("layout"), place.path().join("layout.tar"));
    let text = |path: &Path| path.display().to_string();
    let key = format!("--key={}", text(&carried.file("signing.pub")));
    kbundle(&["export", &text(&carried.file("bundle.tar.zst")), "--oci", &text(&layout), &key])?;
    let packed = Command::new("tar").args(["-C", &text(&layout), "-cf", &text(&archive), "."]).status()?;
    ensure!(packed.success(), "tar could not pack the layout");
    copy_in(host, &archive, "layout.tar")?;
    host.sh(&format!("ctr -n exported images import {STICK}/layout.tar && rm {STICK}/layout.tar"))?;

    let listed = host.sh("ctr -n exported images ls")?;
    let index: serde_json::Value = serde_json::from_slice(&fs::read(layout.join("index.json"))?)?;
    let manifests = index["manifests"].as_array().context("the layout has no index")?;
    ensure!(!manifests.is_empty());
    for manifest in manifests {
        let name = manifest["annotations"]["io.containerd.image.name"].as_str().context("an image without a name")?;
        let digest = manifest["digest"].as_str().context("an image without a digest")?;
        let line = listed.lines().find(|line| line.split_whitespace().next() == Some(name));
        ensure!(line.is_some_and(|line| line.contains(digest)), "{name} is not there as {digest}:\n{listed}");
    }
    Ok(())
}
