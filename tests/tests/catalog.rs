//! What kbundle makes of every version of the built-in catalog, with its defaults, kinstall can plan from: for one host and for several, on
//! both architectures. The two programs meet here and nowhere else. Nothing is fetched, so that what nothing pins has digests of this test.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "../../installer/tests/program/fleet/cluster.rs"]
#[expect(dead_code, reason = "the bundle that it writes is for other tests")]
mod cluster;

use std::collections::BTreeSet;

use kbundle::catalog::Catalog;
use kbundle::lock::{Artifact, Descriptor, Lock, LockedImage, SCHEMA};
use kbundle::pack::Contents;
use kbundle::resolve::{Pin, SelectedArtifact, SelectedImage, Selection};
use kbundle::spec::{BundleSpec, Cni, LoadBalancer};
use kbundle_format::{BundleList, Compression, Digest, KubeVersion, PinSource, Platform, Role};
use kinstall::config::ClusterSpec;
use kinstall::facts::HostFacts;
use kinstall::inputs::Inputs;
use kinstall::plan::plan;
use kinstall::topology::Topology;

/// What a user asks for who says nothing but the version.
fn defaults(kubernetes: KubeVersion, platforms: &[&str]) -> BundleSpec {
    let platforms = platforms.iter().map(|platform| platform.parse().unwrap()).collect();
    BundleSpec {
        cni: Cni::from("calico".to_owned()),
        load_balancer: LoadBalancer::default(),
        ..BundleSpec::bare(kubernetes.into(), platforms)
    }
}

/// The list of the bundle that a build would make.
fn list_of(selection: Selection) -> BundleList {
    let Selection { kubernetes, platforms, sources, after, artifacts, images, charts: _, os_packages: _ } = selection;
    let images = images.iter().flat_map(|image| platforms.iter().map(|platform| locked(image, platform))).collect();
    let artifacts = artifacts.into_iter().map(fetched).collect();
    let lock = Lock { schema: SCHEMA, kubernetes, platforms, sources, after, artifacts, images };
    let bytes = Contents::of(&lock, Compression::at_level(3)).unwrap().list.to_bytes();
    BundleList::parse(&bytes).unwrap()
}

fn fetched(file: SelectedArtifact) -> Artifact {
    let (digest, pin) = match file.pin {
        Pin::Catalog(digest) => (digest, PinSource::Catalog),
        Pin::UpstreamChecksum(_) => (Digest::of(file.url.as_bytes()), PinSource::UpstreamChecksum),
        Pin::LocalFile(digest) => (digest, PinSource::LocalFile),
        Pin::Fetched(digest, source) => (digest, source),
        Pin::FirstUse => (Digest::of(file.url.as_bytes()), PinSource::TrustOnFirstUse),
    };
    let SelectedArtifact { path, url, kind, component, platform, roles, licence, pinned_by, host_file, .. } = file;
    Artifact { path, url, digest, size: Some(1), kind, component, platform, roles, licence, pin, pinned_by, host_file }
}

fn locked(image: &SelectedImage, platform: &Platform) -> LockedImage {
    let blob = |what: &str, media_type: &str| Descriptor {
        media_type: format!("application/vnd.oci.image.{media_type}"),
        digest: Digest::of(format!("{what} of {} for {platform}", image.reference).as_bytes()),
        size: 1,
    };
    LockedImage {
        inner_indexes: Vec::new(),
        reference: image.reference.clone(),
        platform: platform.clone(),
        pin: image.pin_source(),
        file: None,
        index: None,
        manifest: blob("manifest", "manifest.v1+json"),
        config: blob("config", "config.v1+json"),
        layers: vec![blob("layer", "layer.v1.tar+gzip")],
        roles: image.roles.clone(),
        licence: image.licence.clone(),
    }
}

/// A host of this platform, with the address of the first host.
fn facts(platform: &Platform) -> HostFacts {
    let facts = cluster::survey(1)["facts"].clone();
    HostFacts { platform: platform.clone(), ..serde_json::from_value(facts).unwrap() }
}

/// The titles of all steps of the host called `name`, or of the single host.
fn planned(list: &BundleList, spec: &ClusterSpec, platform: &Platform, name: Option<&str>) -> Vec<String> {
    let facts = facts(platform);
    let topology = Topology::seen_from(name, spec, &facts).unwrap();
    let inputs = Inputs { spec, facts: &facts, list, topology: &topology };
    let context = || format!("Kubernetes {} for {platform}, host {name:?}", list.kubernetes_version);
    let plan = plan(&inputs).unwrap_or_else(|error| panic!("{}: {error}", context()));
    plan.steps.into_iter().map(|step| format!("{}: {}", step.step.id(), step.title)).collect()
}

fn three_and_two() -> ClusterSpec {
    let server = vec![Role::ControlPlane, Role::Etcd];
    let roles = [server.clone(), server.clone(), server, vec![Role::Worker], vec![Role::Worker]];
    let hosts: Vec<_> = (1..).zip(roles).map(|(number, roles)| (format!("h{number}"), roles)).collect();
    ClusterSpec::parse(&cluster::description(&hosts)).unwrap()
}

#[test]
fn every_version_with_the_defaults_makes_a_plan() {
    let catalog = Catalog::built_in().unwrap();
    let several = three_and_two();
    let mut rows = 0;
    for (version, release) in &catalog.releases {
        let calico = format!("network: connect pods with calico {}", release.addons["calico"]);
        for platforms in [&["linux/amd64"][..], &["linux/arm64"], &["linux/amd64", "linux/arm64"]] {
            let list = list_of(catalog.select(&defaults(*version, platforms)).unwrap());
            for platform in &list.platforms {
                let alone = planned(&list, &ClusterSpec::default(), platform, None);
                assert!(alone.contains(&calico), "{version}: {alone:?}");
                for host in &several.hosts {
                    let steps = planned(&list, &several, platform, Some(host.name.as_str()));
                    let has = |id: &str| steps.iter().any(|step| step.starts_with(&format!("{id}: ")));
                    assert_eq!(steps.contains(&calico), host.name.as_str() == "h1", "{version}: {steps:?}");
                    assert_eq!(has("load-balancer"), host.roles.contains(&Role::Worker), "{version}: {steps:?}");
                    assert!(!has("bridge"), "{version}: {steps:?}");
                }
                rows += 1;
            }
        }
    }
    assert!(rows >= 40, "{rows} rows were looked at");
}

/// A host is sent the images of its roles alone: what runs there has to be among them.
#[test]
fn every_host_is_sent_the_images_of_its_pods() {
    let catalog = Catalog::built_in().unwrap();
    for version in catalog.releases.keys() {
        let list = list_of(catalog.select(&defaults(*version, &["linux/amd64"])).unwrap());
        let sent_to = |role: Role| -> BTreeSet<String> {
            let images = list.images.iter().filter(|image| image.roles.contains(&role));
            images.map(|image| image.reference.short_name().to_owned()).collect()
        };
        let (servers, workers) = (sent_to(Role::ControlPlane), sent_to(Role::Worker));
        for (role, sent, wanted) in [
            (
                "control planes",
                &servers,
                ["kube-apiserver", "pause", "kube-proxy", "coredns", "node", "cni", "kube-controllers"],
            ),
            ("workers", &workers, ["haproxy", "pause", "kube-proxy", "coredns", "node", "cni", "kube-controllers"]),
        ] {
            for image in wanted {
                assert!(sent.contains(image), "Kubernetes {version}, {role}: no {image} among {sent:?}");
            }
        }
        assert!(!servers.contains("haproxy") && !workers.contains("kube-apiserver"), "{version}");
    }
}
