//! A kubeadm that is killed while a host joins, with the kinstall on that host: the leading kinstall connects again and completes the join.

use anyhow::{Context as _, ensure};
use lab::connected::{NEWEST, OLDEST, carried};
use lab::cut_off::Point;

use crate::site::{Member, Site};
use crate::traffic::assert_all_works;

/// In about the order in which the join of a control plane comes to them.
const CONTROL_PLANE: [Point; 7] = [
    Point::new("certificates", "test -e /etc/kubernetes/pki/apiserver.crt"),
    Point::new("kubeconfigs", "test -e /etc/kubernetes/controller-manager.conf"),
    Point::new("manifests", "test -e /etc/kubernetes/manifests/kube-apiserver.yaml"),
    Point::new("the token", "test -e /etc/kubernetes/bootstrap-kubelet.conf"),
    Point::new("the kubelet's configuration", "test -e /var/lib/kubelet/config.yaml"),
    Point::new("a kubelet without a credential", "systemctl is-active --quiet kubelet"),
    Point::new("the kubelet's credential", "test -e /etc/kubernetes/kubelet.conf"),
];
/// The same for a worker.
const WORKER: [Point; 3] = [
    Point::new("the token", "test -e /etc/kubernetes/bootstrap-kubelet.conf"),
    Point::new("the kubelet's configuration", "test -e /var/lib/kubelet/config.yaml"),
    Point::new("the kubelet's credential", "test -e /etc/kubernetes/kubelet.conf"),
];

#[test]
#[ignore = "twenty minutes: ./ci/test nightly"]
fn a_join_killed_anywhere_is_completed() -> anyhow::Result<()> {
    for kubernetes in [OLDEST, NEWEST] {
        is_completed_after_cuts(kubernetes).with_context(|| format!("Kubernetes {kubernetes}"))?;
    }
    Ok(())
}

fn is_completed_after_cuts(kubernetes: &str) -> anyhow::Result<()> {
    let first = Member::new("cp1", 1, "control-plane, etcd, worker");
    let joining: [(Member, &[Point]); 2] =
        [(Member::new("cp2", 2, "control-plane"), &CONTROL_PLANE), (Member::new("w1", 3, "worker"), &WORKER)];
    let mut members = vec![first];
    let mut site = Site::boot_with("ha-cut-joins", carried(kubernetes, "bridge"), 3, members.clone())?;
    site.run(&[])?.succeeded()?;
    for (member, points) in joining {
        let name = member.name;
        members.push(member);
        site = site.with(members.clone())?;
        for (number, point) in points.iter().enumerate() {
            if number > 0 {
                site.command(&["remove", name, "--yes"])?.succeeded()?;
            }
            is_completed_after_a_cut_at(&site, name, point)
                .with_context(|| format!("{name}, cut off at {}", point.name))?;
        }
    }
    assert_all_works(&site, &["cp1", "cp2"], 3)?;
    let marked = site.cluster("cp1").kubectl("get nodes -l node-role.kubernetes.io/control-plane -o name")?;
    ensure!(marked.contains("node/cp2") && !marked.contains("node/w1"), "{marked}");
    site.run(&["--assert-no-op"])?.succeeded()?;
    site.down()
}

fn is_completed_after_a_cut_at(site: &Site, name: &str, point: &Point) -> anyhow::Result<()> {
    let host = site.host(name);
    point.cut_off(host)?;
    let ran = site.run(&[])?;
    let waits = host.exec(&["systemctl", "is-active", "cutter"])?.stdout;
    ensure!(waits.trim() != "active", "kubeadm did not come to this point:\n{}", ran.said);
    if ran.code != Some(0) {
        ran.failed(1, &[name, "hint:"])?;
        site.run(&[])?.succeeded()?;
    }
    host.sh("test ! -e /etc/kubernetes/bootstrap-kubelet.conf").map(drop)
}
