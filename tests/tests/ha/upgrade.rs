//! A cluster of several hosts is upgraded while it is used: one host after another, and nobody misses a request.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use lab::cluster::Cluster;
use lab::connected::{NEWEST, OLDEST, carried};
use lab::document_of;
use lab::load::{begin_load, end_load};
use serde_json::Value;

use crate::site::{Member, Site, finish, stage_begins};

const HOSTS: [&str; 4] = ["cp1", "cp2", "cp3", "w1"];
const NEWER: [(&str, &str); 3] = [("containerd", "2.3.4"), ("runc", "1.4.3"), ("cni-plugins", "1.9.1")];
/// One of the two pods has to be there at any time.
const BUDGET: &str = "
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
";

/// Pods of users run on the third control plane and on the worker.
fn members() -> Vec<Member> {
    vec![
        Member::new("cp1", 1, "control-plane, etcd"),
        Member::new("cp2", 2, "control-plane, etcd"),
        Member::new("cp3", 3, "control-plane, etcd, worker"),
        Member::new("w1", 4, "worker"),
    ]
}

/// What a site is upgraded to.
struct Newer {
    bundle: PathBuf,
    key: PathBuf,
}

impl Newer {
    fn upgrade(&self, site: &Site, options: &[&str]) -> Command {
        let mut command = site.kinstall(&["upgrade"]);
        command.arg(&self.bundle).arg("--key").arg(&self.key).arg("--config").arg(site.config()).args(options);
        command
    }
}

