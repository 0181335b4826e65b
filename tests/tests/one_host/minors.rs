//! Every minor that a user may choose, each night: `./ci/test minors`.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use kbundle::catalog::{Catalog, Release};
use kbundle_format::KubeVersion;

use crate::install::serves_survives_a_reboot_and_is_removed_without_a_trace;
use lab::connected::Carried;
use lab::{mirror_tree, repository};

/// Releases to run instead of all that the mirror has, separated by spaces.
const CHOICE: &str = "KBUNDLE_MINORS";

#[test]
#[ignore = "takes minutes for each release, and needs a mirror of all minors: ./ci/test minors"]
fn every_minor_serves_survives_a_reboot_and_is_removed_without_a_trace() -> anyhow::Result<()> {
    let mirrored = Catalog::read(&[mirror_tree()?.join("catalog.yaml")])?.releases;
    let built_in: Vec<_> = Catalog::built_in()?.releases.into_keys().collect();
    let chosen = chosen(&mirrored, &built_in)?;
    let mut ran = BTreeMap::new();
    for version in chosen {
        let started = Instant::now();
        say(&format!("== Kubernetes {version}"));
        let outcome = catch_unwind(AssertUnwindSafe(|| on_one_host(version)))
            .unwrap_or_else(|_| Err(anyhow::anyhow!("a check failed; its message is above")));
        if let Err(error) = &outcome {
            say(&format!("Kubernetes {version} failed: {error:#}"));
        }
        ran.insert(version, (outcome.is_ok(), started.elapsed()));
    }
    say(&report(&ran, &mirrored, &built_in));
    let failed: Vec<_> = ran.iter().filter(|(_, (passed, _))| !passed).map(|(version, _)| version).collect();
    ensure!(failed.is_empty(), "Kubernetes {failed:?} failed; the messages are above");
    Ok(())
}

/// What is run: all of the mirror, which then has every minor of the built-in catalog, or what the environment names.
pub(crate) fn chosen(
    mirrored: &BTreeMap<KubeVersion, Release>,
    built_in: &[KubeVersion],
) -> anyhow::Result<Vec<KubeVersion>> {
    let fill = "tests/lab/mirror/fill --minors builds them";
    let Ok(choice) = env::var(CHOICE) else {
        let minors = |versions: &mut dyn Iterator<Item = &KubeVersion>| versions.map(KubeVersion::minor).collect();
        let (wanted, there): (BTreeSet<_>, BTreeSet<_>) = (minors(&mut built_in.iter()), minors(&mut mirrored.keys()));
        let missing: Vec<_> = wanted.difference(&there).map(|(major, minor)| format!("{major}.{minor}")).collect();
        ensure!(missing.is_empty(), "the mirror lacks minors of the built-in catalog: {}; {fill}", missing.join(", "));
        return Ok(mirrored.keys().copied().collect());
    };
    let chosen = choice.split_whitespace().map(str::parse).collect::<Result<Vec<KubeVersion>, _>>()?;
    ensure!(!chosen.is_empty(), "{CHOICE} names no release");
    for version in &chosen {
        ensure!(mirrored.contains_key(version), "the mirror has no Kubernetes {version}; {fill}");
    }
    Ok(chosen)
}

/// The bundles are gone afterwards: those of all minors would take gigabytes.
fn on_one_host(version: KubeVersion) -> anyhow::Result<()> {
    let target = repository().join("target");
    let folder = tempfile::tempdir_in(target).context("no folder for the bundles")?;
    let carried = Carried::build(folder.path(), &version.to_string(), "calico")?;
    let lab = format!("minor-{}", version.minor().1);
    serves_survives_a_reboot_and_is_removed_without_a_trace(&lab, &carried)
}

/// What ran with what and how long, and which rows of the built-in catalog did not and why.
fn report(
    ran: &BTreeMap<KubeVersion, (bool, Duration)>,
    mirrored: &BTreeMap<KubeVersion, Release>,
    built_in: &[KubeVersion],
) -> String {
    let mut lines = vec!["== Every minor on one host: what ran".to_owned()];
    for (version, (passed, took)) in ran {
        let parts = ["containerd", "runc", "etcd", "cni-plugins"];
        let with = |name: &&str| mirrored[version].components.get(*name).map(|of| format!("{name} {of}"));
        let with: Vec<_> = parts.iter().filter_map(with).collect();
        let outcome = if *passed { "passed" } else { "FAILED" };
        let in_catalog = if built_in.contains(version) { "" } else { "; not in the built-in catalog" };
        let took = took.as_secs();
        lines.push(format!("{version}  {outcome} in {took} s  ({}{in_catalog})", with.join(", ")));
    }
    lines.push("== Rows of the built-in catalog that did not run".to_owned());
    for row in built_in.iter().filter(|row| !ran.contains_key(row)) {
        let instead = ran.keys().find(|version| version.minor() == row.minor());
        let reason = instead.map_or("its minor was not asked for".to_owned(), |one| format!("its minor ran as {one}"));
        lines.push(format!("{row}  {reason}"));
    }
    lines.join("\n")
}

#[expect(clippy::print_stdout, reason = "a report for people, who run this with --nocapture")]
fn say(text: &str) {
    println!("{text}");
}

#[test]
fn the_report_names_what_ran_and_the_rows_that_did_not() {
    let [old, new, patched, unlisted] =
        ["1.35.4", "1.36.3", "1.36.2", "1.37.2"].map(|version| version.parse::<KubeVersion>().unwrap());
    let parts = BTreeMap::from([("containerd".to_owned(), "2.3.4".to_owned())]);
    let release = Release { components: parts, images: Vec::new(), addons: BTreeMap::new() };
    let mirrored = BTreeMap::from([(new, release.clone()), (unlisted, release)]);
    let ran = BTreeMap::from([(new, (true, Duration::from_secs(90))), (unlisted, (false, Duration::from_secs(7)))]);
    let said = report(&ran, &mirrored, &[old, new, patched]);
    for line in [
        "1.36.3  passed in 90 s  (containerd 2.3.4)",
        "1.37.2  FAILED in 7 s  (containerd 2.3.4; not in the built-in catalog)",
        "1.35.4  its minor was not asked for",
        "1.36.2  its minor ran as 1.36.3",
    ] {
        assert!(said.lines().any(|one| one == line), "no line `{line}` in\n{said}");
    }
}
