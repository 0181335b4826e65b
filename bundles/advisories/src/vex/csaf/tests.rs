//! Documents in the form of the specification, with the products of a bundle.

#![expect(clippy::needless_pass_by_value, reason = "documents are written in place, by `json!`")]

use kbundle_format::Digest;
use serde_json::{Value, json};

use super::super::{Answer, Document, Status, answer};
use crate::order::Order;
use crate::subject::{Package, Place};

const LIBC: &str = "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12";
const IMAGE: &str = "pkg:oci/etcd@sha256%3A00?arch=amd64&repository_url=registry.k8s.io%2Fetcd";

/// With the products `branches`, `names` and `relationships`.
fn tree(branches: Value, names: Value, relationships: Value) -> Value {
    json!({
        "branches": branches, "full_product_names": names, "relationships": relationships,
        "product_groups": [{ "group_id": "CSAFGID-1", "product_ids": ["P1", "P2"] }],
    })
}

fn document(product_tree: &Value, vulnerability: Value) -> Value {
    json!({
        "document": {
            "category": "csaf_vex", "csaf_version": "2.0", "title": "Statements of a site",
            "publisher": { "category": "vendor", "name": "Site A", "namespace": "https://example.org" },
            "tracking": {
                "id": "SITE-1", "status": "final", "version": "1", "initial_release_date": "2026-01-01T00:00:00Z",
                "current_release_date": "2026-02-01T00:00:00Z",
                "revision_history": [{ "number": "1", "date": "2026-01-01T00:00:00Z", "summary": "first" }],
            },
        },
        "product_tree": product_tree,
        "vulnerabilities": [vulnerability],
    })
}

fn named(id: &str, helper: Value) -> Value {
    json!({ "product_id": id, "name": id, "product_identification_helper": helper })
}

/// Two packages: one below branches, one by its name alone.
fn packages() -> Value {
    let version =
        json!({ "category": "product_version", "name": "2.36-9", "product": named("P1", json!({ "purl": LIBC })) });
    let product = json!({ "category": "product_name", "name": "glibc", "branches": [version] });
    let vendor = json!([{ "category": "vendor", "name": "Debian", "branches": [product] }]);
    tree(vendor, json!([named("P2", json!({ "purl": "pkg:golang/example.org/m@v1.0.0" }))]), json!([]))
}

fn place(name: &str) -> Place {
    Place {
        name: name.to_owned(),
        digest: Digest::of(name.as_bytes()),
        purl: (name == "etcd").then(|| IMAGE.to_owned()),
    }
}

/// What the document says of CVE-1 in the package of this URL, in a place.
fn says(document: &Value, purl: &str, place: &Place) -> Option<Answer> {
    let document = Document::parse(document.to_string().as_bytes()).unwrap();
    let package = Package {
        ecosystem: String::new(),
        order: Order::Go,
        name: String::new(),
        version: String::new(),
        purl: purl.to_owned(),
        places: Vec::new(),
    };
    answer(&[document], &["CVE-1", "GO-1"], &package, place)
}

fn status(document: &Value, purl: &str, place: &Place) -> Option<Status> {
    says(document, purl, place).map(|answer| answer.status)
}

fn refusal(document: &Value) -> String {
    Document::parse(document.to_string().as_bytes()).unwrap_err().to_string()
}

#[test]
fn statuses_and_reasons_reach_products_by_name_and_by_group() {
    let flags = json!([{ "label": "vulnerable_code_not_in_execute_path", "group_ids": ["CSAFGID-1"] }]);
    let threats = json!([
        { "category": "impact", "details": "nothing\ncalls it", "product_ids": ["P1"] },
        { "category": "exploit_status", "details": "none", "product_ids": ["P1"] },
    ]);
    let flaw = json!({ "cve": "CVE-1", "product_status": { "known_not_affected": ["P1", "P2"] }, "flags": flags, "threats": threats });
    let vex = document(&packages(), flaw);
    let answer = says(&vex, LIBC, &place("a")).unwrap();
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (Status::NotAffected, "vulnerable_code_not_in_execute_path: nothing")
    );
    let answer = says(&vex, "pkg:golang/example.org/m@v1.0.0", &place("a")).unwrap();
    assert_eq!(answer.reason, "vulnerable_code_not_in_execute_path");
    for other in ["pkg:golang/example.org/m@v1.0.1", "pkg:deb/debian/libc6@2.36-8?arch=amd64&distro=debian-12"] {
        assert_eq!(status(&vex, other, &place("a")), None, "{other}");
    }
}

