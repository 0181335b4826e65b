use std::collections::BTreeMap;

use kbundle_format::{Compression, Digest};

use super::*;
use crate::lock::tests::{descriptor, image, lock};
use crate::pack::Contents;
use kbundle_format::BundleList;
use kbundle_sbom::cyclonedx::{Bom, Component, Kind, LicenceChoice, NamedLicence, PATH, Property};

fn list() -> BundleList {
    Contents::of(&lock(), Compression::at_level(3)).unwrap().list
}

fn side(list: &BundleList) -> Side<'_> {
    Side { list, signers: Vec::new(), bom: None, images: BTreeMap::new() }
}

fn lines(old: &Side<'_>, new: &Side<'_>, topic: Topic) -> Vec<String> {
    let line = |difference: &Difference| {
        let text = |side: &Option<String>| side.clone().unwrap_or_default();
        let within = difference.within.as_deref().map(|within| format!("{within}: ")).unwrap_or_default();
        format!(
            "{:?} {within}{}: {} -> {}",
            difference.change,
            difference.name,
            text(&difference.old),
            text(&difference.new)
        )
    };
    compare(old, new, &[topic]).iter().map(line).collect()
}

#[test]
fn another_order_of_add_ons_is_a_difference() {
    let (old, mut new) = (list(), list());
    new.after.add("shop", ["metallb".to_owned()]);
    assert_eq!(lines(&side(&old), &side(&new), Topic::Components), ["Added shop needs metallb first:  -> yes"]);
}

#[test]
fn a_bundle_does_not_differ_from_itself() {
    let list = list();
    assert_eq!(compare(&side(&list), &side(&list), &Topic::ALL), []);
}

#[test]
fn a_new_tag_of_an_image_is_an_upgrade_and_not_another_image() {
    let with = |reference: &str, manifest: &[u8]| {
        let mut image = image("a", &[b"base"], &[kbundle_format::Role::Worker]);
        image.reference = reference.parse().unwrap();
        image.manifest = descriptor(manifest, &image.manifest.media_type);
        let lock = crate::lock::Lock { images: vec![image], ..lock() };
        Contents::of(&lock, Compression::at_level(3)).unwrap().list
    };
    let changes = |old: &BundleList, new: &BundleList| {
        let found = compare(&side(old), &side(new), &[Topic::Images]);
        found.iter().map(|found| format!("{:?}", found.change)).collect::<Vec<_>>()
    };
    let old = with("registry.k8s.io/a:v1", b"one");
    assert_eq!(changes(&old, &with("registry.k8s.io/a:v2", b"two")), ["Upgraded"]);
    assert_eq!(changes(&old, &with("registry.k8s.io/a:v1", b"two")), ["Changed"]);
    assert_eq!(changes(&old, &old), [""; 0]);
    let mut raised = old.clone();
    raised.kubernetes_version = "1.25.99".parse().unwrap();
    assert_eq!(
        lines(&side(&old), &side(&raised), Topic::Kubernetes),
        [format!("Upgraded release: {} -> 1.25.99", old.kubernetes_version)]
    );
}

#[test]
fn a_pin_that_was_obtained_otherwise_is_named() {
    let old = list();
    let mut new = old.clone();
    let entry = new.entries.iter_mut().find(|entry| entry.kind == kbundle_format::EntryKind::Binary).unwrap();
    entry.origin.as_mut().unwrap().pin = kbundle_format::PinSource::TrustOnFirstUse;
    let found = lines(&side(&old), &side(&new), Topic::Pins);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("-> trust on first use from https://"), "{found:?}");
}

fn package(name: &str, version: &str, licence: &str) -> Component {
    Component {
        name: name.to_owned(),
        version: Some(version.to_owned()),
        purl: Some(format!("pkg:deb/debian/{name}@{version}")),
        licenses: vec![LicenceChoice::Named { license: NamedLicence { name: licence.to_owned() } }],
        ..Component::default()
    }
}

fn bom(packages: Vec<Component>) -> Bom {
    let file = Component {
        kind: Kind::Application,
        name: "tool".to_owned(),
        properties: vec![Property { name: PATH.to_owned(), value: "artifacts/tool".to_owned() }],
        components: packages,
        ..Component::default()
    };
    Bom::new(&Digest::of(b""), None, Component::default(), vec![file])
}

#[test]
fn packages_and_licences_are_compared_within_their_file() {
    let list = list();
    let with = |packages| Side { bom: Some(bom(packages)), ..side(&list) };
    let old = with(vec![package("a", "1.9", "MIT"), package("b", "1", "MIT"), package("gone", "1", "BSD")]);
    let new = with(vec![package("a", "1.10", "MIT"), package("b", "1", "GPL"), package("fresh", "2", "MIT")]);
    assert_eq!(
        lines(&old, &new, Topic::Packages),
        [
            "Upgraded artifacts/tool: a (deb): 1.9 -> 1.10",
            "Added artifacts/tool: fresh (deb):  -> 2",
            "Removed artifacts/tool: gone (deb): 1 -> ",
        ]
    );
    assert_eq!(
        lines(&old, &new, Topic::Licences),
        ["Removed BSD: gone (deb) -> ", "Added GPL:  -> b (deb)", "Changed b (deb): MIT -> GPL"]
    );
}

#[test]
fn settings_of_an_image_are_compared() {
    let list = list();
    let manifest = list.images[0].manifest;
    let with = |config: &str| {
        let settings = ImageSettings::of(vec![], config.as_bytes());
        Side { images: BTreeMap::from([(manifest, settings)]), ..side(&list) }
    };
    let config = |run: &str| {
        format!(r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":[]}},"config":{run}}}"#)
    };
    let (old, new) = (
        with(&config(r#"{"User":"1000","Env":["A=1"]}"#)),
        with(&config(r#"{"User":"root","Entrypoint":["/x","y"]}"#)),
    );
    let found = compare(&old, &new, &[Topic::Settings]);
    let changes: Vec<_> = found.iter().map(|difference| (difference.name.as_str(), difference.change)).collect();
    assert_eq!(changes, [("entrypoint", Change::Added), ("environment A", Change::Removed), ("user", Change::Changed)]);
}
