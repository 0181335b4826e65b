//! A cluster that loses most of its members of etcd goes on from the one that is left. Of the lost ones, one comes back with its old data,
//! and one is replaced by another host.

use std::process::Command;
use std::time::Instant;

use anyhow::ensure;
use lab::backed_up::{assert_filled, assert_revisions_are_higher, fill};
use lab::document_of;
use serde_json::Value;

use crate::site::{Member, Ran, Site, finish};
use crate::traffic::{assert_all_works, assert_etcd_healthy};

/// The acts of the survivor, in each of which both the kinstall that leads and the one on the host are killed.
const KILLED_IN: [&str; 4] = ["stop", "etcd-save", "etcd-restore", "start"];
const NODES: usize = 4;
/// Where a member's former data are.
const ASIDE: &str = "/var/lib/etcd/before-recovery-*/snap/db";
/// A write that a majority has acknowledged.
const LAST: &str = "create configmap last --from-literal=written=before";

fn members() -> Vec<Member> {
    vec![
        Member::new("cp1", 1, "control-plane, etcd"),
        Member::new("cp2", 2, "control-plane, etcd"),
        Member::new("cp3", 3, "control-plane, etcd"),
        Member::new("w1", 4, "worker"),
    ]
}

/// A new host takes the place of the third control plane.
fn members_afterwards() -> Vec<Member> {
    let mut members = members();
    members[2] = Member::new("new3", 5, "control-plane, etcd");
    members
}

fn recover(site: &Site, options: &[&str]) -> Command {
    let mut command = site.kinstall(&["recover", "--yes"]);
    command.arg("--config").arg(site.config()).args(options);
    command
}

fn refused(ran: Ran, words: &[&str]) -> anyhow::Result<()> {
    ran.failed(3, &[words, &["nothing was changed"]].concat()).map(drop)
}

/// Kills every kinstall at the moment when a host begins an act, and demands that it came to that.
fn is_killed_in(site: &Site, options: &[&str], member: &str, act: &str) -> anyhow::Result<()> {
    let begins = |event: &Value| event["event"] == "step-started" && event["step"] == act && event["host"] == member;
    let kill = || {
        site.kill_kinstall()?;
        site.host(member).sh("pkill -KILL -x kinstall || true").map(drop)
    };
    let command = recover(site, &[options, &["--output", "json"]].concat());
    let (ran, came) = site.watch(command, begins, kill)?;
    ensure!(came && ran.code.is_none(), "it was not killed in `{act}`: {ran:?}");
    Ok(())
}

#[test]
#[ignore = "ten minutes, five hosts: ./ci/test nightly"]
fn a_cluster_that_lost_most_of_etcd_goes_on_from_the_member_that_is_left() -> anyhow::Result<()> {
    let site = Site::boot_hosts("ha-recovered", "bridge", 5, members())?;
    site.run(&[])?.succeeded()?;
    fill(&site.cluster("cp1"))?;
    let healthy =
        finish(&mut recover(&site, &[]))?.failed(3, &["etcd does its work on", "there is nothing to recover"])?;
    eprintln!("with a majority: {healthy}");
    site.cluster("cp3").kubectl(LAST)?;
    let old = site.cluster("cp1").kubectl("get --raw /readyz")?;
    ensure!(old == "ok", "{old}");

    for lost in ["cp2", "cp3"] {
        site.host(lost).power_cut()?;
    }
    refused(finish(&mut recover(&site, &[]))?, &["cp2 cannot be reached", "--lost cp2 --lost cp3"])?;
    let lost = ["--lost", "cp2", "--lost", "cp3"];
    shows_its_plan(&site, &lost)?;
    for act in KILLED_IN {
        is_killed_in(&site, &lost, "cp1", act)?;
        if act == "etcd-restore" {
            site.run(&[])?.failed(1, &["cp1", "a recovery of etcd was begun on this host", "kinstall recover"])?;
        }
    }
    let started = Instant::now();
    finish(&mut recover(&site, &lost))?.succeeded()?;
    eprintln!("the last call took {:?}", started.elapsed());
    serves_alone(&site)?;

    comes_back(&site)?;
    let site = is_replaced(site)?;
    assert_all_works(&site, &["cp1", "cp2", "new3"], NODES)?;
    assert_filled(&site.cluster("cp1"))?;
    assert_etcd_healthy(site.host("new3"), 3)?;
    finish(&mut recover(&site, &[]))?.failed(3, &["there is nothing to recover"])?;
    site.run(&["--assert-no-op"])?.succeeded()?;
    for kept in ["cp1", "cp2"] {
        site.host(kept).sh(&format!("kinstall status && test -s {ASIDE}"))?;
    }
    site.down()
}

fn shows_its_plan(site: &Site, lost: &[&str]) -> anyhow::Result<()> {
    let planned = finish(&mut recover(site, &[lost, &["--dry-run", "--output", "json"]].concat()))?.succeeded()?;
    let events: Vec<Value> = planned
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| document_of("kinstall", "recover", line))
        .collect::<Result<_, _>>()?;
    let steps: Vec<_> =
        events.iter().filter(|event| event["event"] == "step-planned").map(|event| &event["step"]).collect();
    ensure!(steps == KILLED_IN, "{planned}");
    site.host("cp1").sh(&format!("systemctl is-active kubelet && ! test -e {ASIDE}")).map(drop)
}

/// All that was acknowledged before is there, and the former data are kept.
fn serves_alone(site: &Site) -> anyhow::Result<()> {
    let cluster = site.cluster("cp1");
    assert_etcd_healthy(site.host("cp1"), 1)?;
    let written = cluster.kubectl("get configmap last -o 'jsonpath={.data.written}'")?;
    ensure!(written == "before", "{written}");
    assert_revisions_are_higher(&cluster)?;
    cluster.assert_web_answers()?;
    cluster.kubectl("create configmap later --from-literal=written=after")?;
    site.host("cp1").sh(&format!("test -s {ASIDE} && test -s /var/lib/kinstall/etcd-snapshots/recovery-*.db")).map(drop)
}

/// A lost host boots with the data of before, and joins the members that run.
fn comes_back(site: &Site) -> anyhow::Result<()> {
    site.host("cp2").boot()?;
    let lost = ["--lost", "cp3"];
    for act in ["etcd-set-aside", "etcd-rejoin", "start"] {
        is_killed_in(site, &lost, "cp2", act)?;
    }
    let said = finish(&mut recover(site, &lost))?.succeeded()?;
    eprintln!("{said}");
    assert_etcd_healthy(site.host("cp2"), 2)?;
    let later = site.cluster("cp2").kubectl("get configmap later -o 'jsonpath={.data.written}'")?;
    ensure!(later == "after", "{later}");
    site.host("cp2").sh(&format!("test -s {ASIDE}")).map(drop)
}

fn is_replaced(site: Site) -> anyhow::Result<Site> {
    site.command(&["remove", "cp3", "--dead", "--yes"])?.succeeded()?;
    let site = site.with(members_afterwards())?;
    site.run(&[])?.succeeded()?;
    Ok(site)
}
