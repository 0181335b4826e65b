//! A cluster that stands is upgraded while it is used: to other programs of hosts, and from minor to minor.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use kbundle::catalog::Catalog;
use kbundle_format::KubeVersion;
use lab::cluster::{Cluster, install};
use lab::connected::{Carried, OLDEST, STICK, carried, copy_in};
use lab::files::Snapshot;
use lab::load::{begin_load, end_load};
use lab::{Host, Lab, document_of, mirror_tree, repository};
use serde_json::{Value, json};

use crate::minors::chosen;

/// What an upgrade of the runtime alone leads to.
const NEWER_RUNTIME: [(&str, &str); 3] = [("containerd", "2.3.4"), ("runc", "1.4.3"), ("cni-plugins", "1.9.1")];

/// Puts objects of users there.
fn fill(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    cluster.kubectl("create secret generic kept --from-literal=word=still-there")?;
    cluster.kubectl("create configmap kept --from-literal=word=still-there")?;
    cluster.deploy_web()?;
    cluster.assert_web_answers()
}

fn assert_all_is_there(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    let word = cluster.kubectl("get secret kept -o jsonpath='{.data.word}' | base64 -d")?;
    ensure!(word == "still-there", "the Secret says `{word}`");
    let word = cluster.kubectl("get configmap kept -o jsonpath='{.data.word}'")?;
    ensure!(word == "still-there", "the ConfigMap says `{word}`");
    cluster.assert_web_answers()
}

fn copy_key_and_bundle(host: &Host, carried: &Carried, version: KubeVersion) -> anyhow::Result<()> {
    copy_in(host, &carried.file("signing.pub"), &format!("{version}.pub"))?;
    copy_in(host, &carried.file("bundle.tar.zst"), &format!("{version}.tar.zst"))
}

/// Upgrades, and kills the program when `step` has begun.
fn kill_in(host: &Host, upgrade: &str, step: &str) -> anyhow::Result<()> {
    let script = format!(
        "cd {STICK}; {upgrade} --output json > /tmp/upgrade.json 2>&1 & pid=$!
         until grep -q '\"event\":\"step-started\",\"step\":\"{step}\"' /tmp/upgrade.json; do
           kill -0 $pid 2>/dev/null || {{ cat /tmp/upgrade.json >&2; exit 1; }}
           sleep 0.1
         done
         sleep 1; kill -9 $pid; wait $pid || true; rm /tmp/upgrade.json"
    );
    host.sh(&script).with_context(|| format!("the upgrade was not killed in {step}")).map(drop)
}

fn planned(host: &Host, upgrade: &str) -> anyhow::Result<Vec<Value>> {
    let said = host.sh(&format!("cd {STICK} && {upgrade} --dry-run --output json"))?;
    said.lines().map(|line| document_of("kinstall", "upgrade", line)).collect()
}

fn refusal(host: &Host, command: &str) -> anyhow::Result<String> {
    let output = host.exec(&["sh", "-c", &format!("cd {STICK} && {command}")])?;
    ensure!(output.status.code() == Some(3), "{command} was not refused: {}{}", output.stdout, output.stderr);
    Ok(output.stderr)
}

fn pods(cluster: &Cluster<'_>) -> anyhow::Result<String> {
    cluster.kubectl(
        "get pods -o jsonpath='{range .items[*]}{.metadata.uid} {.status.containerStatuses[0].containerID}{\"\\n\"}{end}' | sort",
    )
}

/// A bundle, and `newer.tar.zst` that differs by [`NEWER_RUNTIME`].
fn carry_with_newer_runtime(host: &Host) -> anyhow::Result<()> {
    let carried = carried(OLDEST, "bridge");
    carried.carry_into(host)?;
    copy_in(host, &carried.build_with(&NEWER_RUNTIME)?, "newer.tar.zst")
}

/// What a rollback prints, each line validated.
fn roll_back(host: &Host, options: &str) -> anyhow::Result<Vec<Value>> {
    let said = host.sh(&format!("cd {STICK} && ./kinstall rollback {options} --output json"))?;
    said.lines().map(|line| document_of("kinstall", "rollback", line)).collect()
}

