//! The page of a made-up bundle.

use std::collections::BTreeMap;

use kbundle::audit::Evidence;
use kbundle::diff::{Change, Topic};
use kbundle_format::audit_record::{AppliedPolicy, BomSource, Looked, Outcome, Rule, Verdict};
use kbundle_format::list::FORMAT_VERSION;
use kbundle_format::{Compression, Digest, Entry, EntryKind, Origin, PinSource};
use kbundle_sbom::cyclonedx::{Component, Kind, LicenceChoice, PATH, Property};

use super::*;

/// A name that a malicious builder could use. The catalog does not accept such names, but the person who checks the list is not its author.
const HOSTILE: &str = "</td><script>alert('x')</script><img src=x onerror=alert(1)>";

fn list() -> BundleList {
    let entry = Entry {
        path: "bin/kubelet".parse().unwrap(),
        digest: Digest::of(b"kubelet"),
        size: 7,
        media_type: "application/octet-stream".to_owned(),
        kind: EntryKind::Binary,
        roles: [].into(),
        component: None,
        platform: None,
        origin: Some(Origin { url: format!("https://dl.k8s.io/{HOSTILE}"), pin: PinSource::Catalog }),
        licence: Some(HOSTILE.to_owned()),
        host_file: None,
    };
    BundleList {
        format_version: FORMAT_VERSION,
        kubernetes_version: "1.25.2".parse().unwrap(),
        platforms: ["linux/amd64".parse().unwrap()].into(),
        compression: Compression::at_level(3),
        sources: vec![],
        images: vec![],
        after: kbundle_format::Prerequisites::default(),
        entries: vec![entry],
    }
}

/// A list of this many packages, one of which has a hostile name.
fn bom(packages: usize) -> Bom {
    let library = |name: String| {
        let expression = "Apache-2.0 AND BSD-3-Clause".to_owned();
        Component {
            purl: Some(format!("pkg:golang/{name}@v1.2.3")),
            name,
            version: Some("v1.2.3".to_owned()),
            licenses: vec![LicenceChoice::Expression { expression }],
            ..Component::default()
        }
    };
    let names = (1..packages).map(|number| format!("example.org/some/longer/module/name{number}"));
    let of_file = |number: usize| Component {
        kind: Kind::Application,
        name: format!("bin/program-{number}"),
        properties: vec![Property { name: PATH.to_owned(), value: format!("bin/program-{number}") }],
        components: names.clone().chain([HOSTILE.to_owned()]).map(library).collect(),
        ..Component::default()
    };
    Bom::new(&Digest::of(b""), None, Component::default(), (0..12).map(of_file).collect())
}

fn made(packages: usize) -> String {
    let (list, bom) = (list(), bom(packages));
    let verdict = Verdict {
        rule: Rule::Pins,
        outcome: Outcome::Refused,
        subject: HOSTILE.to_owned(),
        evidence: vec![Looked { name: HOSTILE.to_owned(), digest: Digest::of(b"a") }],
        expected: "a & b".to_owned(),
        found: HOSTILE.to_owned(),
        waiver: None,
    };
    let evidence = Evidence {
        list: &list,
        list_digest: Digest::of(b"list"),
        signers: Vec::new(),
        bom: &bom,
        bom_source: BomSource::Carried,
        key_days: BTreeMap::new(),
        users: BTreeMap::new(),
        privileged: None,
        objects: Vec::new(),
        advisories: None,
        today: "2026-11-28".parse().unwrap(),
    };
    let policy = AppliedPolicy { name: HOSTILE.to_owned(), digest: Digest::of(b"policy"), rego: vec![] };
    let time = "2026-11-28T07:00:00Z".parse().unwrap();
    let report = Report::new(HOSTILE.to_owned(), policy, time, vec![verdict], &[], evidence);
    let difference = Difference {
        topic: Topic::Components,
        within: Some(HOSTILE.to_owned()),
        name: HOSTILE.to_owned(),
        change: Change::Downgraded,
        old: Some(HOSTILE.to_owned()),
        new: Some(HOSTILE.to_owned()),
    };
    let old = Compared {
        bundle: HOSTILE.to_owned(),
        kubernetes_version: "1.25.1".parse().unwrap(),
        list_digest: Digest::of(b"old"),
    };
    let since = Predecessor { old, differences: vec![difference] };
    page(&Contents { list: &list, bom: &bom, report: &report, provenance: HOSTILE, since: Some(&since) })
}

#[test]
fn names_are_text_in_every_table() {
    let page = made(3);
    assert_eq!(page.matches("<script").count(), 1, "{page}");
    assert_eq!(page.matches("<img").count(), 0, "{page}");
    assert!(page.contains("&lt;script&gt;alert('x')&lt;/script&gt;"), "{page}");
    assert!(page.contains("The policy refuses this bundle") && page.contains("Verdicts: 1 refused"), "{page}");
    for part in ["What differs from &lt;/td", "1 differences", ">downgraded<", "dl.k8s.io, 7 B", "binaries, 7 B"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn five_thousand_packages_fit_in_five_megabytes() {
    let page = made(5_000);
    assert!(page.contains("5000 packages") && page.len() < 5_000_000, "{}", page.len());
}

#[test]
#[ignore = "makes a page for a browser: ./ci/report-page"]
fn page_for_a_browser() {
    let folder = std::env::var_os("KBUNDLE_PAGES").expect("$KBUNDLE_PAGES: ./ci/report-page sets it");
    fs_err::write(std::path::Path::new(&folder).join("kbundle-hostile.html"), made(5_000)).unwrap();
}
