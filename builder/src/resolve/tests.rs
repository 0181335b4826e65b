use super::*;
use proptest::prelude::*;

fn spec(version: &str) -> BundleSpec {
    BundleSpec {
        kubernetes: version.parse().unwrap(),
        platforms: BTreeSet::from(["linux/amd64".parse().unwrap()]),
        cni: Cni::Bridge,
        addons: Vec::new(),
        images: Vec::new(),
        unpinned: Unpinned::Refuse,
    }
}

fn built_in() -> Catalog {
    Catalog::built_in().unwrap()
}

#[test]
fn selects_components_in_the_order_of_need_and_images_for_the_control_plane_first() {
    let selection = built_in().resolve(&spec("1.25.2")).unwrap();
    let names: Vec<_> = selection.artifacts.iter().map(|artifact| artifact.component.name.as_str()).collect();
    assert_eq!(names, ORDER_OF_NEED);
    let images: Vec<_> = selection.images.iter().map(|image| image.reference.short_name()).collect();
    assert_eq!(
        images,
        ["pause", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns"]
    );
    assert!(selection.artifacts.iter().all(|artifact| matches!(artifact.pin, Pin::Catalog(_))));
}

#[test]
fn both_platforms_lie_side_by_side() {
    let mut both = spec("1.25.2");
    both.platforms.insert("linux/arm64".parse().unwrap());
    let selection = built_in().resolve(&both).unwrap();
    assert_eq!(selection.artifacts.len(), 2 * ORDER_OF_NEED.len());
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
    assert!(matches!(&error, ResolveError::Unpinned { what } if what.contains("runc")), "{error}");
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
