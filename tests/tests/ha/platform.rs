//! A platform out of one bundle, brought by one run and used: volumes, an ingress controller behind `MetalLB`'s address, Prometheus from a chart.
//! What is built is in `tests/lab/platform`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use fs_err as fs;
use lab::Host;
use lab::cluster::{Cluster, eventually};
use lab::connected::{NEWEST, carried};
use serde_json::{Value, json};

use crate::site::{Member, Site};

/// The wrong way round: the bundle says what needs what.
const SETTINGS: &str = "addons: [shop, monitoring, traefik, local-path-provisioner, metallb]
addon-settings: {metallb: {addresses: [10.77.0.240-10.77.0.247]}}";
const SHOP: &str = "shop.plant.lab";
const METRICS: &str = "metrics.plant.lab";
const PROMETHEUS: &str = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query";

#[test]
#[ignore = "ten minutes, and a mirror of `fill --addons --helm`: ./ci/test nightly"]
fn a_platform_runs_out_of_one_bundle() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bundle = carried(NEWEST, "calico").build_with_site(&platform(folder.path())?)?;
    let members = vec![Member::new("cp1", 1, "control-plane, etcd, worker"), Member::new("w1", 2, "worker")];
    // The third host belongs to no cluster.
    let mut site = Site::boot_hosts("ha-platform", "calico", 3, members)?;
    site.set_bundle(bundle);
    site.set_addons(SETTINGS)?;
    site.run(&[])?.succeeded()?;
    site.run(&["--assert-no-op"])?.succeeded()?;

    let cluster = site.cluster("cp1");
    assert_each_came_behind_what_it_needs(&cluster)?;
    assert_two_names_answer(&cluster, &site.lab.hosts()[2], folder.path())?;
    assert_all_is_watched(&cluster)?;
    assert_samples_outlive_their_pod(&cluster)?;
    cluster.assert_nothing_was_pulled()?;
    site.host("w1").power_cut()?;
    assert_an_alert_fires(&cluster, "w1")?;
    site.down()
}

