//! Two unlike hosts in one cluster, by the facts of each: a Debian 12 with cgroup v1 on amd64, and an Ubuntu or RHEL with cgroup v2 on
//! arm64. Whatever depends on a host stays on that host, whichever host leads.

use std::collections::BTreeSet;

use kbundle_format::{ComponentName, Platform};

use crate::facts::{CgroupVersion, HostFacts};
use crate::fixture::{self, Cluster};
use crate::inputs::Inputs;
use crate::kubeadm::images::of_platform;
use crate::kubeadm::{configuration, host_settings};
use crate::plan::plan;
use crate::preflight::{Subject, Verdict, examine};

const DEBIAN: &str = "debian-12-cgroup-v1";
const OTHERS: [&str; 2] = ["Ubuntu 24.04", "RHEL 9"];

fn arm64() -> Platform {
    "linux/arm64".parse().unwrap()
}

fn debian() -> HostFacts {
    fixture::recorded(DEBIAN)
}

fn other(name: &str) -> HostFacts {
    let facts = HostFacts { platform: arm64(), ..fixture::of_distribution(name) };
    assert_eq!(facts.cgroups.version, CgroupVersion::V2, "{name}");
    facts
}

/// The decision about the host called `name` in a cluster with a bundle for both architectures.
fn decided<T>(facts: HostFacts, name: &str, look: impl FnOnce(&Inputs<'_>) -> T) -> T {
    let mut cluster = Cluster::of_three_and_two();
    let mut list = fixture::list("1.36.3");
    list.images.extend(cluster.list.images.into_iter().filter(|image| image.reference.short_name() == "haproxy"));
    cluster.list = fixture::for_both_architectures(list);
    cluster.facts = facts;
    let topology = cluster.seen_from(name);
    look(&cluster.inputs(&topology))
}

fn plan_of(inputs: &Inputs<'_>) -> String {
    let plan = plan(inputs).unwrap();
    let wanted = plan.steps.iter().filter(|step| ["programs", "containerd", "images"].contains(&step.step.id()));
    wanted.map(|step| step.title.clone()).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_host_gets_the_programs_of_its_own_architecture() {
    let kubelet = |inputs: &Inputs<'_>| {
        let entry = inputs.list.component(ComponentName::Kubelet, &inputs.facts.platform).unwrap();
        entry.path.as_str().to_owned()
    };
    for other_name in OTHERS {
        for (leader, worker) in [("c1", "w1"), ("w1", "c1")] {
            assert_eq!(decided(debian(), leader, kubelet), "artifacts/linux-amd64/kubelet");
            assert_eq!(decided(other(other_name), worker, kubelet), "artifacts/linux-arm64/kubelet");
        }
    }
    insta::assert_snapshot!(decided(debian(), "c1", plan_of), @"
    install containerd 2.0.5, runc 1.1.4, cni-plugins 1.2.0, crictl 1.25.0, etcd 3.5.24, kubelet 1.36.3, kubeadm 1.36.3, kubectl 1.36.3
    set up containerd 2.0.5
    load 7 images into containerd
    ");
    insta::assert_snapshot!(decided(other("Ubuntu 24.04"), "w1", plan_of), @"
    install containerd 2.0.5-arm64, runc 1.1.4-arm64, cni-plugins 1.2.0-arm64, crictl 1.25.0-arm64, etcd 3.5.24-arm64, kubelet 1.36.3-arm64, kubeadm 1.36.3-arm64, kubectl 1.36.3-arm64
    set up containerd 2.0.5-arm64
    load 7 images into containerd
    ");
}

#[test]
fn each_host_gets_the_images_of_its_own_architecture() {
    let images = |inputs: &Inputs<'_>| {
        let own = of_platform(inputs.list, &inputs.facts.platform);
        own.map(|image| (image.reference.to_string(), image.manifest)).collect::<BTreeSet<_>>()
    };
    let (debian, ubuntu) = (decided(debian(), "c1", images), decided(other("Ubuntu 24.04"), "w1", images));
    let names = |images: &BTreeSet<(String, _)>| images.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&debian), names(&ubuntu), "pods of one manifest run on both");
    let apiserver = |images: &BTreeSet<(String, kbundle_format::Digest)>| {
        images.iter().find(|(name, _)| name.contains("kube-apiserver")).unwrap().1
    };
    assert_ne!(apiserver(&debian), apiserver(&ubuntu));
}

#[test]
fn each_kubelet_is_told_of_its_own_host() {
    for (debian_name, other_name) in [("c1", "w1"), ("w1", "c1")] {
        let told = decided(debian(), debian_name, host_settings::patch);
        assert!(told.contains("failCgroupV1: false") && told.contains("resolvConf: /etc/resolv.conf"), "{told}");
        let told = decided(other("Ubuntu 24.04"), other_name, host_settings::patch);
        assert!(!told.contains("failCgroupV1"), "{told}");
        assert!(told.contains("resolvConf: /run/systemd/resolve/resolv.conf"), "{told}");
        let told = decided(other("RHEL 9"), other_name, host_settings::patch);
        assert!(!told.contains("failCgroupV1") && told.contains("resolvConf: /etc/resolv.conf"), "{told}");
    }
}

/// kubeadm's configuration for the whole cluster contains nothing of the host that led.
#[test]
fn the_cluster_is_the_same_whichever_of_them_leads() {
    let of_cluster = |facts| {
        let written = decided(facts, "c1", |inputs| configuration(inputs).unwrap());
        written
            .split("---\n")
            .filter(|part| !part.contains("kind: InitConfiguration"))
            .collect::<Vec<_>>()
            .join("---\n")
    };
    for name in OTHERS {
        assert_eq!(of_cluster(debian()), of_cluster(other(name)), "{name}");
    }
}

#[test]
fn preflight_judges_each_by_its_own_distribution() {
    let told = |facts: HostFacts, name: &str| {
        decided(facts, name, |inputs| {
            let kubernetes = Some(inputs.list.kubernetes_version);
            let subject = Subject {
                spec: inputs.spec,
                facts: inputs.facts,
                topology: Some(inputs.topology),
                kubernetes,
                brought: None,
            };
            let findings = examine(&subject, &[]).into_iter().filter(|finding| finding.verdict == Verdict::Warn);
            findings.map(|finding| finding.check.to_string()).collect::<Vec<_>>()
        })
    };
    assert!(told(debian(), "c1").contains(&"cgroups".to_owned()), "1.36 minds cgroup v1 of this host");
    assert!(!told(other("Ubuntu 24.04"), "w1").contains(&"cgroups".to_owned()));
}

#[test]
fn a_bundle_without_an_architecture_makes_no_plan_for_its_hosts() {
    let mut cluster = Cluster::of_three_and_two();
    cluster.facts = other("Ubuntu 24.04");
    let topology = cluster.seen_from("w1");
    let refusal = plan(&cluster.inputs(&topology)).err().unwrap().to_string();
    assert!(refusal.ends_with("for this host's platform"), "{refusal}");
}
