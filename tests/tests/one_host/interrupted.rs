//! A run that is killed after any of its steps, or anywhere inside of kubeadm, is completed by the next.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::Context as _;
use lab::{Host, Lab};
use serde_json::Value;

use lab::cluster::{Cluster, install};
use lab::connected::{NEWEST, OLDEST, STICK, carried};
use lab::cut_off::Point;

const RUN: &str = "exec ./kinstall run bundle.tar.zst --key signing.pub --output json";

/// Runs until `kill_at` says so of an event, then kills the program with SIGKILL. `None` when it ended by itself.
fn run_until(host: &Host, kill_at: impl Fn(&Value) -> bool) -> anyhow::Result<Option<String>> {
    let script = format!("cd {STICK} && echo $$ > /tmp/kinstall-under-test && {RUN}");
    let mut child = host.ssh().arg(script).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let events = BufReader::new(child.stdout.take().unwrap());
    let mut last = String::new();
    for line in events.lines() {
        let line = line?;
        let event: Value = serde_json::from_str(&line)?;
        // After its last step a program may be gone before the signal comes; it has then ended by itself.
        if kill_at(&event) && host.exec(&["sh", "-c", "kill -9 $(cat /tmp/kinstall-under-test)"])?.status.success() {
            child.wait()?;
            return Ok(event["step"].as_str().map(str::to_owned));
        }
        last = line;
    }
    anyhow::ensure!(child.wait()?.success(), "the run ended with an error: {last}");
    Ok(None)
}

#[test]
fn a_run_killed_after_each_step_in_turn_is_completed_by_the_next() -> anyhow::Result<()> {
    let lab = Lab::boot("one-killed", 1)?;
    let host = &lab.hosts()[0];
    carried(NEWEST, "bridge").carry_into(host)?;
    let mut killed_after: Vec<String> = Vec::new();
    // Each round does the steps that earlier rounds completed (finding nothing to do) and one more, then is killed.
    while let Some(step) = run_until(host, |event| {
        event["event"] == "step-done" && !killed_after.iter().any(|step| event["step"] == step.as_str())
    })? {
        killed_after.push(step);
        anyhow::ensure!(killed_after.len() < 100, "the steps do not come to an end: {killed_after:?}");
    }
    assert!(killed_after.len() >= 15, "only {} steps were seen: {killed_after:?}", killed_after.len());

    works(host)?;
    lab.down()
}

#[test]
#[ignore = "two minutes: ./ci/test nightly"]
fn a_run_killed_within_its_longest_steps_is_completed_by_the_next() -> anyhow::Result<()> {
    let lab = Lab::boot("one-within", 1)?;
    let host = &lab.hosts()[0];
    carried(NEWEST, "bridge").carry_into(host)?;
    for step in ["programs", "images", "control-plane"] {
        let within = run_until(host, |event| {
            let started = event["event"] == "step-started" && event["step"] == step;
            if started {
                std::thread::sleep(std::time::Duration::from_secs(2));
            }
            started
        })?;
        assert_eq!(within.as_deref(), Some(step), "the run never came to {step}");
    }
    assert_eq!(run_until(host, |_| false)?, None);
    works(host)?;
    lab.down()
}

fn works(host: &Host) -> anyhow::Result<()> {
    let cluster = Cluster::new(host);
    cluster.assert_nodes_ready(1)?;
    cluster.deploy_web()?;
    cluster.assert_web_answers()
}

/// In about the order in which `kubeadm init` comes to them, which differs between versions.
const POINTS: [Point; 7] = [
    Point::new("certificates", "test -e /etc/kubernetes/pki/ca.crt"),
    Point::new("kubeconfigs", "test -e /etc/kubernetes/admin.conf"),
    Point::new("the kubelet's configuration", "test -e /var/lib/kubelet/config.yaml"),
    WITHOUT_RIGHTS,
    Point::new("its own configuration", "KUBECTL -n kube-system get configmap kubeadm-config"),
    Point::new("what joining hosts read", "KUBECTL -n kube-public get configmap cluster-info"),
    Point::new(
        "add-ons",
        "KUBECTL -n kube-system get deployment/coredns || KUBECTL -n kube-system get daemonset/kube-proxy",
    ),
];

/// From 1.29 on kubeadm gives the administrator his rights only after the API server is ready; a slow host is cut there by itself.
const WITHOUT_RIGHTS: Point = Point::new(
    "an API server that gives the administrator no rights yet",
    "test -e /etc/kubernetes/manifests/kube-scheduler.yaml && systemctl is-active --quiet kubelet && test -e /var/lib/kubelet/config.yaml",
)
.and_then("curl -sk --max-time 2 https://127.0.0.1:6443/readyz | grep -qx ok");

/// Runs until kubeadm has come to the point, where it and kinstall are killed.
fn cut_off_at(host: &Host, point: &Point) -> anyhow::Result<()> {
    point.cut_off(host)?;
    let output = host.exec(&["sh", "-c", &format!("cd {STICK} && ./kinstall run bundle.tar.zst --key signing.pub")])?;
    anyhow::ensure!(output.status.code() != Some(0), "the run was not cut off at {}:\n{}", point.name, output.stdout);
    Ok(())
}

fn is_completed_after_a_cut_at(points: &[Point], lab: &str, kubernetes: &str) -> anyhow::Result<()> {
    let lab = Lab::boot(lab, 1)?;
    let host = &lab.hosts()[0];
    carried(kubernetes, "bridge").carry_into(host)?;
    for point in points {
        cut_off_at(host, point).with_context(|| point.name)?;
        let status = host.exec(&["sh", "-c", &format!("{STICK}/kinstall status")])?;
        let said = format!("{}{}", status.stdout, status.stderr);
        anyhow::ensure!(
            status.status.code() != Some(0) && said.contains("control-plane"),
            "{}: status does not tell of the step that was cut off:\n{said}",
            point.name
        );
        install(host).with_context(|| point.name)?;
        works(host).with_context(|| point.name)?;
        host.sh(&format!("{STICK}/kinstall reset --yes"))?;
    }
    lab.down()
}

#[test]
fn a_kubeadm_killed_before_the_administrator_has_rights_is_completed_by_the_next_run() -> anyhow::Result<()> {
    is_completed_after_a_cut_at(&[WITHOUT_RIGHTS], "one-rights", NEWEST)
}

#[test]
#[ignore = "fifteen minutes: ./ci/test nightly"]
fn a_kubeadm_killed_anywhere_is_completed_by_the_next_run() -> anyhow::Result<()> {
    for kubernetes in [OLDEST, NEWEST] {
        is_completed_after_a_cut_at(&POINTS, "one-cut", kubernetes)?;
    }
    Ok(())
}
