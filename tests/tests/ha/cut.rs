//! The connection to the hosts is cut while kinstall works on them: in the middle of every stage.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::site::{Site, five, stage_begins};
use crate::traffic::assert_all_works;

/// kinstall's own names of its stages, in their order. Preflight only thinks over what the hosts said.
const STAGES: [&str; 9] =
    ["connect", "bundle", "prepare", "etcd", "first-control-plane", "control-planes", "workers", "network", "finish"];
/// Those of them that may be over in a second.
const SHORT: [&str; 3] = ["connect", "network", "finish"];
/// Deep enough into another for its work to have begun.
const INTO: Duration = Duration::from_millis(1500);

/// Longer than kinstall takes to give up on hosts that it cannot reach again.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(90);

/// Cuts the connections so that both ends notice: kills the `ssh` processes. Returns their number.
fn kill_connections(site: &Site) -> anyhow::Result<usize> {
    let connections = site.lab.management_processes("ssh")?;
    for pid in &connections {
        kill(Pid::from_raw(*pid), Signal::SIGKILL)
            .or_else(|errno| if errno == nix::errno::Errno::ESRCH { Ok(()) } else { Err(errno) })?;
    }
    Ok(connections.len())
}

/// Keeps the line cut: every connection, also at a second attempt, is cut until kinstall has given up.
fn keep_cut(site: &Site) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut cut = 0;
    while !site.lab.management_processes("kinstall")?.is_empty() {
        ensure!(started.elapsed() < GIVES_UP_WITHIN, "kinstall still runs, {cut} connections cut");
        cut += kill_connections(site)?;
        sleep(Duration::from_millis(200));
    }
    ensure!(cut > 0, "there was no connection to cut");
    Ok(())
}

#[test]
#[ignore = "long: ./ci/test nightly"]
fn a_run_whose_connections_are_cut_in_any_stage_is_completed_by_the_next() -> anyhow::Result<()> {
    let site = Site::boot("ha-cut", "bridge", five())?;
    for stage in STAGES {
        if stage == "workers" {
            cut_once(&site, stage)?;
            continue;
        }
        let (ran, came) = site.run_until(
            |event| stage_begins(event, stage),
            || {
                sleep(if SHORT.contains(&stage) { Duration::from_millis(200) } else { INTO });
                keep_cut(&site)
            },
        )?;
        ensure!(came, "the run never came to `{stage}`:\n{}", ran.said);
        // Refused, where nothing was changed yet.
        let code = if ran.code == Some(3) { 3 } else { 1 };
        let said = ran.failed(code, &["hint:"]).with_context(|| format!("cut in `{stage}`"))?;
        ensure!(["cp1", "cp2", "cp3", "w1", "w2"].iter().any(|name| said.contains(name)), "no host is named:\n{said}");
    }
    site.run(&[])?.succeeded()?;
    assert_all_works(&site, &["cp1", "cp2", "cp3"], 5)?;
    site.run(&["--assert-no-op"])?.succeeded()?;
    site.down()
}

/// A single cut is not a failure: the hosts continue by themselves, and kinstall connects again.
fn cut_once(site: &Site, stage: &str) -> anyhow::Result<()> {
    let (ran, came) = site.run_until(
        |event| stage_begins(event, stage),
        || {
            sleep(INTO);
            ensure!(kill_connections(site)? > 0, "there was no connection to cut");
            Ok(())
        },
    )?;
    ensure!(came, "the run never came to `{stage}`:\n{}", ran.said);
    let said = ran.succeeded()?;
    ensure!(said.contains("connection-cut"), "nobody noticed the cut:\n{said}");
    Ok(())
}

/// A cable is pulled without notice at either end; kinstall has to notice it, and finish the work that does not need that host.
#[test]
#[ignore = "long: ./ci/test nightly"]
fn a_worker_whose_cable_is_pulled_is_named_and_the_others_are_finished() -> anyhow::Result<()> {
    let site = Site::boot("ha-cable", "bridge", five())?;
    let (ran, came) = site.run_until(|event| stage_begins(event, "prepare"), || site.host("w2").unplug())?;
    ensure!(came, "the run never came to `prepare`:\n{}", ran.said);
    ran.failed(1, &["w2", "hint:"])?;
    site.cluster("cp1").assert_nodes_ready(4)?;
    site.host("w2").plug()?;
    site.run(&[])?.succeeded()?;
    assert_all_works(&site, &["cp1", "cp2", "cp3"], 5)?;
    site.down()
}