#[test]
fn each_list_of_products_is_a_status_and_another_name_of_the_flaw_will_do() {
    for (list, expected) in [
        ("fixed", Some(Status::Fixed)),
        ("first_fixed", Some(Status::Fixed)),
        ("known_affected", Some(Status::Affected)),
        ("first_affected", Some(Status::Affected)),
        ("last_affected", Some(Status::Affected)),
        ("under_investigation", Some(Status::UnderInvestigation)),
        ("recommended", None),
    ] {
        let flaw = json!({ "ids": [{ "system_name": "Go", "text": "GO-1" }], "product_status": { list: ["P1"] } });
        assert_eq!(status(&document(&packages(), flaw), LIBC, &place("a")), expected, "{list}");
    }
    let other = json!({ "cve": "CVE-2", "product_status": { "fixed": ["P1"] } });
    assert_eq!(status(&document(&packages(), other), LIBC, &place("a")), None);
}

/// A package of an image is meant in that image alone.
#[test]
fn a_relationship_limits_a_package_to_where_it_is() {
    let digest = Digest::of(b"b").to_string();
    let hash = digest.strip_prefix("sha256:").unwrap();
    let file = json!({ "hashes": [{ "filename": "b", "file_hashes": [{ "algorithm": "sha256", "value": hash }] }] });
    let uri = json!({ "x_generic_uris": [{ "namespace": "https://example.org", "uri": "bin/c" }] });
    let names = json!([
        named("P1", json!({ "purl": "pkg:deb/debian/libc6" })),
        named("P2", json!({ "purl": "pkg:oci/etcd?repository_url=registry.k8s.io%2Fetcd" })),
        named("P3", file),
        named("P4", uri),
        named("P5", json!({ "cpe": "cpe:2.3:o:debian:debian_linux:12:*:*:*:*:*:*:*" })),
    ]);
    let related = |category: &str, id: &str, whole: &str| json!({ "category": category, "full_product_name": named(id, json!({})), "product_reference": "P1", "relates_to_product_reference": whole });
    let relationships = json!([
        related("default_component_of", "in-etcd", "P2"),
        related("installed_on", "in-b", "P3"),
        related("optional_component_of", "in-c", "P4"),
        related("default_component_of", "in-debian", "P5"),
        related("installed_with", "with-etcd", "P2"),
        related("default_component_of", "in-a-part", "in-etcd"),
    ]);
    let products = tree(json!([]), names, relationships);
    let of = |id: &str| document(&products, json!({ "cve": "CVE-1", "product_status": { "fixed": [id] } }));
    for (id, found) in [
        ("in-etcd", &["etcd"][..]),
        ("in-b", &["b"]),
        ("in-c", &["bin/c"]),
        ("in-debian", &[]),
        ("with-etcd", &[]),
        ("in-a-part", &[]),
        ("P1", &["etcd", "b", "bin/c"]),
    ] {
        let places = ["etcd", "b", "bin/c"].into_iter().filter(|name| status(&of(id), LIBC, &place(name)).is_some());
        assert_eq!(places.collect::<Vec<_>>(), found, "{id}");
        let read = Document::parse(of(id).to_string().as_bytes()).unwrap();
        assert_eq!(read.unidentified() == 0, !found.is_empty(), "{id}");
    }
    assert_eq!(status(&of("P2"), LIBC, &place("etcd")), Some(Status::Fixed), "all that the image has");
}

