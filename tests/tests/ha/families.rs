//! Clusters whose pods and Services have IPv6 addresses: beside IPv4, and alone.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use lab::cluster::{Cluster, eventually};
use serde_json::Value;

use crate::site::{Member, Site};
use crate::traffic::EVERYWHERE;

/// A Service of every family that the cluster has, with a port on every node.
const OF_ALL_FAMILIES: &str = "
apiVersion: v1
kind: Service
metadata: {name: families}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
";

/// An address in a URL.
fn in_url(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

fn texts(values: &Value) -> Vec<String> {
    let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
    values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether there is one address of each wanted family, IPv6 last or alone.
fn assert_families(what: &str, addresses: &[String], wanted: &[&str]) -> anyhow::Result<()> {
    let family = |text: &String| Ok(if text.parse::<IpAddr>()?.is_ipv6() { "IPv6" } else { "IPv4" });
    let found = addresses.iter().map(family).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(found == wanted, "{what} has {addresses:?}, and not one of each of {wanted:?}");
    Ok(())
}

/// Services of each family answer to hosts and pods, pods of different hosts reach each other, and names have addresses of each.
fn assert_serves(site: &Site, wanted: &[&str]) -> anyhow::Result<()> {
    let cluster = site.cluster("cp1");
    cluster.assert_nodes_ready(2)?;
    cluster.deploy_web()?;
    cluster.apply(OF_ALL_FAMILIES)?;
    let service = cluster.json("get service families")?;
    let addresses = texts(&service["spec"]["clusterIPs"]);
    assert_families("the Service", &addresses, wanted)?;
    assert_pods_reach_each_other(&cluster, wanted)?;
    for address in &addresses {
        let url = format!("http://{}/", in_url(address));
        for member in ["cp1", "w1"] {
            eventually(&format!("{url} to answer to {member}"), || {
                let said = site.host(member).sh(&format!("curl -sS --max-time 5 '{url}'"))?;
                ensure!(said.starts_with("served by web-"), "{said}");
                Ok(())
            })?;
        }
        eventually(&format!("{url} to answer to a pod"), || {
            let said = cluster.kubectl(&format!("exec deployment/web -- timeout 5 wget -qO- '{url}'"))?;
            ensure!(said.starts_with("served by web-"), "{said}");
            Ok(())
        })?;
    }
    let name = "families.default.svc.cluster.local";
    eventually("the name to have every address", || {
        let said = cluster.kubectl(&format!("exec deployment/web -- nslookup {name}"))?;
        ensure!(addresses.iter().all(|address| said.contains(address.as_str())), "{addresses:?}: {said}");
        Ok(())
    })?;
    let node = site.host("w1").ipv6_address();
    eventually("the port on a node, by IPv6", || {
        let said = site.host("cp1").sh(&format!("curl -sS --max-time 5 'http://[{node}]:30080/'"))?;
        ensure!(said.starts_with("served by web-"), "{said}");
        Ok(())
    })?;
    cluster.assert_logs_and_exec()?;
    cluster.assert_nothing_was_pulled()
}

fn assert_pods_reach_each_other(cluster: &Cluster<'_>, wanted: &[&str]) -> anyhow::Result<()> {
    cluster.apply(EVERYWHERE)?;
    cluster.kubectl("rollout status daemonset/everywhere --timeout=180s")?;
    let pods = cluster.json("get pods -l app=everywhere --field-selector=status.phase=Running")?;
    let pods = pods["items"].as_array().context("no items")?;
    let nodes: BTreeSet<_> = pods.iter().map(|pod| pod["spec"]["nodeName"].to_string()).collect();
    ensure!(nodes.len() == 2, "pods on {nodes:?}, not on each of 2 nodes");
    let mut addresses = Vec::new();
    for pod in pods {
        let entries = pod["status"]["podIPs"].as_array().context("no addresses")?;
        let own: Vec<_> = entries.iter().filter_map(|entry| entry["ip"].as_str()).map(str::to_owned).collect();
        assert_families("a pod", &own, wanted)?;
        addresses.extend(own);
    }
    for pod in pods {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        for address in &addresses {
            let ask = format!("exec {name} -- timeout 5 wget -qO- 'http://{}:8080/'", in_url(address));
            eventually(&format!("{name} to reach {address}"), || {
                let said = cluster.kubectl(&ask)?;
                ensure!(said.starts_with("everywhere-"), "{said}");
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn two() -> Vec<Member> {
    vec![Member::new("cp1", 1, "control-plane, etcd"), Member::new("w1", 2, "worker")]
}

/// Two hosts of both families with this pod network, through an installation, a second run and a reset.
fn serves_by_both_families(lab: &str, cni: &str) -> anyhow::Result<()> {
    let [control_plane, worker] = ["second-address: 'fd00:77::11'", "second-address: 'fd00:77::12'"];
    let mut members = two().into_iter();
    let members = vec![members.next().context("two")?.with(control_plane), members.next().context("two")?.with(worker)];
    let mut site = Site::boot(lab, cni, members)?;
    site.lab.add_ipv6()?;
    site.set_network(format!(
        "{{cni: {cni}, pod-cidr: [10.244.0.0/16, 'fd00:244::/56'], service-cidr: [10.96.0.0/12, 'fd00:96::/112']}}"
    ))?;
    let before = site.snapshots()?;
    site.run(&[])?.succeeded()?;
    assert_serves(&site, &["IPv4", "IPv6"])?;
    site.run(&["--assert-no-op"])?.succeeded()?;
    site.command(&["reset", "--all", "--yes"])?.succeeded()?;
    site.assert_clean(&before, "after a reset")?;
    site.down()
}

#[test]
#[ignore = "five minutes: ./ci/test nightly"]
fn a_cluster_of_both_families_serves_by_both_and_is_removed_without_a_trace() -> anyhow::Result<()> {
    serves_by_both_families("ha-dual", "bridge")
}

#[test]
#[ignore = "six minutes: ./ci/test nightly"]
fn calico_serves_by_both_families() -> anyhow::Result<()> {
    serves_by_both_families("ha-dual-calico", "calico")
}

#[test]
#[ignore = "five minutes: ./ci/test nightly"]
fn flannel_serves_by_both_families() -> anyhow::Result<()> {
    serves_by_both_families("ha-dual-flannel", "flannel")
}

#[test]
#[ignore = "five minutes: ./ci/test nightly"]
fn a_cluster_of_ipv6_alone_serves() -> anyhow::Result<()> {
    let place = |member: Member, number: usize| {
        // SSH goes on over the lab's own addresses; of the cluster, nothing does.
        let ssh = format!("ssh: {{address: 10.77.0.{number}}}");
        member.at(&format!("fd00:77::{number}")).with(&ssh)
    };
    let members = two().into_iter().zip([11, 12]).map(|(member, number)| place(member, number)).collect();
    let mut site = Site::boot("ha-ipv6", "bridge", members)?;
    site.lab.add_ipv6()?;
    for member in ["cp1", "w1"] {
        site.host(member).sh("ip route del default")?;
    }
    site.set_network("{cni: bridge, pod-cidr: 'fd00:244::/56', service-cidr: 'fd00:96::/112'}".to_owned())?;
    site.run(&[])?.succeeded()?;
    assert_serves(&site, &["IPv6"])?;
    site.run(&["--assert-no-op"])?.succeeded()?;
    site.down()
}
