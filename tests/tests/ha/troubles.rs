//! Hosts that fail in the middle of an installation: the run says which and why, finishes the others, and the next goes on from there.

use anyhow::ensure;

use crate::site::{Member, Site, stage_begins};

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
