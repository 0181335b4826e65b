//! The life of a cluster of three control planes and two workers: made, hit by faults under load, checked, grown, shrunk, removed.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::ensure;
use lab::cluster::eventually;
use lab::connected::{kbundle, program};
use lab::policy::assert_policies_are_enforced;

use crate::site::{MIRROR, Member, Site, five};
use crate::streams::{Stream, end_writes, now};
use crate::traffic::{
    assert_all_works, assert_api_server_works, assert_etcd_healthy, assert_new_pods_run, assert_pods_reach_each_other,
};

/// What kinstall may take where it is called.
const COORDINATOR_MEMORY: u64 = 256 << 20;
/// What SSH and Kubernetes may say to a worker on top of what it is sent.
const TALK: u64 = 24 << 20;
const CONTROL_PLANES: [&str; 3] = ["cp1", "cp2", "cp3"];
/// How long API writes through a node-local load balancer may fail when a control plane or a member of etcd goes.
const WRITES_RESUME: Duration = Duration::from_secs(15);
/// How long a kubelet may take to start HAProxy again, on a busy machine.
const HAPROXY_RESTARTS: Duration = Duration::from_secs(45);

#[test]
fn a_cluster_of_five_works_survives_faults_under_load_and_grows() -> anyhow::Result<()> {
    let site = Site::boot_hosts("ha-life", "calico", 6, five())?;
    makes_a_cluster(&site)?;
    assert_all_works(&site, &CONTROL_PLANES, 5)?;
    assert_settings_are_in_force(&site)?;
    assert_policies_are_enforced(&site.cluster("cp1"))?;

    survives_faults_under_load(&site)?;
    site.run(&["--assert-no-op"])?.succeeded()?;

    grows_by_a_worker(site)?.down()
}

#[test]
#[ignore = "seven minutes: ./ci/test nightly"]
fn a_cluster_shrinks_and_goes_without_a_trace() -> anyhow::Result<()> {
    let mut members = five();
    members.push(third_worker());
    let site = Site::boot("ha-shrink", "flannel", members)?;
    let before = site.snapshots()?;
    site.run(&[])?.succeeded()?;
    let site = shrinks_by_a_control_plane(site)?;
    assert_removed_host_is_clean(&site, &before)?;
    let site = takes_the_control_plane_back(site)?;

    site.command(&["reset", "--all", "--yes"])?.succeeded()?;
    site.assert_clean(&before, "after `reset --all`")?;
    site.down()
}

/// From empty; kinstall's memory and what it sends to whom stay within their limits.
fn makes_a_cluster(site: &Site) -> anyhow::Result<()> {
    let started = Instant::now();
    let ran = site.run(&[])?;
    let peak_memory_bytes = ran.peak_memory_bytes;
    ran.succeeded()?;
    measured("five hosts from empty", started.elapsed());
    measured_text(&format!("memory of kinstall on the management place: {} MiB", peak_memory_bytes >> 20));
    ensure!((1..COORDINATOR_MEMORY).contains(&peak_memory_bytes), "kinstall took {peak_memory_bytes} bytes");
    assert_workers_get_their_part(site)
}

/// What a worker gets is what a bundle for workers holds, the program, and the talk of SSH and Kubernetes.
fn assert_workers_get_their_part(site: &Site) -> anyhow::Result<()> {
    let part = site.folder().join("worker.tar.zst");
    let whole = site.carried.file("bundle.tar.zst");
    kbundle(&[
        "subset",
        &whole.display().to_string(),
        "--role",
        "worker",
        "--force",
        "--out",
        &part.display().to_string(),
    ])?;
    let size = |path: &Path| fs_err::metadata(path).map(|metadata| metadata.len());
    let least = size(&part)?;
    let most = least + size(&program("kinstall"))? + TALK;
    let (to_worker, to_control_plane) = (site.host("w1").received_bytes()?, site.host("cp1").received_bytes()?);
    measured_text(&format!(
        "bytes to a worker: {to_worker}, of a bundle for workers: {least}, to a control plane: {to_control_plane}"
    ));
    ensure!(
        (least..most).contains(&to_worker),
        "{to_worker} bytes went to a worker, more than {most} or less than {least}"
    );
    let images = site.host("w1").sh("ctr -n k8s.io images ls -q; ls /usr/local/bin")?;
    ensure!(
        images.contains("kube-proxy") && !images.contains("kube-apiserver") && !images.contains("etcd"),
        "{images}"
    );
    Ok(())
}