/// What lies beside the bundle.yaml, with a certificate for both host names.
fn platform(folder: &Path) -> anyhow::Result<PathBuf> {
    let source = lab::repository().join("tests/lab/platform");
    run(Command::new("cp").arg("-r").arg(source.join(".")).arg(folder))?;
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "30",
    ]);
    openssl.args(["-subj", "/CN=plant.lab", "-addext", &format!("subjectAltName=DNS:{SHOP},DNS:{METRICS}")]);
    run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate))?;
    let (certificate, key) = (fs::read_to_string(certificate)?, fs::read_to_string(key)?);
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "certificate", "namespace": "shop"},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": certificate, "tls.key": key},
    });
    fs::write(folder.join("certificate.yaml"), secret.to_string())?;
    fs::write(folder.join("certificate-values.yaml"), json!({"certificate": certificate, "key": key}).to_string())?;
    Ok(folder.join("bundle.yaml"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The order of what cluster.yaml lists, by when each was begun.
fn assert_each_came_behind_what_it_needs(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    let begun = |what: &str| cluster.kubectl(&format!("get {what} -o jsonpath='{{.metadata.creationTimestamp}}'"));
    let addon = |name: &str| begun(&format!("-n kube-system configmap kinstall-addon-{name}"));
    let chart = begun("-n monitoring secret sh.helm.release.v1.monitoring.v1")?;
    let shop = addon("shop")?;
    let order = [
        (addon("metallb")?, addon("traefik")?),
        (addon("local-path-provisioner")?, chart.clone()),
        (addon("traefik")?, shop.clone()),
        (chart, shop),
    ];
    for (first, then) in order {
        ensure!(!first.is_empty() && first <= then, "{first} is not before {then}");
    }
    Ok(())
}

/// A host outside the cluster reaches both by their names, on one address, over TLS with the right certificate.
fn assert_two_names_answer(cluster: &Cluster<'_>, client: &Host, folder: &Path) -> anyhow::Result<()> {
    client.copy_in(&folder.join("certificate.pem"), "/root/")?;
    let address = eventually("an address of Traefik", || {
        let address =
            cluster.kubectl("-n traefik get service traefik -o jsonpath='{.status.loadBalancer.ingress[0].ip}'")?;
        ensure!(!address.is_empty(), "there is none");
        Ok(address)
    })?;
    let ask = |name: &str, path: &str| {
        client.sh(&format!(
            "curl -sS --max-time 5 --cacert /root/certificate.pem --resolve {name}:443:{address} https://{name}{path}"
        ))
    };
    for (name, path, answer) in [(SHOP, "/", "open for business"), (METRICS, "/-/ready", "Prometheus Server is Ready")]
    {
        eventually(&format!("an answer of {name}"), || {
            let page = ask(name, path)?;
            ensure!(page.contains(answer), "{page}");
            Ok(())
        })?;
    }
    let stranger = client.sh(&format!("curl -sk --max-time 5 -o /dev/null -w '%{{http_code}}' https://{address}/"))?;
    ensure!(stranger == "404", "without a name that is known the answer is {stranger}");
    let told = cluster.kubectl("-n shop get ingress shop -o jsonpath='{.status.loadBalancer.ingress[0].ip}'")?;
    ensure!(told == address, "the Ingress says {told} instead of {address}");
    Ok(())
}

/// Each sample of a query: job (of an alert its state), instance, value.
fn ask(cluster: &Cluster<'_>, query: &str) -> anyhow::Result<Vec<[String; 3]>> {
    let answer: Value = serde_json::from_str(&cluster.kubectl(&format!("get --raw '{PROMETHEUS}?query={query}'"))?)?;
    let samples = answer["data"]["result"].as_array().with_context(|| answer.to_string())?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let parts = |sample: &Value| {
        let metric = &sample["metric"];
        let first = if metric["alertstate"].is_string() { &metric["alertstate"] } else { &metric["job"] };
        [text(first), text(&metric["instance"]), text(&sample["value"][1])]
    };
    let mut samples: Vec<_> = samples.iter().map(parts).collect();
    samples.sort();
    Ok(samples)
}

fn assert_all_is_watched(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    eventually("every node, kubelet, API server and etcd to be up", || {
        let samples = ask(cluster, "up")?;
        let jobs: Vec<_> = samples.iter().map(|[job, _, _]| job.as_str()).collect();
        ensure!(jobs == ["api-servers", "etcd", "kubelets", "kubelets", "nodes", "nodes"], "{samples:?}");
        ensure!(samples.iter().all(|[_, _, value]| value == "1"), "{samples:?}");
        Ok(())
    })
}

/// What Prometheus knew before its pod went it still knows afterwards.
fn assert_samples_outlive_their_pod(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    let answer: Value = serde_json::from_str(&cluster.kubectl(&format!("get --raw '{PROMETHEUS}?query=time()'"))?)?;
    let moment = answer["data"]["result"][0].as_f64().with_context(|| answer.to_string())?;
    let before = format!("up&time={moment}");
    ensure!(ask(cluster, &before)?.len() == 6);
    cluster.kubectl("-n monitoring delete pod -l app=prometheus")?;
    cluster.kubectl("-n monitoring rollout status deployment/prometheus --timeout=120s")?;
    eventually("Prometheus to know what was before its pod", || {
        let samples = ask(cluster, &before)?;
        ensure!(samples.len() == 6, "{samples:?}");
        Ok(())
    })
}

fn assert_an_alert_fires(cluster: &Cluster<'_>, node: &str) -> anyhow::Result<()> {
    eventually("the alert NodeDown", || {
        let alerts = ask(cluster, "ALERTS")?;
        let firing: Vec<_> = alerts.iter().filter(|[state, _, _]| state == "firing").collect();
        ensure!(firing.len() == 1 && firing[0][1] == node, "{alerts:?}");
        Ok(())
    })
}