/// Kills the kinstall that leads when the last control planes have their turn.
fn is_killed_among_control_planes(site: &Site, newer: &Newer) -> anyhow::Result<()> {
    let mut command = newer.upgrade(site, &["--output", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        let event: Value = serde_json::from_str(&line?)?;
        if stage_begins(&event, "control-planes") {
            child.kill()?;
        }
    }
    ensure!(!child.wait()?.success(), "it came to its end before it was killed");
    Ok(())
}

fn assert_plan(site: &Site, newer: &Newer) -> anyhow::Result<()> {
    let said = finish(&mut newer.upgrade(site, &["--dry-run", "--output", "json"]))?.succeeded()?;
    let lines = said.lines().filter(|line| line.starts_with('{'));
    let events: Vec<Value> = lines.map(|line| document_of("kinstall", "upgrade", line)).collect::<Result<_, _>>()?;
    for host in HOSTS {
        let is_its = |event: &&Value| event["event"] == "outlined" && event["host"] == host;
        let outline = events.iter().find(is_its).with_context(|| format!("no plan for {host}: {said}"))?;
        let changes = outline["changes"].as_array().context("no changes")?;
        for (name, version) in NEWER {
            let is_told = changes.iter().any(|change| change["name"] == name && change["to"] == version);
            ensure!(is_told, "{host}, {name}: {outline}");
        }
    }
    let order = events.iter().find(|event| event["event"] == "order-planned").context("no order")?;
    ensure!(order["servers"] == serde_json::json!(["cp1", "cp2", "cp3"]), "{order}");
    Ok(())
}

fn rollback(site: &Site, options: &[&str]) -> Command {
    let mut command = site.kinstall(&["rollback"]);
    command.arg("--config").arg(site.config()).args(options);
    command
}

/// An upgrade that was cut off among the control planes is taken back on every host, with what runs on it.
fn assert_rolled_back(site: &Site, cluster: &Cluster<'_>, containerd: &str) -> anyhow::Result<()> {
    let planned = finish(&mut rollback(site, &["--dry-run", "--output", "json"]))?.succeeded()?;
    for line in planned.lines().filter(|line| line.starts_with('{')) {
        document_of("kinstall", "rollback", line)?;
    }
    eprintln!("{}", finish(&mut rollback(site, &[]))?.succeeded()?);
    for host in HOSTS {
        let version = site.host(host).sh("containerd --version")?;
        ensure!(version.contains(containerd), "{host}: {version}");
        site.host(host).sh("test ! -e /var/lib/kinstall/upgrade && kinstall status")?;
    }
    assert_nodes_take_pods(cluster)?;
    cluster.assert_web_answers()?;
    site.run(&["--assert-no-op"])?.succeeded()?;
    finish(&mut rollback(site, &[]))?.failed(3, &["nothing to roll back"]).map(drop)
}

fn assert_nodes_take_pods(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    cluster.assert_nodes_ready(HOSTS.len())?;
    let nodes = cluster.kubectl("get nodes -o yaml")?;
    ensure!(!nodes.contains("unschedulable: true") && !nodes.contains("closed-for-upgrade"), "{nodes}");
    Ok(())
}

#[test]
#[ignore = "ten minutes: ./ci/test nightly"]
fn four_hosts_change_their_runtime_one_by_one_while_they_are_used() -> anyhow::Result<()> {
    let carried = carried(OLDEST, "bridge");
    let newer = Newer { bundle: carried.build_with(&NEWER)?, key: carried.file("signing.pub") };
    let mut site = Site::boot_with("ha-upgrade", carried, HOSTS.len(), members())?;
    site.run(&[])?.succeeded()?;
    {
        let cluster = site.cluster("cp1");
        cluster.kubectl("create configmap kept --from-literal=word=still-there")?;
        cluster.deploy_web()?;
        cluster.apply(BUDGET)?;
        cluster.assert_web_answers()?;

        assert_plan(&site, &newer)?;
        cluster.kubectl("run lone --image=docker.io/library/busybox:1.35.0 --command -- sleep 1d")?;
        cluster.kubectl("wait --for=condition=Ready pod/lone --timeout=60s")?;
        finish(&mut newer.upgrade(&site, &[]))?.failed(3, &["default/lone on ", "nothing was changed"])?;
        cluster.kubectl("delete pod lone --now")?;

        begin_load(site.host("cp1"), &cluster)?;
        is_killed_among_control_planes(&site, &newer)?;
        site.run(&[])?.failed(1, &["is not finished", "kinstall upgrade"])?;
        assert_rolled_back(&site, &cluster, "1.7.13")?;
        is_killed_among_control_planes(&site, &newer)?;
        eprintln!("{}", finish(&mut newer.upgrade(&site, &[]))?.succeeded()?);
        let seen = end_load(site.host("cp1"))?;
        eprintln!("{seen:?}");

        for host in HOSTS {
            let version = site.host(host).sh("containerd --version")?;
            ensure!(version.contains("2.3.4"), "{host}: {version}");
            site.host(host).sh("test ! -e /var/lib/kinstall/upgrade && kinstall status")?;
        }
        assert_nodes_take_pods(&cluster)?;
        cluster.assert_web_answers()?;
        cluster.assert_nothing_was_pulled()?;
        let snapshots = site.host("cp2").sh("stat -c '%a' /var/lib/kinstall/etcd-snapshots/*")?;
        ensure!(snapshots == "600", "{snapshots}");
        ensure!(seen.requests > 100 && seen.failed.is_empty(), "{seen:?}");
    }
    site.set_bundle(newer.bundle);
    site.run(&["--assert-no-op"])?.succeeded()?;
    site.down()
}

/// The minor before the newest.
const BEFORE_NEWEST: &str = "1.35.4";

#[test]
#[ignore = "fifteen minutes, and a mirror of all minors: ./ci/test minors"]
fn four_hosts_go_to_the_next_minor_one_by_one_while_they_are_used() -> anyhow::Result<()> {
    let next = carried(NEWEST, "bridge");
    let newer = Newer { bundle: next.file("bundle.tar.zst"), key: next.file("signing.pub") };
    let site = Site::boot_with("ha-minor", carried(BEFORE_NEWEST, "bridge"), HOSTS.len(), members())?;
    site.run(&[])?.succeeded()?;
    let cluster = site.cluster("cp1");
    cluster.kubectl("create configmap kept --from-literal=word=still-there")?;
    cluster.deploy_web()?;
    cluster.apply(BUDGET)?;
    cluster.assert_web_answers()?;

    begin_load(site.host("cp1"), &cluster)?;
    is_killed_among_control_planes(&site, &newer)?;
    eprintln!("{}", finish(&mut newer.upgrade(&site, &[]))?.succeeded()?);
    let seen = end_load(site.host("cp1"))?;
    eprintln!("{seen:?}");

    cluster.assert_kubelets_are(NEWEST)?;
    for host in HOSTS {
        site.host(host).sh("test ! -e /var/lib/kinstall/upgrade && kinstall status")?;
    }
    let images = cluster.kubectl("-n kube-system get pods -o jsonpath='{.items[*].spec.containers[*].image}'")?;
    ensure!(!images.contains(BEFORE_NEWEST), "{images}");
    ensure!(cluster.kubectl("get configmap kept -o jsonpath='{.data.word}'")? == "still-there");
    assert_nodes_take_pods(&cluster)?;
    cluster.assert_web_answers()?;
    cluster.assert_nothing_was_pulled()?;
    ensure!(seen.requests > 100 && seen.failed.is_empty(), "{seen:?}");
    ensure!(seen.longest_without_write < Duration::from_secs(30), "{seen:?}");
    site.down()
}
