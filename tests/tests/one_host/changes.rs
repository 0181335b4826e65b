//! Changed settings for an existing cluster: shown, rolled out while it serves, reverted, and refused.

use anyhow::{Context as _, ensure};
use lab::cluster::{Cluster, eventually};
use lab::connected::{NEWEST, STICK, carried, copy_in};
use lab::{Host, Lab, Output, document_of};

use crate::certificates::serves_as;

const NAME: &str = "k8s.plant-7.example";
const RUN: &str = "./kinstall run bundle.tar.zst --key signing.pub --config cluster.yaml";

/// cluster.yaml for this host, with labels and further lines.
fn describe(host: &Host, labels: &str, more: &str) -> anyhow::Result<()> {
    let address = host.sh("hostname -I")?.split_whitespace().next().context("the host has no address")?.to_owned();
    let roles = "roles: [control-plane, etcd, worker], ssh: {connection: local}";
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("cluster.yaml");
    fs_err::write(&file, format!("hosts: [{{name: cp-1, address: {address}, {roles}, labels: {labels}}}]\n{more}"))?;
    copy_in(host, &file, "cluster.yaml")
}

fn run(host: &Host, more: &str) -> anyhow::Result<Output> {
    host.exec(&["sh", "-c", &format!("cd {STICK} && {RUN} {more}")])
}

fn succeed(host: &Host, more: &str) -> anyhow::Result<String> {
    let output = run(host, more)?;
    ensure!(output.status.success(), "{RUN} {more}: {}{}", output.stdout, output.stderr);
    Ok(output.stdout + &output.stderr)
}

/// What the status says of the hosts of cluster.yaml, all of which are healthy; its form for programs is validated.
fn status(host: &Host) -> anyhow::Result<String> {
    let status = format!("cd {STICK} && ./kinstall status --config cluster.yaml");
    document_of("kinstall", "status", &host.sh(&format!("{status} --output json"))?)?;
    host.sh(&status)
}

fn label(cluster: &Cluster<'_>, key: &str) -> anyhow::Result<String> {
    let node = cluster.json("get node cp-1")?;
    Ok(node["metadata"]["labels"][key].as_str().unwrap_or("absent").to_owned())
}

fn may_have_pods(cluster: &Cluster<'_>, most: &str) -> anyhow::Result<()> {
    eventually("the kubelet to report how many pods it takes", || {
        let capacity = cluster.json("get node cp-1")?["status"]["capacity"]["pods"].clone();
        ensure!(capacity == most, "the node takes {capacity} pods");
        Ok(())
    })
}

fn flags_of_the_scheduler(host: &Host) -> anyhow::Result<String> {
    host.sh("tr '\\0' ' ' < /proc/$(pidof kube-scheduler)/cmdline")
}

const OTHERS: &str = "\
    api: {certificate-sans: [k8s.plant-7.example]}\n\
    kubelet: {max-pods: 60, config: {systemReserved: {memory: 200Mi}}}\n\
    scheduler: {extra-args: {v: 3}}\n\
    network: {kube-proxy: {config: {nodePortAddresses: [127.0.0.0/8]}}}\n";

