//! Add-ons of the bundle, installed without a way out and used: metrics-server, `MetalLB`, local-path-provisioner.

use anyhow::{Context as _, ensure};
use lab::Host;
use lab::cluster::{Cluster, eventually};
use lab::connected::{NEWEST, carried};

use crate::site::{Member, Site};

const ADDONS: [&str; 3] = ["metrics-server", "metallb", "local-path-provisioner"];
/// Free addresses of the hosts' network.
const ADDRESSES: &str = "10.77.0.240-10.77.0.247";
/// As many Services as there are addresses, so that each node answers for some of them.
const SERVICES: usize = 8;
const CLAIM: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 16Mi}}}
";

#[test]
#[ignore = "eight minutes, and a mirror of `fill --addons`: ./ci/test nightly"]
fn add_ons_are_used_and_go_again() -> anyhow::Result<()> {
    let bundle = carried(NEWEST, "calico").build_with_addons(&ADDONS)?;
    let members = vec![Member::new("cp1", 1, "control-plane, etcd, worker"), Member::new("w1", 2, "worker")];
    // The third host belongs to no cluster.
    let mut site = Site::boot_hosts("ha-addons", "calico", 3, members)?;
    site.set_bundle(bundle);
    site.set_addons(&format!(
        "addons: [{}]\naddon-settings: {{metallb: {{addresses: [{ADDRESSES}]}}, local-path-provisioner: {{default-class: enabled}}}}",
        ADDONS.join(", ")
    ))?;
    site.run(&[])?.succeeded()?;
    site.run(&["--assert-no-op"])?.succeeded()?;

    let cluster = site.cluster("cp1");
    assert_nodes_are_measured(&cluster)?;
    assert_volumes_outlive_their_pods(&cluster)?;
    assert_addresses_move(&site)?;
    cluster.assert_nothing_was_pulled()?;
    assert_add_ons_go(&mut site)?;
    site.down()
}

fn assert_nodes_are_measured(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    eventually("metrics of both nodes", || {
        let told = cluster.kubectl("top nodes --no-headers")?;
        ensure!(told.lines().count() == 2 && !told.contains("unknown"), "{told}");
        Ok(())
    })
}

fn assert_volumes_outlive_their_pods(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    cluster.apply(CLAIM)?;
    run_with_volume(cluster, "writer", "echo kept > /data/word")?;
    run_with_volume(cluster, "reader", "cat /data/word")?;
    let read = cluster.kubectl("logs reader")?;
    ensure!(read == "kept", "{read}");
    cluster.kubectl("delete pod reader").map(drop)
}

/// Runs a command in a pod that has the claim, to its end. The one that writes is deleted.
fn run_with_volume(cluster: &Cluster<'_>, name: &str, command: &str) -> anyhow::Result<()> {
    cluster.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n  - name: main\n    \
         image: docker.io/library/busybox:1.35.0\n    command: [sh, -c, {command:?}]\n    volumeMounts: [{{name: data, mountPath: /data}}]\n  \
         volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]\n"
    ))?;
    eventually(&format!("pod {name} to end"), || {
        let phase = cluster.kubectl(&format!("get pod {name} -o jsonpath='{{.status.phase}}'"))?;
        ensure!(phase == "Succeeded", "{phase}");
        Ok(())
    })?;
    if name == "writer" {
        cluster.kubectl("delete pod writer")?;
    }
    Ok(())
}