#[test]
#[ignore = "five minutes: ./ci/test nightly"]
fn an_upgrade_that_was_killed_is_rolled_back_and_the_rollback_is_killed_too() -> anyhow::Result<()> {
    let lab = Lab::boot("one-rollback", 1)?;
    let host = &lab.hosts()[0];
    carry_with_newer_runtime(host)?;
    let before = Snapshot::of(host)?;
    install(host)?;
    let cluster = Cluster::new(host);
    fill(&cluster)?;
    let former = host.sh("containerd --version; runc --version; sha256sum /etc/containerd/config.toml")?;
    let said = refusal(host, "./kinstall rollback")?;
    ensure!(said.contains("this host has no unfinished upgrade"), "{said}");

    let upgrade = "./kinstall upgrade newer.tar.zst --key signing.pub";
    kill_in(host, upgrade, "upgrade-runtime")?;
    let planned = roll_back(host, "--dry-run")?;
    ensure!(planned.iter().all(|event| event["event"] == "step-planned"), "{planned:?}");
    kill_in(host, "./kinstall rollback", "containerd")?;
    let said = refusal(host, upgrade)?;
    ensure!(said.contains("a rollback of this host is not finished"), "{said}");
    host.power_cut()?;
    host.boot()?;
    let done = roll_back(host, "")?;
    ensure!(done.last().is_some_and(|event| event["event"] == "finished"), "{done:?}");
    let now = host.sh("containerd --version; runc --version; sha256sum /etc/containerd/config.toml")?;
    ensure!(now == former, "{now}");
    ensure!(host.sh("ls /var/lib/kinstall")?.lines().all(|name| name != "upgrade"), "something is left of the upgrade");
    assert_all_is_there(&cluster)?;
    host.sh(&format!("cd {STICK} && ./kinstall run bundle.tar.zst --key signing.pub --assert-no-op"))?;

    host.sh(&format!("cd {STICK} && {upgrade}"))?;
    assert_all_is_there(&cluster)?;
    host.sh(&format!("{STICK}/kinstall reset --yes"))?;
    before.assert_same(&Snapshot::of(host)?, "after a reset");
    lab.down()
}

/// The stored objects that a dry run names.
fn stored_objects(host: &Host, upgrade: &str) -> anyhow::Result<Vec<Value>> {
    let planned = planned(host, upgrade)?;
    let outline = planned.iter().find(|event| event["event"] == "outlined").context("no outline")?;
    let stored = &outline["storedObjects"];
    ensure!(stored["unknown"] == json!([]), "something was not searched: {stored}");
    Ok(stored["objects"].as_array().context("no objects")?.clone())
}

/// Applies a `HorizontalPodAutoscaler` through this version of `autoscaling`.
fn apply_scaler(host: &Host, version: &str) -> anyhow::Result<()> {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let scaler = json!({
        "apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler", "metadata": {"name": "old"},
        "spec": {"maxReplicas": 2, "scaleTargetRef": target}});
    host.sh(&format!("echo '{scaler}' | kubectl apply -f -")).map(drop)
}

#[test]
#[ignore = "three minutes: ./ci/test nightly"]
fn objects_written_through_a_removed_api_version_are_named() -> anyhow::Result<()> {
    let lab = Lab::boot("one-stored", 1)?;
    let host = &lab.hosts()[0];
    carry_with_newer_runtime(host)?;
    install(host)?;
    let cluster = Cluster::new(host);
    let upgrade = "./kinstall upgrade newer.tar.zst --key signing.pub";
    let fresh = stored_objects(host, upgrade)?;
    ensure!(fresh.is_empty(), "a new cluster writes through removed API versions: {fresh:?}");

    apply_scaler(host, "v2beta2")?;
    cluster.kubectl("create poddisruptionbudget budget --selector=app=web --min-available=1")?;
    // Kubernetes 1.25 does not serve the version: such a manifest was applied before.
    let manifest = r#"{"apiVersion":"policy/v1beta1","kind":"PodDisruptionBudget","metadata":{"name":"budget"}}"#;
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    cluster.kubectl(&format!("annotate poddisruptionbudget budget {annotation}='{manifest}'"))?;
    let found = stored_objects(host, upgrade)?;
    let expected = [
        json!({"kind": "PodDisruptionBudget", "namespace": "default", "name": "budget", "api": "policy/v1beta1",
               "removedIn": "1.25", "goesNow": true, "managers": [], "inLastApplied": true}),
        json!({"kind": "HorizontalPodAutoscaler", "namespace": "default", "name": "old", "api": "autoscaling/v2beta2",
               "removedIn": "1.26", "goesNow": false, "managers": ["kubectl-client-side-apply"], "inLastApplied": true}),
    ];
    ensure!(found == expected, "{found:#?}");

    apply_scaler(host, "v2")?;
    cluster.kubectl("delete poddisruptionbudget budget")?;
    let left = stored_objects(host, upgrade)?;
    ensure!(left.is_empty(), "what was written again is still named: {left:?}");
    lab.down()
}

