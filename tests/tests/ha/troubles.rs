//! Hosts that fail in the middle of an installation: the run says which and why, finishes the others, and the next goes on from there.

use std::time::{Duration, Instant};

use anyhow::ensure;
use lab::cluster::eventually;

use crate::site::{Member, Site, stage_begins};

/// How long a run may take that finds one host off and has nothing to do on the others; the wait for a cluster is five minutes.
const OTHERS_FINISHED: Duration = Duration::from_mins(2);

fn three() -> Vec<Member> {
    vec![Member::new("cp1", 1, "control-plane, etcd"), Member::new("w1", 2, "worker"), Member::new("w2", 3, "worker")]
}

/// Room enough when preflight looks, and none when the images come.
#[test]
#[ignore = "long: ./ci/test nightly"]
fn a_disk_that_fills_up_stops_its_host_alone() -> anyhow::Result<()> {
    let site = Site::boot("ha-disk-full", "bridge", three())?;
    let host = site.host("w1");
    host.sh("mkdir /var/lib/containerd && mount -t tmpfs -o size=6g tmpfs /var/lib/containerd")?;
    let (ran, came) = site.run_until(
        |event| stage_begins(event, "prepare"),
        || host.sh("mount -o remount,size=40m /var/lib/containerd").map(drop),
    )?;
    ensure!(came, "the run never came to `prepare`:\n{}", ran.said);
    ran.failed(1, &["w1", "no space left on device", "hint:"])?;
    let nodes = site.cluster("cp1").nodes()?;
    ensure!(nodes.keys().eq(["cp1", "w2"]), "the others were not finished: {nodes:?}");

    host.sh("mount -o remount,size=6g /var/lib/containerd")?;
    site.run(&[])?.succeeded()?;
    site.cluster("cp1").assert_nodes_ready(3)?;
    site.down()
}

#[test]
#[ignore = "long: ./ci/test nightly"]
fn a_worker_that_cannot_reach_the_api_is_named_and_joins_when_it_can() -> anyhow::Result<()> {
    let site = Site::boot("ha-no-way", "bridge", three())?;
    let (host, api) = (site.host("w1"), site.host("cp1").address());
    let (ran, came) = site.run_until(
        |event| stage_begins(event, "workers"),
        || host.sh(&format!("ip route add blackhole {api}/32")).map(drop),
    )?;
    ensure!(came, "the run never came to `workers`:\n{}", ran.said);
    ran.failed(1, &["w1", &api, "hint:"])?;
    let nodes = site.cluster("cp1").nodes()?;
    ensure!(nodes.get("w2") == Some(&true), "the other worker was not finished: {nodes:?}");

    host.sh(&format!("ip route del blackhole {api}/32"))?;
    site.run(&[])?.succeeded()?;
    site.cluster("cp1").assert_nodes_ready(3)?;
    site.down()
}

/// Nothing waits for what runs on a host that is off, and the healthy hosts are not called failed.
#[test]
#[ignore = "three minutes: ./ci/test nightly"]
fn a_host_that_is_off_is_named_and_the_others_are_finished_soon() -> anyhow::Result<()> {
    let site = Site::boot("ha-off", "bridge", three())?;
    site.run(&[])?.succeeded()?;
    site.host("w2").poweroff()?;
    eventually("w2 to be known as lost", || {
        ensure!(!site.cluster("cp1").nodes()?["w2"], "w2 counts as Ready");
        Ok(())
    })?;

    let started = Instant::now();
    let said = site.run(&[])?.failed(1, &["w2"])?;
    let taken = started.elapsed();
    ensure!(taken < OTHERS_FINISHED, "the run took {taken:?}:\n{said}");
    for healthy in ["cp1 failed", "w1 failed"] {
        ensure!(!said.contains(healthy), "{said}");
    }

    site.host("w2").boot()?;
    site.cluster("cp1").assert_nodes_ready(3)?;
    site.run(&["--assert-no-op"])?.succeeded()?;
    site.down()
}