/// A Service answers a host outside the cluster on an address of its own, also when the node that answered for the address is gone.
fn assert_addresses_move(site: &Site) -> anyhow::Result<()> {
    let (cluster, client) = (site.cluster("cp1"), &site.lab.hosts()[2]);
    cluster.deploy_web()?;
    for number in 0..SERVICES {
        cluster.kubectl(&format!(
            "expose deployment web --name=outside-{number} --type=LoadBalancer --port=80 --target-port=8080"
        ))?;
    }
    let address = eventually("an address that w1 answers for", || announced_by(&cluster, "w1"))?;
    assert_answers(client, &address)?;
    site.host("w1").power_cut()?;
    // MetalLB 0.15's own ServiceL2Status does not follow: its node is immutable.
    let first = site.host("cp1");
    client.sh(&format!("ping -c 1 -W 5 {}", first.address()))?;
    eventually(&format!("cp1 to answer for {address}"), || {
        let neighbours = client.sh("ip neigh")?;
        ensure!(neighbour(client, &address)? == neighbour(client, &first.address())?, "{neighbours}");
        Ok(())
    })?;
    assert_answers(client, &address)?;
    site.host("w1").boot()?;
    cluster.assert_nodes_ready(2)
}

fn assert_answers(client: &Host, address: &str) -> anyhow::Result<()> {
    eventually(&format!("an answer of {address}"), || {
        let page = client.sh(&format!("curl -sS --max-time 3 http://{address}/"))?;
        ensure!(page.starts_with("served by web-"), "{page}");
        Ok(())
    })
}

/// Lines of Service and node, as `MetalLB` tells them.
fn announcements(cluster: &Cluster<'_>) -> anyhow::Result<String> {
    cluster.kubectl(
        "-n metallb-system get servicel2statuses -o jsonpath='{range .items[*]}{.status.serviceName} {.status.node}{\"\\n\"}{end}'",
    )
}

fn address_of(cluster: &Cluster<'_>, service: &str) -> anyhow::Result<String> {
    let address =
        cluster.kubectl(&format!("get service {service} -o jsonpath='{{.status.loadBalancer.ingress[0].ip}}'"))?;
    ensure!(!address.is_empty(), "{service} has no address yet");
    Ok(address)
}

fn announced_by(cluster: &Cluster<'_>, node: &str) -> anyhow::Result<String> {
    let told = announcements(cluster)?;
    let line = told.lines().find_map(|line| line.strip_suffix(&format!(" {node}")));
    match line {
        Some(service) => address_of(cluster, service),
        None => anyhow::bail!("{node} answers for nothing: {told}"),
    }
}

/// The hardware address that answered the client last for an address of the hosts' network.
fn neighbour(client: &Host, address: &str) -> anyhow::Result<String> {
    let told = client.sh(&format!("ip neigh show to {address}"))?;
    let found = told.split_once("lladdr ").and_then(|(_, rest)| rest.split_whitespace().next());
    found.map(str::to_owned).with_context(|| format!("{address} has no neighbour: {told}"))
}

/// What is no longer listed goes, but for volumes and what others put beside it; and all of it when that is asked for.
fn assert_add_ons_go(site: &mut Site) -> anyhow::Result<()> {
    let gone = |site: &Site, what: &str| site.cluster("cp1").kubectl(&format!("get {what} --ignore-not-found -o name"));
    site.cluster("cp1").kubectl("-n metallb-system create configmap theirs")?;
    site.set_addons("addons: [metrics-server]")?;
    let said = site.run(&[])?.succeeded()?;
    ensure!(said.contains("stays"), "{said}");
    for what in [
        "deployment/controller -n metallb-system",
        "crd/ipaddresspools.metallb.io",
        "namespace/local-path-storage",
        "storageclass/local-path",
    ] {
        let left = gone(site, what)?;
        ensure!(left.is_empty(), "{left} is there still");
    }
    for what in [
        "namespace/metallb-system",
        "configmap/theirs -n metallb-system",
        "pvc/data",
        "apiservice/v1beta1.metrics.k8s.io",
    ] {
        ensure!(!gone(site, what)?.is_empty(), "{what} is gone");
    }
    site.run(&["--assert-no-op"])?.succeeded()?;
    site.run(&["--prune-data"])?.succeeded()?;
    let left = gone(site, "namespace/metallb-system")?;
    ensure!(left.is_empty(), "{left} is there still");
    site.run(&["--assert-no-op", "--prune-data"])?.succeeded().map(drop)
}