#[test]
fn a_package_url_without_a_version_has_that_of_its_branch() {
    let of = |category: &str, name: &str| {
        let product = named("P1", json!({ "purl": "pkg:deb/debian/libc6" }));
        let branches = json!([{ "category": category, "name": name, "product": product }]);
        let products = tree(branches, json!([named("P2", json!({}))]), json!([]));
        status(
            &document(&products, json!({ "cve": "CVE-1", "product_status": { "fixed": ["P1"] } })),
            LIBC,
            &place("a"),
        )
    };
    assert_eq!(of("product_version", "2.36-9"), Some(Status::Fixed));
    assert_eq!(of("product_version", "2.36-10"), None);
    assert_eq!(of("product_version_range", "vers:deb/>=2.36-10"), None);
    assert_eq!(of("product_name", "glibc"), Some(Status::Fixed));
}

#[test]
fn where_products_of_one_document_mean_the_same_package_affected_counts() {
    let names = json!([named("P1", json!({ "purl": LIBC })), named("P2", json!({ "purl": "pkg:deb/debian/libc6" }))]);
    let products = tree(json!([]), names, json!([]));
    let flaw = json!({ "cve": "CVE-1", "product_status": { "fixed": ["P2"], "known_affected": ["P1"] } });
    assert_eq!(status(&document(&products, flaw), LIBC, &place("a")), Some(Status::Affected));
}

#[test]
fn documents_that_the_specification_does_not_allow_are_refused() {
    let fixed = json!({ "cve": "CVE-1", "product_status": { "fixed": ["P1"] } });
    let changed = |pointer: &str, value: Value| {
        let mut changed = document(&packages(), fixed.clone());
        *changed.pointer_mut(pointer).unwrap() = value;
        refusal(&changed)
    };
    for (pointer, value, part) in [
        ("/document/csaf_version", json!("2.1"), "its csaf_version is `2.1`; expected 2.0"),
        ("/document/category", json!("csaf_base"), "its category is `csaf_base`; expected csaf_vex"),
        ("/document/tracking/status", json!("draft"), "its tracking.status is `draft`"),
        ("/document", json!({}), "it is not a CSAF document"),
        ("/product_tree/full_product_names/0/product_id", json!("P1"), "product `P1` is defined twice"),
        ("/product_tree", json!({}), "product `P1` is not in the product tree"),
        ("/vulnerabilities/0/cve", Value::Null, "statement 1 has neither `cve` nor `ids`"),
        (
            "/vulnerabilities/0/product_status",
            json!({ "fixed": ["P1"], "known_affected": ["P1"] }),
            "contradict each other",
        ),
        (
            "/vulnerabilities/0/product_status",
            json!({ "known_not_affected": ["P1"] }),
            "without a flag or an impact statement",
        ),
        (
            "/vulnerabilities/0/product_status",
            json!({ "fixed": ["P\u{1b}9"] }),
            "product `P9` is not in the product tree",
        ),
    ] {
        let error = changed(pointer, value);
        assert!(error.contains(part), "{pointer}: {error}");
    }
    let flaw = json!({ "cve": "CVE-1", "flags": [{ "label": "x", "group_ids": ["CSAFGID-2"] }] });
    assert!(refusal(&document(&packages(), flaw)).contains("`CSAFGID-2` is named as a group"));
}

/// A group that is named again and again would be read for hours.
#[test]
fn references_that_multiply_are_refused() {
    let many: Vec<_> = (0..2_000).map(|number| format!("P{number}")).collect();
    let names: Vec<_> = many.iter().map(|id| named(id, json!({}))).collect();
    let groups = json!([{ "group_id": "G", "product_ids": many }]);
    let products = json!({ "full_product_names": names, "product_groups": groups });
    let flag = json!({ "label": "component_not_present", "group_ids": ["G"] });
    let flaw = json!({ "cve": "CVE-1", "flags": vec![flag; 600] });
    assert_eq!(refusal(&document(&products, flaw)), "it has more than 1000000 references to products");
}

#[test]
fn branches_that_lie_too_deep_are_refused() {
    let mut branch = json!({ "category": "vendor", "name": "a" });
    for _ in 0..100 {
        branch = json!({ "category": "vendor", "name": "a", "branches": [branch] });
    }
    let products = json!({ "branches": [branch] });
    assert_eq!(refusal(&document(&products, json!({ "cve": "CVE-1" }))), "it is not a CSAF document");
}
