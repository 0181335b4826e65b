//! What a cluster of several hosts has to do to pass.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use lab::Host;
use lab::cluster::{Cluster, eventually};
use serde_json::Value;

use crate::site::Site;

/// A pod on every node, the control plane's too.
pub const EVERYWHERE: &str = r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: everywhere}
spec:
  selector: {matchLabels: {app: everywhere}}
  template:
    metadata: {labels: {app: everywhere}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations: [{operator: Exists}]
      containers:
      - name: everywhere
        image: docker.io/library/busybox:1.35.0
        command: [sh, -c, "hostname > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"]
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
"#;

/// Pods on all nodes reach each other, a Service and its name; logs and exec work through the API server of each control plane.
pub fn assert_all_works(site: &Site, control_planes: &[&str], nodes: usize) -> anyhow::Result<()> {
    let cluster = site.cluster(control_planes[0]);
    cluster.assert_nodes_ready(nodes)?;
    cluster.deploy_web()?;
    assert_pods_reach_each_other(&cluster, nodes)?;
    cluster.assert_web_answers()?;
    cluster.assert_names_resolve()?;
    for control_plane in control_planes {
        Cluster::through(site.host(control_plane))
            .assert_logs_and_exec()
            .with_context(|| (*control_plane).to_owned())?;
    }
    cluster.assert_nothing_was_pulled()
}

/// A pod on every node asks a pod on every node, and the Service.
pub fn assert_pods_reach_each_other(cluster: &Cluster<'_>, nodes: usize) -> anyhow::Result<()> {
    cluster.apply(EVERYWHERE)?;
    cluster.kubectl("rollout status daemonset/everywhere --timeout=120s")?;
    let pods = cluster.json("get pods -l app=everywhere --field-selector=status.phase=Running")?;
    let pods = pods["items"].as_array().context("no items")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let hosts: BTreeSet<_> = pods.iter().map(|pod| text(&pod["spec"]["nodeName"])).collect();
    ensure!(
        pods.len() == nodes && hosts.len() == nodes,
        "{} pods on {hosts:?}, not one on each of {nodes}",
        pods.len()
    );
    let addresses: Vec<_> = pods.iter().map(|pod| text(&pod["status"]["podIP"])).collect();
    let service = cluster.web_address()?;
    let ask = format!(
        "for a in {}; do timeout 5 wget -qO- http://$a:8080/ || echo none from $a; done; timeout 5 wget -qO- http://{service}/",
        addresses.join(" ")
    );
    for pod in pods {
        let name = text(&pod["metadata"]["name"]);
        eventually(&format!("{name} to reach all pods"), || {
            let answers = cluster.kubectl(&format!("exec {name} -- sh -c '{ask}'"))?;
            let pods = answers.lines().filter(|line| line.starts_with("everywhere-")).collect::<BTreeSet<_>>().len();
            ensure!(
                pods == nodes && answers.contains("served by web-"),
                "on {}: {answers}",
                text(&pod["spec"]["nodeName"])
            );
            Ok(())
        })?;
    }
    Ok(())
}

/// A new pod gets a node and runs.
pub fn assert_new_pods_run(cluster: &Cluster<'_>, name: &str) -> anyhow::Result<()> {
    cluster.kubectl(&format!("create deployment {name} --image=docker.io/library/busybox:1.35.0 -- sleep 100000"))?;
    cluster.kubectl(&format!("rollout status deployment/{name} --timeout=120s"))?;
    cluster.kubectl(&format!("delete deployment {name} --wait=false")).map(drop)
}

/// etcd has so many members, and all are healthy; asked on one of their hosts.
pub fn assert_etcd_healthy(host: &Host, members: usize) -> anyhow::Result<()> {
    let etcdctl = "etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt \
                   --cert=/etc/etcd/pki/peer.crt --key=/etc/etcd/pki/peer.key";
    eventually("etcd to be healthy", || {
        let health = host.sh(&format!("{etcdctl} endpoint health --cluster 2>&1"))?;
        let healthy = health.lines().filter(|line| line.contains("is healthy")).count();
        ensure!(healthy == members, "{members} healthy members, not: {health}");
        let list = host.sh(&format!("{etcdctl} member list"))?;
        ensure!(list.lines().count() == members, "{members} members, not: {list}");
        Ok(())
    })
}

/// The API server of this control plane is ready and knows all nodes as Ready.
pub fn assert_api_server_works(host: &Host, nodes: usize) -> anyhow::Result<()> {
    let cluster = Cluster::through(host);
    eventually("the API server", || cluster.kubectl("get --raw /readyz"))?;
    cluster.assert_nodes_ready(nodes)
}