#[test]
#[ignore = "ten minutes: ./ci/test nightly"]
fn a_standing_cluster_takes_other_settings() -> anyhow::Result<()> {
    let lab = Lab::boot("one-changes", 1)?;
    let host = &lab.hosts()[0];
    carried(NEWEST, "bridge").carry_into(host)?;
    describe(host, "{disk: ssd}", "")?;
    succeed(host, "")?;
    let cluster = Cluster::new(host);
    cluster.deploy_web()?;
    cluster.assert_web_answers()?;
    ensure!(label(&cluster, "disk")? == "ssd");
    ensure!(serves_as(host, NAME).is_err());

    describe(host, "{rack: r1}", OTHERS)?;
    let planned = succeed(host, "--dry-run")?;
    let differences = status(host)?;
    for line in [
        "change kubelet.max-pods was 110 and is 60 now",
        "change api.certificate-sans was [] and is [\"k8s.plant-7.example\"] now",
        "change labels.disk of host cp-1 was ssd and is absent now",
        "change scheduler.extra-args.v was absent and is 3 now",
    ] {
        ensure!(planned.contains(line), "the dry run does not say `{line}`: {planned}");
        ensure!(differences.contains(line), "the status does not say `{line}`: {differences}");
    }
    ensure!(label(&cluster, "disk")? == "ssd" && serves_as(host, NAME).is_err(), "the dry run changed something");

    succeed(host, "")?;
    let now = status(host)?;
    ensure!(now.contains("cluster.yaml is what the cluster stands by"), "{now}");
    serves_as(host, NAME)?;
    ensure!((label(&cluster, "disk")?, label(&cluster, "rack")?) == ("absent".into(), "r1".into()));
    may_have_pods(&cluster, "60")?;
    ensure!(flags_of_the_scheduler(host)?.contains("--v=3"));
    let kept = cluster.kubectl("-n kube-system get configmap kubeadm-config kubelet-config kube-proxy -o yaml")?;
    for part in [NAME, "memory: 200Mi", "127.0.0.0/8"] {
        ensure!(kept.contains(part), "the cluster does not keep {part}: {kept}");
    }
    cluster.assert_nodes_ready(1)?;
    cluster.assert_web_answers()?;
    succeed(host, "--assert-no-op")?;

    what_cannot_change_is_refused(host)?;
    a_kubelet_that_does_not_start_gets_its_settings_back(host, &cluster)?;

    describe(host, "{disk: ssd}", "")?;
    succeed(host, "")?;
    ensure!(serves_as(host, NAME).is_err(), "the name stayed");
    ensure!((label(&cluster, "disk")?, label(&cluster, "rack")?) == ("ssd".into(), "absent".into()));
    may_have_pods(&cluster, "110")?;
    ensure!(!flags_of_the_scheduler(host)?.contains("--v=3"));
    ensure!(host.sh("grep -c systemReserved /var/lib/kubelet/config.yaml || true")? == "0");
    succeed(host, "--assert-no-op")?;
    cluster.assert_web_answers()?;
    lab.down()
}

fn what_cannot_change_is_refused(host: &Host) -> anyhow::Result<()> {
    describe(host, "{rack: r2}", &format!("{OTHERS}name: plant-8\n"))?;
    let before =
        host.sh("sha256sum /etc/kubernetes/*.yaml /etc/kubernetes/manifests/* /var/lib/kinstall/cluster.yaml")?;
    let refused = run(host, "")?;
    ensure!(refused.status.code() == Some(3), "{}{}", refused.stdout, refused.stderr);
    ensure!(refused.stderr.contains("name was kubernetes and is plant-8 now: cannot change"), "{}", refused.stderr);
    let after =
        host.sh("sha256sum /etc/kubernetes/*.yaml /etc/kubernetes/manifests/* /var/lib/kinstall/cluster.yaml")?;
    ensure!(before == after, "a refused run changed files");
    Ok(())
}

fn a_kubelet_that_does_not_start_gets_its_settings_back(host: &Host, cluster: &Cluster<'_>) -> anyhow::Result<()> {
    describe(
        host,
        "{rack: r1}",
        &OTHERS.replace("max-pods: 60, config: {", "max-pods: 60, config: {cpuManagerPolicy: no-such, "),
    )?;
    let failed = run(host, "")?;
    ensure!(failed.status.code() == Some(1), "{}{}", failed.stdout, failed.stderr);
    ensure!(failed.stderr.contains("has its former ones again"), "{}", failed.stderr);
    cluster.assert_nodes_ready(1)?;
    describe(host, "{rack: r1}", OTHERS)?;
    succeed(host, "")?;
    cluster.assert_nodes_ready(1)
}