#[test]
#[ignore = "five minutes: ./ci/test nightly"]
fn containerd_runc_and_plugins_change_under_pods_that_go_on() -> anyhow::Result<()> {
    let lab = Lab::boot("one-runtime", 1)?;
    let host = &lab.hosts()[0];
    carry_with_newer_runtime(host)?;
    let before = Snapshot::of(host)?;
    install(host)?;
    let cluster = Cluster::new(host);
    fill(&cluster)?;
    let upgrade = "./kinstall upgrade newer.tar.zst --key signing.pub";

    let planned = planned(host, upgrade)?;
    let outline = planned.iter().find(|event| event["event"] == "outlined").context("no outline")?;
    ensure!(outline["restarts"] == json!(["containerd"]), "{outline}");
    for (name, version) in NEWER_RUNTIME {
        let is_told = |change: &Value| change["name"] == name && change["to"] == version;
        ensure!(outline["changes"].as_array().context("no changes")?.iter().any(is_told), "{name}: {outline}");
    }
    ensure!(host.sh("ls /var/lib/kinstall")?.lines().all(|name| name != "upgrade"), "a dry run changed something");

    let pods_before = pods(&cluster)?;
    begin_load(host, &cluster)?;
    kill_in(host, upgrade, "upgrade-runtime")?;
    let status = host.exec(&["sh", "-c", "kinstall status"])?;
    ensure!(status.stdout.contains("upgrade to Kubernetes"), "{}", status.stdout);
    for bundle in ["bundle.tar.zst", "newer.tar.zst"] {
        let said = refusal(host, &format!("./kinstall run {bundle} --key signing.pub"))?;
        ensure!(said.contains("kinstall upgrade"), "{said}");
    }
    host.sh(&format!("cd {STICK} && {upgrade} 2>&1"))?;
    let seen = end_load(host)?;
    eprintln!("{seen:?}");
    ensure!(seen.requests > 50 && seen.failed.is_empty(), "{seen:?}");
    ensure!(pods(&cluster)? == pods_before, "pods did not live through it");
    ensure!(host.sh("containerd --version")?.contains("2.3.4"));
    ensure!(host.sh("head -2 /etc/containerd/config.toml")?.contains("version = 4"));
    cluster.kubectl("delete pods --all --wait=false")?;
    cluster.kubectl("rollout status deployment/web --timeout=120s")?;
    assert_all_is_there(&cluster)?;
    cluster.assert_nothing_was_pulled()?;

    host.sh(&format!("cd {STICK} && ./kinstall run newer.tar.zst --key signing.pub --assert-no-op"))?;
    host.sh("kinstall status")?;
    let back = refusal(host, "./kinstall upgrade bundle.tar.zst --key signing.pub")?;
    ensure!(back.contains("containerd 2.3.4 cannot become 1.7.13"), "{back}");
    host.sh(&format!("{STICK}/kinstall reset --yes"))?;
    before.assert_same(&Snapshot::of(host)?, "after a reset");
    lab.down()
}

/// One host goes through the releases that are chosen, killed once in each, and is used all the while.
#[test]
#[ignore = "takes minutes for each release, and needs a mirror of all minors: ./ci/test minors"]
fn every_minor_is_upgraded_to_the_next() -> anyhow::Result<()> {
    const KILLED_IN: [&str; 4] = ["upgrade-control-plane", "upgrade-etcd", "upgrade-kubelet", "preload"];
    let mirrored = Catalog::read(&[mirror_tree()?.join("catalog.yaml")])?.releases;
    let built_in: Vec<_> = Catalog::built_in()?.releases.into_keys().collect();
    let chosen = chosen(&mirrored, &built_in)?;
    let (first, others) = chosen.split_first().context("no release is chosen")?;
    ensure!(!others.is_empty(), "an upgrade needs two releases");
    let lab = Lab::boot("one-upgrade", 1)?;
    let host = &lab.hosts()[0];
    let folder = |version: &KubeVersion| repository().join("target/upgraded").join(version.to_string());
    let carried = Carried::build(&folder(first), &first.to_string(), "flannel")?;
    carried.carry_into(host)?;
    fs_err::remove_dir_all(folder(first))?;
    install(host)?;
    let cluster = Cluster::new(host);
    fill(&cluster)?;
    for (number, &version) in others.iter().enumerate() {
        let carried = Carried::build(&folder(&version), &version.to_string(), "flannel")?;
        copy_key_and_bundle(host, &carried, version)?;
        fs_err::remove_dir_all(folder(&version))?;
        let upgrade = format!("./kinstall upgrade {version}.tar.zst --key {version}.pub");
        begin_load(host, &cluster)?;
        kill_in(host, &upgrade, KILLED_IN[number % KILLED_IN.len()])?;
        eprintln!("{}", host.sh(&format!("cd {STICK} && {upgrade} 2>&1"))?);
        let seen = end_load(host)?;
        eprintln!("to Kubernetes {version}: {seen:?}");
        host.sh(&format!("rm {STICK}/*.tar.zst"))?;
        cluster.assert_kubelets_are(&version.to_string())?;
        assert_all_is_there(&cluster)?;
        cluster.assert_names_resolve()?;
        cluster.assert_nothing_was_pulled()?;
        host.sh("kinstall status")?;
        ensure!(seen.requests > 100 && seen.failed.is_empty(), "{seen:?}");
        ensure!(seen.writes > 10 && seen.longest_without_write < Duration::from_mins(2), "{seen:?}");
        let snapshots = host.sh("stat -c '%a %n' /var/lib/kinstall/etcd-snapshots/*")?;
        ensure!(snapshots.lines().all(|line| line.starts_with("600 ")), "{snapshots}");
    }
    lab.down()
}