/// Labels, load balancers, add-ons and registries.
fn assert_settings_are_in_force(site: &Site) -> anyhow::Result<()> {
    let labelled = site.cluster("cp1").kubectl("get nodes -l disk=ssd -o name")?;
    assert_eq!(labelled, "node/w1");
    let addon = site.cluster("cp1").kubectl("-n lab-test get deployment idle -o jsonpath='{.status.readyReplicas}'")?;
    assert_eq!(addon, "1");
    let page = site.cluster("cp1").kubectl("-n team exec deployment/app -- wget -qO- http://127.0.0.1:8080/")?;
    assert_eq!(page, "carried with the bundle");
    let pull = site.host("w1").sh("crictl pull docker.io/library/nothing:1 2>&1 || true")?;
    ensure!(pull.contains(MIRROR) && !pull.contains("registry-1.docker.io"), "it was pulled from elsewhere: {pull}");
    for worker in ["w1", "w2"] {
        site.host(worker).sh("test -e /etc/kubernetes/manifests/haproxy.yaml")?;
        site.host(worker).sh("curl -sSk --max-time 5 https://127.0.0.1:6443/readyz")?;
    }
    Ok(())
}

fn survives_faults_under_load(site: &Site) -> anyhow::Result<()> {
    let cluster = site.cluster("cp2");
    let worker = site.host("w1");
    let requests = Stream::of_requests(&cluster, "w1", worker, &cluster.web_address()?)?;
    let writes = Stream::of_writes(&cluster, worker)?;

    for (number, pull_the_plug) in [false, true].into_iter().enumerate() {
        loses_a_control_plane(site, pull_the_plug, &requests, &writes, &format!("fresh-{number}"))?;
    }
    loses_a_member_of_etcd(site, &writes)?;
    loses_haproxy(site, &writes)?;
    loses_a_worker(site, &requests)?;
    end_writes(worker)
}

/// Power off, in order or by a pulled plug: no request to the Service fails, writes go on, new pods run; on again: all rejoins by itself.
fn loses_a_control_plane(
    site: &Site,
    pull_the_plug: bool,
    requests: &Stream<'_>,
    writes: &Stream<'_>,
    fresh: &str,
) -> anyhow::Result<()> {
    let how = if pull_the_plug { "a pulled plug" } else { "a poweroff" };
    let (lost, other) = (site.host("cp1"), site.cluster("cp2"));
    requests.wait_until_steady()?;
    writes.wait_until_steady()?;
    let start = now()?;
    if pull_the_plug {
        // Or this machine's kernel would answer for the host, and tell everyone at once that nobody listens.
        lost.unplug()?;
        lost.power_cut()?;
    } else {
        lost.poweroff()?;
    }
    sleep(Duration::from_secs(45));
    let silence = writes.longest_silence(start)?;
    measured(&format!("writes fail after {how} of a control plane for at most"), silence);
    assert_new_pods_run(&other, fresh)?;
    let (answered, failed) = requests.since(start)?;
    measured_text(&format!("requests to a Service during {how}: {answered} answered, {} failed", failed.len()));
    ensure!(silence <= WRITES_RESUME, "writes failed for {silence:?} after {how}");
    ensure!(failed.is_empty() && answered > 100, "{how}: {answered} answered; failed after seconds {failed:?}");

    let started = Instant::now();
    if pull_the_plug {
        lost.plug()?;
    }
    lost.boot()?;
    assert_api_server_works(lost, 5)?;
    assert_etcd_healthy(lost, 3)?;
    measured(&format!("rejoins after {how} within"), started.elapsed());
    Ok(())
}

