//! A run that is killed after any of its steps is completed by the next.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use lab::{Host, Lab};
use serde_json::Value;

use lab::cluster::Cluster;
use lab::connected::{STICK, carried};

const RUN: &str = "exec ./kinstall run bundle.tar.zst --key signing.pub --output json";

/// Runs until `kill_at` says so of an event, then kills the program with SIGKILL. `None` when it ended by itself.
fn run_until(host: &Host, kill_at: impl Fn(&Value) -> bool) -> anyhow::Result<Option<String>> {
    let script = format!("cd {STICK} && echo $$ > /run/kinstall-under-test && {RUN}");
    let mut child = host.ssh().arg(script).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let events = BufReader::new(child.stdout.take().unwrap());
    let mut last = String::new();
    for line in events.lines() {
        let line = line?;
        let event: Value = serde_json::from_str(&line)?;
        // After its last step a program may be gone before the signal comes; it has then ended by itself.
        if kill_at(&event) && host.exec(&["sh", "-c", "kill -9 $(cat /run/kinstall-under-test)"])?.status.success() {
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
    carried().carry_into(host)?;
    let mut killed_after: Vec<String> = Vec::new();
    // Each round does the steps that earlier rounds completed (finding nothing to do) and one more, then is killed.
    while let Some(step) = run_until(host, |event| {
        event["event"] == "step-done" && !killed_after.iter().any(|step| event["step"] == step.as_str())
    })? {
        killed_after.push(step);
        anyhow::ensure!(killed_after.len() < 100, "the steps do not come to an end: {killed_after:?}");
    }
    assert!(killed_after.len() >= 15, "only {} steps were seen: {killed_after:?}", killed_after.len());

    let cluster = Cluster::new(host);
    cluster.assert_nodes_ready(1)?;
    cluster.deploy_web()?;
    cluster.assert_web_answers()?;
    lab.down()
}

#[test]
fn a_run_killed_within_its_longest_steps_is_completed_by_the_next() -> anyhow::Result<()> {
    let lab = Lab::boot("one-within", 1)?;
    let host = &lab.hosts()[0];
    carried().carry_into(host)?;
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
    let cluster = Cluster::new(host);
    cluster.assert_nodes_ready(1)?;
    cluster.deploy_web()?;
    cluster.assert_web_answers()?;
    lab.down()
}
