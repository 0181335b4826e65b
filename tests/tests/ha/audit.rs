//! `kinstall audit` of all hosts over SSH, from the management place.

use anyhow::{Context as _, ensure};
use lab::document_of;
use serde_json::Value;

use crate::site::{Member, Site};

fn audit(site: &Site) -> anyhow::Result<(Option<i32>, Value)> {
    let output = site
        .kinstall(&["audit", "--output", "json", "--key"])
        .arg(site.carried.file("signing.pub"))
        .arg("--config")
        .arg(site.config())
        .output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let document =
        document_of("kinstall", "audit", &String::from_utf8_lossy(&output.stdout)).with_context(|| stderr)?;
    Ok((output.status.code(), document))
}

fn verdicts(audit: &Value) -> Vec<(&str, &str)> {
    let hosts = audit["hosts"].as_array().into_iter().flatten();
    hosts.filter_map(|host| Some((host["host"].as_str()?, host["verdict"].as_str()?))).collect()
}

#[test]
#[ignore = "nine minutes: ./ci/test nightly"]
fn all_hosts_are_audited_from_one_and_a_drift_is_found_on_its_host() -> anyhow::Result<()> {
    let members = vec![
        Member::new("cp1", 1, "control-plane, etcd"),
        Member::new("w1", 2, "worker"),
        Member::new("w2", 3, "worker"),
    ];
    let site = Site::boot("ha-audit", "flannel", members)?;
    site.run(&[])?.succeeded()?;
    site.cluster("cp1").assert_nodes_ready(3)?;
    let (code, untouched) = audit(&site)?;
    ensure!(code == Some(0), "{code:?}: {untouched:#}");
    ensure!(verdicts(&untouched) == ["cp1", "w1", "w2"].map(|host| (host, "as-approved")), "{untouched:#}");

    // This is not a file of kinstall: only the comparison of hosts finds it.
    site.host("w1").sh("echo vm.swappiness=10 > /etc/sysctl.d/60-site.conf")?;
    let (code, differing) = audit(&site)?;
    let difference = &differing["differences"][0];
    ensure!(code == Some(4) && difference["subject"] == "/etc/sysctl.d/60-site.conf", "{code:?}: {difference:#}");
    site.host("w1").sh("rm /etc/sysctl.d/60-site.conf")?;

    site.host("w2").sh("chmod 0777 /usr/local/bin/kubelet")?;
    let (code, drifted) = audit(&site)?;
    ensure!(code == Some(4), "{code:?}: {drifted:#}");
    ensure!(
        verdicts(&drifted) == [("cp1", "as-approved"), ("w1", "as-approved"), ("w2", "drifted")],
        "{:?}",
        verdicts(&drifted)
    );
    site.host("w2").sh("chmod 0755 /usr/local/bin/kubelet")?;

    site.host("w2").unplug()?;
    let (code, unknown) = audit(&site)?;
    // Once the API says that its node is not ready, that is a drift of the first control plane.
    ensure!(
        code != Some(0) && verdicts(&unknown)[1..] == [("w1", "as-approved"), ("w2", "unknown")],
        "{code:?}: {unknown:#}"
    );
    site.host("w2").plug()?;
    site.down()
}