fn loses_a_member_of_etcd(site: &Site, writes: &Stream<'_>) -> anyhow::Result<()> {
    writes.wait_until_steady()?;
    let start = now()?;
    site.host("cp2").sh("systemctl kill --kill-who=main --signal=KILL etcd")?;
    sleep(Duration::from_secs(20));
    let silence = writes.longest_silence(start)?;
    measured("writes fail after etcd is killed on one host for at most", silence);
    ensure!(silence <= WRITES_RESUME, "writes failed for {silence:?}");
    assert_etcd_healthy(site.host("cp1"), 3)
}

fn loses_haproxy(site: &Site, writes: &Stream<'_>) -> anyhow::Result<()> {
    writes.wait_until_steady()?;
    let worker = site.host("w1");
    let before = worker.sh("pgrep -x haproxy")?;
    let start = now()?;
    worker.sh("pkill -KILL -x haproxy")?;
    let after = eventually("HAProxy to run again", || worker.sh("pgrep -x haproxy"))?;
    ensure!(before != after, "HAProxy was not killed");
    sleep(Duration::from_secs(10));
    writes.wait_until_steady()?;
    let silence = writes.longest_silence(start)?;
    measured("writes fail after HAProxy is killed for at most", silence);
    ensure!(silence <= HAPROXY_RESTARTS, "writes failed for {silence:?}");
    site.cluster("cp1").assert_nodes_ready(5)
}

/// Cut off, its pods no longer get requests; healed, all is as before.
fn loses_a_worker(site: &Site, requests: &Stream<'_>) -> anyhow::Result<()> {
    let cluster = site.cluster("cp1");
    site.host("w2").unplug()?;
    eventually("w2 to be known as lost", || {
        ensure!(!cluster.nodes()?["w2"], "w2 counts as Ready");
        Ok(())
    })?;
    requests.wait_until_steady()?;
    let started = Instant::now();
    site.host("w2").plug()?;
    cluster.assert_nodes_ready(5)?;
    assert_pods_reach_each_other(&cluster, 5)?;
    measured("a worker that was cut off works again within", started.elapsed());
    Ok(())
}

fn grows_by_a_worker(site: Site) -> anyhow::Result<Site> {
    let mut members = five();
    members.push(third_worker());
    let site = site.with(members)?;
    let started = Instant::now();
    site.run(&[])?.succeeded()?;
    measured("one more worker", started.elapsed());
    assert_all_works(&site, &CONTROL_PLANES, 6)?;
    site.run(&["--assert-no-op"])?.succeeded()?;
    Ok(site)
}

fn shrinks_by_a_control_plane(site: Site) -> anyhow::Result<Site> {
    site.command(&["remove", "cp3", "--yes"])?.succeeded()?;
    let mut members = five();
    members.retain(|member| member.name != "cp3");
    members.push(third_worker());
    let site = site.with(members)?;
    assert_etcd_healthy(site.host("cp1"), 2)?;
    assert_all_works(&site, &["cp1", "cp2"], 5)?;
    site.run(&[])?.succeeded()?;
    site.run(&["--assert-no-op"])?.succeeded()?;
    Ok(site)
}

/// As a new host: one more member of etcd, and one more API server behind every worker's `HAProxy`.
fn takes_the_control_plane_back(site: Site) -> anyhow::Result<Site> {
    let mut members = five();
    members.push(third_worker());
    let site = site.with(members)?;
    let started = Instant::now();
    site.run(&[])?.succeeded()?;
    measured("one more control plane, with a member of etcd", started.elapsed());
    assert_etcd_healthy(site.host("cp3"), 3)?;
    assert_all_works(&site, &CONTROL_PLANES, 6)?;
    site.run(&["--assert-no-op"])?.succeeded()?;
    Ok(site)
}

fn third_worker() -> Member {
    Member::new("w3", 6, "worker")
}

fn assert_removed_host_is_clean(site: &Site, before: &[lab::files::Snapshot]) -> anyhow::Result<()> {
    let host = &site.lab.hosts()[2];
    before[2].assert_same(&lab::files::Snapshot::of(host)?, "after `remove`");
    Ok(())
}

fn measured(what: &str, time: Duration) {
    measured_text(&format!("{what}: {:.1} s", time.as_secs_f64()));
}

fn measured_text(what: &str) {
    eprintln!("measured: {what}");
}
