//! What a site adds to its bundle beyond images and manifests: a chart, installed by the bundle's own helm, and a file for hosts.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use fs_err as fs;
use lab::cluster::Cluster;
use lab::connected::{NEWEST, STICK, carried, copy_in};
use lab::files::Snapshot;
use lab::{Host, Lab};
use serde_json::Value;

const BUNDLE: &str = "schema: 1
charts:
  shop: {chart: shop, namespace: web, values: [values.yaml]}
files:
- {file: site.conf, path: /etc/site/site.conf, mode: '0640', owner: 'root:adm', restart: site-probe.service}
- {file: site.conf, path: /etc/etcd-alone.conf, roles: [etcd]}
";
const CHART: [(&str, &str); 4] = [
    ("shop/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 0.1.0\n"),
    ("shop/values.yaml", "page: default\ndelay: 0\nimage: docker.io/library/busybox:1.35.0\n"),
    (
        "shop/templates/page.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: page}\ndata: {index.html: '{{ .Values.page }}'}\n",
    ),
    (
        "shop/templates/app.yaml",
        "apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: shop
        image: {{ .Values.image }}
        command: [httpd, -f, -p, '8080', -h, /page]
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, initialDelaySeconds: {{ .Values.delay }}}
        volumeMounts: [{name: page, mountPath: /page}]
      volumes: [{name: page, configMap: {name: page}}]
",
    ),
];
/// Counts how often it was started.
const UNIT: &str =
    "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo started >>/run/site-probe'\n";
const HELM: &str = "KUBECONFIG=/etc/kubernetes/admin.conf helm --namespace web";
const RUN: &str = "./kinstall run bundle.tar.zst --key signing.pub --config cluster.yaml";

/// Files of the site beside a bundle.yaml.
fn site(folder: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder.join("shop/templates"))?;
    let others = [("bundle.yaml", BUNDLE), ("values.yaml", "page: carried\n"), ("site.conf", "site = 7\n")];
    for (name, text) in CHART.into_iter().chain(others) {
        fs::write(folder.join(name), text)?;
    }
    Ok(folder.join("bundle.yaml"))
}

fn run(host: &Host, options: &str) -> anyhow::Result<String> {
    host.sh(&format!("cd {STICK} && {RUN} {options} 2>&1"))
}

/// Number, which helm writes as text, state and page of the release's newest revision.
fn assert_release(host: &Host, revision: &str, page: &str) -> anyhow::Result<()> {
    let listed: Value = serde_json::from_str(&host.sh(&format!("{HELM} list --output json"))?)?;
    let shop = &listed[0];
    ensure!(shop["name"] == "shop" && shop["status"] == "deployed", "{listed}");
    ensure!(shop["revision"] == revision, "revision {} instead of {revision}", shop["revision"]);
    let found = Cluster::new(host).json("--namespace=web get configmap page")?;
    ensure!(found["data"]["index.html"] == page, "{found}");
    Ok(())
}

#[test]
#[ignore = "four minutes, and needs a mirror with helm: ./ci/test nightly"]
fn a_chart_is_a_release_of_helm_and_a_file_is_put_in_place() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let carried = carried(NEWEST, "bridge");
    let bundle = carried.build_with_site(&site(folder.path())?)?;
    let lab = Lab::boot("one-site", 1)?;
    let host = &lab.hosts()[0];
    carried.carry_into(host)?;
    copy_in(host, &bundle, "bundle.tar.zst")?;
    fs::write(folder.path().join("cluster.yaml"), "schema: 1\naddons: [lab-test, shop]\n")?;
    copy_in(host, &folder.path().join("cluster.yaml"), "cluster.yaml")?;
    host.sh(&format!("cat >/etc/systemd/system/site-probe.service <<'EOF'\n{UNIT}EOF\nsystemctl daemon-reload"))?;
    let before = Snapshot::of(host)?;

    run(host, "")?;
    let cluster = Cluster::new(host);
    cluster.assert_nodes_ready(1)?;
    assert_release(host, "1", "carried")?;
    assert_file(host, 1)?;
    ensure!(host.sh("cat /etc/etcd-alone.conf")? == "site = 7", "the host has etcd as well");
    run(host, "--assert-no-op")?;

    // Others change the release: by an upgrade, and by a rollback to it.
    let chart = host.sh("ls /var/lib/kinstall/charts/web/shop/chart.tgz")?;
    host.sh(&format!("{HELM} upgrade shop {chart} --set page=other --wait"))?;
    assert_release(host, "2", "other")?;
    run(host, "")?;
    assert_release(host, "3", "carried")?;
    host.sh(&format!("{HELM} rollback shop 2 --wait"))?;
    assert_release(host, "4", "other")?;
    run(host, "")?;
    assert_release(host, "5", "carried")?;

    // helm is ended while it waits, and refuses to go on.
    host.sh(&format!(
        "{HELM} upgrade shop {chart} --set delay=500 --wait & pid=$!; sleep 5; pkill -KILL -x helm; wait $pid || true"
    ))?;
    let pending = host.sh(&format!("{HELM} status shop"))?;
    ensure!(pending.contains("STATUS: pending-upgrade"), "{pending}");
    run(host, "")?;
    assert_release(host, "6", "carried")?;

    host.sh("echo changed >>/etc/site/site.conf")?;
    run(host, "")?;
    assert_file(host, 2)?;
    run(host, "--assert-no-op")?;
    cluster.assert_nothing_was_pulled()?;

    // The unit is the site's own, and so is what it wrote.
    host.sh(&format!("{STICK}/kinstall reset --yes && rm /run/site-probe"))?;
    before.assert_same(&Snapshot::of(host)?, "after a reset");
    lab.down()
}

/// The file is as the bundle has it, and its unit was started so often.
fn assert_file(host: &Host, starts: usize) -> anyhow::Result<()> {
    let found = host.sh("stat -c '%a %U:%G' /etc/site/site.conf && cat /etc/site/site.conf")?;
    ensure!(found == "640 root:adm\nsite = 7", "{found}");
    let started = host.sh("wc -l </run/site-probe")?.trim().parse::<usize>().context("a number of starts")?;
    ensure!(started == starts, "the unit was started {started} times instead of {starts}");
    Ok(())
}
