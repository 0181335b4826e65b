//! Decisions on recorded hosts: virtual machines with kernels of their own, whose modules the installation loads.

use super::{Subject, Verdict, examine};
use crate::config::ClusterSpec;
use crate::facts::{HostFacts, MODULES};
use crate::fixture::{self, recorded};
use crate::inputs::Inputs;
use crate::kubeadm::{configuration, host_settings};
use crate::topology::Topology;

const VERSIONS: [&str; 3] = ["1.25.2", "1.34.0", "1.36.3"];

/// The findings of preflight other than `pass`, without the advice.
fn notable(facts: &HostFacts, version: &str) -> Vec<String> {
    let (spec, kubernetes) = (ClusterSpec::default(), version.parse().ok());
    examine(&Subject { spec: &spec, facts, topology: None, kubernetes, brought: None }, &[])
        .into_iter()
        .filter(|finding| finding.verdict != Verdict::Pass)
        .map(|finding| format!("{version}: {} {:?}: {}", finding.check, finding.verdict, finding.found))
        .collect()
}

fn with_inputs<T>(facts: &HostFacts, version: &str, look: impl FnOnce(&Inputs<'_>) -> T) -> T {
    let spec = ClusterSpec::default();
    let topology = Topology::single(&spec, facts).unwrap();
    look(&Inputs { spec: &spec, facts, list: &fixture::list(version), topology: &topology })
}

/// The host after the installation, or a later boot, has loaded the modules.
fn with_modules_loaded(mut facts: HostFacts) -> HostFacts {
    facts.kernel.features = MODULES.iter().map(|&(name, _)| name.to_owned()).collect();
    facts
}

#[test]
fn cgroup_v2_is_taken_without_a_word_by_every_version() {
    insta::assert_debug_snapshot!(VERSIONS.map(|version| notable(&recorded("debian-12-cgroup-v2"), version)).concat(), @r#"
    [
        "1.25.2: clock Warn: 2026-11-27T15:24:11Z, and no known time service runs",
        "1.34.0: clock Warn: 2026-11-27T15:24:11Z, and no known time service runs",
        "1.36.3: clock Warn: 2026-11-27T15:24:11Z, and no known time service runs",
    ]
    "#);
}

#[test]
fn cgroup_v1_is_minded_as_upstream_minds_it() {
    insta::assert_debug_snapshot!(VERSIONS.map(|version| notable(&recorded("debian-12-cgroup-v1"), version)).concat(), @r#"
    [
        "1.25.2: clock Warn: 2026-11-27T15:41:33Z, and no known time service runs",
        "1.34.0: cgroups Warn: version 1, in maintenance mode since Kubernetes 1.31; Kubernetes 1.35 and later refuse it by default, and kinstall sets failCgroupV1 to false for this host",
        "1.34.0: clock Warn: 2026-11-27T15:41:33Z, and no known time service runs",
        "1.36.3: cgroups Warn: version 1; Kubernetes 1.35 and later refuse it by default, and kinstall sets failCgroupV1 to false for this host",
        "1.36.3: clock Warn: 2026-11-27T15:41:33Z, and no known time service runs",
    ]
    "#);
}

#[test]
fn modules_are_found_to_be_missing_and_loadable() {
    for (name, _) in fixture::RECORDED {
        let facts = recorded(name);
        let subject =
            Subject { spec: &ClusterSpec::default(), facts: &facts, topology: None, kubernetes: None, brought: None };
        let findings = examine(&subject, &[]);
        let found = findings.iter().find(|finding| finding.check.0 == "kernel-features").unwrap();
        assert_eq!(found.verdict, Verdict::Pass, "{name}: {}", found.found);
        assert!(found.found.contains("not loaded yet"), "{name}: {}", found.found);
    }
}

#[test]
fn only_a_host_with_cgroup_v1_tells_its_kubelet_to_take_it() {
    for (name, version, wanted) in [
        ("debian-12-cgroup-v1", "1.25.2", false),
        ("debian-12-cgroup-v1", "1.34.0", true),
        ("debian-12-cgroup-v1", "1.36.3", true),
        ("debian-12-cgroup-v2", "1.36.3", false),
    ] {
        let patch = with_inputs(&recorded(name), version, host_settings::patch);
        assert_eq!(patch.contains("failCgroupV1: false"), wanted, "{name}, {version}: {patch}");
    }
}

/// A second run refuses settings that differ from those of the first.
#[test]
fn the_configuration_is_the_same_once_the_modules_are_loaded() {
    for (name, _) in fixture::RECORDED {
        for version in VERSIONS {
            let before = with_inputs(&recorded(name), version, configuration).unwrap();
            let after = with_inputs(&with_modules_loaded(recorded(name)), version, configuration).unwrap();
            assert_eq!(before, after, "{name}, {version}");
            assert!(!before.contains("maxPerCore"), "{name}, {version}: kube-proxy is kept from setting what it may");
        }
    }
}
