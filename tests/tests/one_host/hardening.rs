//! The CIS benchmark: kube-bench fails only what `tests/hardening/exceptions.yaml` lists, with a reason that the host shows.

use anyhow::{Context as _, ensure};
use lab::Lab;
use lab::benchmark::{Verdict, exceptions, run, surprises};
use lab::cluster::{Cluster, install};
use lab::connected::{Carried, NEWEST, OLDEST, carried};

#[test]
#[ignore = "kube-bench has to be built: ./ci/test nightly"]
fn the_newest_release_fails_no_check_but_the_exceptions() -> anyhow::Result<()> {
    fails_no_check_but_the_exceptions("one-bench-new", carried(NEWEST, "bridge"), "cis-1.10")
}

#[test]
#[ignore = "kube-bench has to be built: ./ci/test nightly"]
fn the_oldest_release_fails_no_check_but_the_exceptions() -> anyhow::Result<()> {
    fails_no_check_but_the_exceptions("one-bench-old", carried(OLDEST, "bridge"), "cis-1.7")
}

fn fails_no_check_but_the_exceptions(lab: &str, carried: &Carried, profile: &str) -> anyhow::Result<()> {
    let lab = Lab::boot(lab, 1)?;
    let host = &lab.hosts()[0];
    carried.carry_into(host)?;
    install(host)?;
    Cluster::new(host).assert_nodes_ready(1)?;

    let found = run(host, profile)?;
    let count = |wanted| found.values().filter(|verdict| **verdict == wanted).count();
    let [pass, fail, warn] = [Verdict::Pass, Verdict::Fail, Verdict::Warn].map(count);
    println!("{profile} with Kubernetes {}: {pass} PASS, {fail} FAIL, {warn} WARN", carried.kubernetes);
    println!(
        "WARN: {:?}",
        found.iter().filter(|(_, v)| **v == Verdict::Warn).map(|(i, _)| i.to_string()).collect::<Vec<_>>()
    );
    let exceptions = exceptions()?;
    let told = surprises(&found, &exceptions, profile);
    ensure!(told.is_empty(), "{}", told.join("\n"));
    for exception in exceptions.iter().filter(|exception| exception.profiles.iter().any(|name| name == profile)) {
        host.sh(&exception.shown_by).with_context(|| format!("the reason of {} does not hold", exception.id))?;
    }
    lab.down()
}
