//! The main way: install, use, install again, reboot, reset.

use lab::Lab;

use lab::cluster::{Cluster, install};
use lab::connected::{STICK, carried};
use lab::files::Snapshot;

#[test]
fn a_cluster_serves_survives_a_reboot_and_is_removed_without_a_trace() -> anyhow::Result<()> {
    let carried = carried();
    let lab = Lab::boot("one-install", 1)?;
    let host = &lab.hosts()[0];
    carried.carry_into(host)?;
    let before = Snapshot::of(host)?;

    let planned = host.sh(&format!("cd {STICK} && ./kinstall run bundle.tar.zst --key signing.pub --dry-run"))?;
    assert!(planned.contains("containerd"), "{planned}");
    before.assert_same(&Snapshot::of(host)?, "after a dry run");

    install(host)?;
    let cluster = Cluster::new(host);
    cluster.assert_nodes_ready(1)?;
    cluster.deploy_web()?;
    cluster.assert_web_answers()?;
    if carried.has_dns {
        cluster.assert_names_resolve()?;
    }
    cluster.assert_logs_and_exec()?;
    cluster.assert_secrets_are_encrypted()?;
    cluster.assert_nothing_was_pulled()?;
    let status = host.sh("kinstall status --output json")?;
    serde_json::from_str::<serde_json::Value>(&status)?;

    let again = host.sh(&format!("cd {STICK} && ./kinstall run bundle.tar.zst --key signing.pub --output json"))?;
    let changed: Vec<_> = again
        .lines()
        .map(serde_json::from_str::<serde_json::Value>)
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .filter(|event| event["event"] == "step-done" && event["changed"] == true)
        .collect();
    assert!(again.contains("step-done"), "{again}");
    assert_eq!(changed, Vec::<serde_json::Value>::new(), "a second run changed something");

    host.reboot()?;
    cluster.assert_nodes_ready(1)?;
    cluster.assert_web_answers()?;
    if carried.has_dns {
        cluster.assert_names_resolve()?;
    }
    cluster.assert_nothing_was_pulled()?;

    cluster.assert_a_removed_image_comes_back()?;

    host.sh(&format!("{STICK}/kinstall reset --yes"))?;
    before.assert_same(&Snapshot::of(host)?, "after a reset");
    lab.down()
}
