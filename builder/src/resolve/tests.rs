use super::*;
use proptest::prelude::*;

fn spec(version: &str) -> BundleSpec {
    let platforms = BTreeSet::from(["linux/amd64".parse().unwrap()]);
    BundleSpec { unpinned: Unpinned::Refuse, ..BundleSpec::bare(version.parse().unwrap(), platforms) }
}

fn built_in() -> Catalog {
    Catalog::built_in().unwrap()
}

#[test]
fn selects_components_in_the_order_of_need_and_images_for_the_control_plane_first() {
    let selection = built_in().resolve(&spec("1.25.2")).unwrap();
    let names: Vec<_> = selection.artifacts.iter().map(|artifact| artifact.component.name.as_str()).collect();
    assert_eq!(names, ComponentName::OF_HOSTS.map(ComponentName::as_str));
    let images: Vec<_> = selection.images.iter().map(|image| image.reference.short_name()).collect();
    assert_eq!(
        images,
        ["pause", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns"]
    );
    assert!(selection.artifacts.iter().all(|artifact| matches!(artifact.pin, Pin::Catalog(_))));
}

#[test]
fn only_sources_that_have_something_of_it_are_named() {
    let names = |catalog: &Catalog| {
        let selection = catalog.resolve(&spec("1.25.2")).unwrap();
        selection.sources.into_iter().map(|source| source.name).collect::<Vec<_>>()
    };
    let folder = tempfile::tempdir().unwrap();
    let with = |requests: &[&str]| {
        let path = folder.path().join("site.yaml");
        let requests: Vec<_> = requests.iter().map(|request| request.parse().unwrap()).collect();
        fs_err::write(&path, serde_yaml::to_string(&built_in().file(&requests).unwrap()).unwrap()).unwrap();
        built_in().with(Catalog::read(&[path]).unwrap()).unwrap()
    };
    assert_eq!(names(&built_in()), ["built-in catalog"]);
    assert_eq!(names(&with(&["1.36"])), ["built-in catalog"]);
    assert_eq!(names(&with(&["1.25.2"])), ["site.yaml"]);
}

#[test]
fn both_platforms_lie_side_by_side() {
    let mut both = spec("1.25.2");
    both.platforms.insert("linux/arm64".parse().unwrap());
    let selection = built_in().resolve(&both).unwrap();
    assert_eq!(selection.artifacts.len(), 2 * ComponentName::OF_HOSTS.len());
    let paths: BTreeSet<_> = selection.artifacts.iter().map(|artifact| &artifact.path).collect();
    assert_eq!(paths.len(), selection.artifacts.len());
}

#[test]
fn an_add_on_brings_its_manifests_and_images() {
    let mut calico = spec("1.25.2");
    calico.cni = Cni::from("calico".to_owned());
    let selection = built_in().resolve(&calico).unwrap();
    let manifest = selection.artifacts.last().unwrap();
    assert_eq!((manifest.kind, manifest.path.as_str()), (EntryKind::Manifest, "manifests/calico/calico.yaml"));
    assert_eq!(selection.images.iter().filter(|image| image.reference.registry() == "docker.io").count(), 3);
}

#[test]
fn says_what_there_is_when_something_is_missing() {
    let mut unknown = spec("1.25.2");
    unknown.cni = Cni::from("antrea".to_owned());
    assert!(matches!(
        built_in().resolve(&unknown),
        Err(ResolveError::Addon { known, .. }) if known.contains(&"calico".to_owned())
    ));
    let mut other = spec("1.25.2");
    other.platforms = BTreeSet::from(["linux/riscv64".parse().unwrap()]);
    insta::assert_snapshot!(
        built_in().resolve(&other).unwrap_err(),
        @"containerd 1.7.13 has no file for linux/riscv64 in the catalog; it has linux/amd64, linux/arm64"
    );
    assert!(matches!(built_in().resolve(&spec("1.9.0")), Err(ResolveError::Release { .. })));
}

#[test]
fn unpinned_content_is_refused_unless_it_was_asked_for() {
    let mut catalog = built_in();
    let runc = catalog.components.get_mut("runc").unwrap();
    for version in runc.versions.values_mut() {
        for download in version.platforms.values_mut() {
            download.sha256 = None;
        }
    }
    let mut spec = spec("1.25.2");
    let error = catalog.resolve(&spec).unwrap_err();
    insta::assert_snapshot!(error, @"nothing pins runc 1.1.12 (https://github.com/opencontainers/runc/releases/download/v1.1.12/runc.amd64)");
    spec.unpinned = Unpinned::TrustOnFirstUse;
    assert!(catalog.resolve(&spec).unwrap().artifacts.iter().any(|artifact| artifact.pin == Pin::FirstUse));
}

#[test]
fn an_image_without_digest_is_refused_and_two_digests_too() {
    let mut site = spec("1.25.2");
    site.images = vec!["quay.io/site/app:1".parse().unwrap()];
    assert!(matches!(built_in().resolve(&site), Err(ResolveError::Unpinned { .. })));
    site.images = vec![format!("registry.k8s.io/pause:3.8@{}", Digest::of(b"other")).parse().unwrap()];
    assert!(matches!(built_in().resolve(&site), Err(ResolveError::TwoDigests { .. })));
}

proptest! {
    #[test]
    fn the_order_of_wishes_does_not_matter(addons in Just(vec!["calico".to_owned(), "ingress-nginx".to_owned()]).prop_shuffle()) {
        let sorted = { let mut sorted = addons.clone(); sorted.sort(); sorted };
        let with = |addons: Vec<String>| built_in().resolve(&BundleSpec { addons, ..spec("1.25.2") }).unwrap();
        prop_assert_eq!(with(addons), with(sorted));
    }
}

#[test]
fn what_nothing_pins_is_shown_and_then_refused_with_what_there_is_instead() {
    let mut newest = spec("1.36.3");
    newest.cni = Cni::from("calico".to_owned());
    let selection = built_in().select(&newest).unwrap();
    assert!(selection.artifacts.iter().all(|artifact| artifact.pin != Pin::FirstUse), "the manifest is pinned");
    let error = built_in().resolve(&newest).unwrap_err();
    insta::assert_snapshot!(error, @"nothing pins calico 3.32.1 (quay.io/calico/kube-controllers:v3.32.1, quay.io/calico/cni:v3.32.1, quay.io/calico/node:v3.32.1)");
    let ResolveError::Unpinned { pinned_networks, .. } = error else { panic!("{error}") };
    assert_eq!(pinned_networks, ["flannel", "bridge"]);
    newest.unpinned = Unpinned::TrustOnFirstUse;
    assert_eq!(built_in().resolve(&newest).unwrap(), selection);
}

#[test]
fn workers_get_a_load_balancer_unless_it_is_left_out() {
    let images = |load_balancer: LoadBalancer| {
        let selection = built_in().select(&BundleSpec { load_balancer, ..spec("1.25.2") }).unwrap();
        selection.images.into_iter().filter(|image| image.reference.short_name() == "haproxy").collect::<Vec<_>>()
    };
    assert!(images(LoadBalancer::None).is_empty());
    let found = images(LoadBalancer::OfCatalog);
    assert_eq!(found, images(LoadBalancer::from("haproxy".to_owned())));
    assert_eq!(found[0].roles, BTreeSet::from([Role::Worker]));

    let mut site = spec("1.25.2");
    site.load_balancer = LoadBalancer::OfCatalog;
    assert!(matches!(built_in().resolve(&site), Err(ResolveError::Unpinned { .. })));
    site.images = vec![format!("{}@{}", found[0].reference, Digest::of(b"as the site found it")).parse().unwrap()];
    let pinned = built_in().resolve(&site).unwrap();
    assert_eq!(pinned.images.iter().filter(|image| image.reference == found[0].reference).count(), 1);
}

/// The facts say which versions upstream has tested. This test only checks that no release lacks them.
#[test]
fn every_release_of_the_built_in_catalog_has_the_defaults() {
    let catalog = built_in();
    for (version, release) in &catalog.releases {
        for name in ["calico", "haproxy", "kube-vip"] {
            assert!(release.addons.contains_key(name), "Kubernetes {version} has no {name}");
        }
    }
}
