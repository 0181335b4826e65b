//! Verdicts about a small list.

use std::path::Path;
use std::process::Command;

use kbundle_format::list::FORMAT_VERSION;
use kbundle_format::{Compression, Entry, EntryKind, EntryPath, Image, Origin, PinSource};
use kbundle_sbom::Privilege;
use kbundle_sbom::cyclonedx::{Component, Hash, Kind, LicenceChoice, PATH, PLATFORM, Property, REFERENCE};

use super::*;

fn entry(path: EntryPath, kind: EntryKind, url: &str, pin: PinSource) -> Entry {
    Entry {
        digest: Digest::of(path.as_str().as_bytes()),
        path,
        size: 1,
        media_type: "application/octet-stream".to_owned(),
        kind,
        roles: [].into(),
        component: None,
        platform: None,
        origin: Some(Origin { url: url.to_owned(), pin }),
        licence: None,
        host_file: None,
    }
}

fn list() -> BundleList {
    let manifest = Digest::of(b"manifest");
    BundleList {
        format_version: FORMAT_VERSION,
        kubernetes_version: "1.25.2".parse().unwrap(),
        platforms: ["linux/amd64".parse().unwrap()].into(),
        compression: Compression::at_level(3),
        sources: vec![],
        images: vec![Image {
            reference: "registry.k8s.io/pause:latest".parse().unwrap(),
            platform: "linux/amd64".parse().unwrap(),
            manifest,
            pinned: manifest,
            roles: [].into(),
        }],
        after: kbundle_format::Prerequisites::default(),
        entries: vec![
            entry("bin/kubelet".parse().unwrap(), EntryKind::Binary, "https://dl.k8s.io/kubelet", PinSource::Catalog),
            entry(
                "bin/haproxy".parse().unwrap(),
                EntryKind::Binary,
                "https://example.org/haproxy",
                PinSource::TrustOnFirstUse,
            ),
        ],
    }
}

fn property(name: &str, value: &str) -> Property {
    Property { name: name.to_owned(), value: value.to_owned() }
}

fn library(purl: &str, licence: Option<&str>) -> Component {
    let expression = licence.map(|text| LicenceChoice::Expression { expression: text.to_owned() });
    let version = purl.split_once('@').map(|(_, version)| version.to_owned());
    let name = purl.rsplit('/').next().unwrap().split('@').next().unwrap().to_owned();
    Component {
        name,
        version,
        purl: Some(purl.to_owned()),
        licenses: expression.into_iter().collect(),
        ..Component::default()
    }
}

fn bom(list: &BundleList) -> Bom {
    let file = |entry: &Entry| Component {
        kind: Kind::Application,
        name: entry.path.to_string(),
        hashes: vec![Hash::from(&entry.digest)],
        properties: vec![property(PATH, entry.path.as_str())],
        components: vec![
            library("pkg:golang/golang.org/x/net@v0.7.0", None),
            library("pkg:deb/debian/xz-utils@5.6.0-1", Some("MIT OR GPL-3.0-only")),
        ],
        ..Component::default()
    };
    let image = Component {
        kind: Kind::Container,
        hashes: vec![Hash::from(&list.images[0].manifest)],
        properties: vec![property(REFERENCE, "registry.k8s.io/pause:latest"), property(PLATFORM, "linux/amd64")],
        ..Component::default()
    };
    let components = list.entries.iter().map(file).chain([image]).collect();
    Bom::new(&Digest::of(b""), None, Component::default(), components)
}

fn policy(text: &str) -> Policy {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    fs_err::write(&path, format!("schema: 1\n{text}")).unwrap();
    Policy::find(Path::new(&path)).unwrap().0
}

fn signer() -> KeyId {
    "0".repeat(64).parse().unwrap()
}

/// The outcome, the subject and the finding of each verdict on `list` by a policy.
fn verdicts_on(list: &BundleList, text: &str) -> Vec<(Outcome, String, String)> {
    judged(list, &policy(text))
}

fn judged(list: &BundleList, policy: &Policy) -> Vec<(Outcome, String, String)> {
    let bom = bom(&super::tests::list());
    let su = PrivilegedFile { path: "bin/su".to_owned(), privilege: Privilege::Setuid, layer: None };
    let evidence = Evidence {
        list,
        list_digest: Digest::of(b"list"),
        signers: vec![signer()],
        bom: &bom,
        bom_source: BomSource::Carried,
        key_days: [(signer(), "2026-06-01".parse().unwrap())].into(),
        users: [(Digest::of(b"manifest"), "0:0".to_owned())].into(),
        privileged: Some([(Digest::of(b"manifest"), vec![su])].into()),
        objects: vec![FoundObject {
            path: "manifests/a/a.yaml".parse().unwrap(),
            digest: Digest::of(b"a.yaml"),
            object: serde_json::json!({
                "kind": "DaemonSet", "metadata": { "name": "a", "namespace": "b" },
                "spec": { "template": { "spec": { "hostNetwork": true, "containers": [{ "name": "c" }] } } },
            }),
        }],
        advisories: None,
        today: "2026-11-28".parse().unwrap(),
    };
    let (verdicts, _) = judge(policy, &evidence).unwrap();
    assert!(verdicts.iter().all(|verdict| !verdict.evidence.is_empty()), "{verdicts:?}");
    verdicts.into_iter().map(|verdict| (verdict.outcome, verdict.subject, verdict.found)).collect()
}

fn refused(text: &str) -> Vec<String> {
    let verdicts = verdicts_on(&list(), text);
    verdicts.into_iter().filter(|(outcome, ..)| *outcome == Outcome::Refused).map(|(_, subject, _)| subject).collect()
}

#[test]
fn each_rule_refuses_what_breaks_it_and_nothing_else() {
    let image = "registry.k8s.io/pause:latest (linux/amd64)";
    let key = signer().to_string();
    let net = "pkg:golang/golang.org/x/net@v0.7.0";
    let xz = "pkg:deb/debian/xz-utils@5.6.0-1";
    for (text, subjects) in [
        ("", vec![]),
        ("signers: {threshold: 1}", vec![]),
        ("signers: {threshold: 2}", vec!["bundle"]),
        ("signers: {max-key-age-days: 180}", vec![]),
        ("signers: {max-key-age-days: 179}", vec![key.as_str()]),
        ("images: {privileged-files: refuse}", vec![image]),
        ("manifests: {privileged: refuse, host-path: refuse, cluster-admin: refuse}", vec![]),
        ("manifests: {host-network: refuse}", vec!["DaemonSet b/a"]),
        ("pins: {allowed: [catalog]}", vec!["bin/haproxy"]),
        ("pins: {allowed: [catalog, trust-on-first-use]}", vec![]),
        ("origins: {hosts: ['*.k8s.io']}", vec!["example.org"]),
        ("origins: {hosts: [dl.k8s.io, example.org]}", vec![]),
        ("images: {root-user: refuse}", vec![image]),
        ("images: {latest-tag: refuse}", vec![image]),
        ("completeness: {list-of-packages: carried}", vec![]),
        ("completeness: {list-of-packages: made-again}", vec!["list of packages"]),
        ("packages: {forbidden: ['pkg:deb/debian/xz-utils@5.6.0-1']}", vec![xz]),
        ("packages: {forbidden: ['pkg:deb/debian/xz-utils@5.6.1-1']}", vec![]),
        ("packages: {lowest: [{package: 'pkg:golang/golang.org/x/net', version: v0.17.0}]}", vec![net]),
        ("packages: {lowest: [{package: 'pkg:golang/golang.org/x/net', version: v0.7.0}]}", vec![]),
        ("licences: {allow: [MIT]}", vec![]),
        ("licences: {deny: [MIT, GPL-3.0-only]}", vec![xz]),
        ("licences: {allow: [Apache-2.0], unstated: refuse}", vec!["bin/haproxy", "bin/kubelet", xz, net]),
        ("advisories: {max-severity: high}", vec![]),
        ("advisories: {required: true, max-severity: high}", vec!["advisories"]),
    ] {
        assert_eq!(refused(text), subjects, "{text}");
    }
}

/// The same with a file of rules beside the policy.
fn judged_by(rules: &str, waivers: &str) -> Vec<(Outcome, String, String)> {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("site.rego"), format!("package kbundle\n{rules}")).unwrap();
    let path = folder.path().join("policy.yaml");
    fs_err::write(&path, format!("schema: 1\nrego: [site.rego]\n{waivers}")).unwrap();
    judged(&list(), &Policy::find(&path).unwrap().0)
}

#[test]
fn rules_of_the_site_deny_and_warn_about_what_they_name() {
    let rules = r#"
deny contains {"subject": image.reference, "message": sprintf("runs as %s", [image.user])} if {
    some image in input.images
    startswith(image.user, "0")
}
deny contains "unknown signer" if { some key in input.signers; key.keyId == "" }
warn contains "host network" if { some found in input.objects; found.object.spec.template.spec.hostNetwork }
"#;
    let image = "registry.k8s.io/pause:latest".to_owned();
    let denied = (Outcome::Refused, image.clone(), "runs as 0:0".to_owned());
    let warned = (Outcome::Warned, "bundle".to_owned(), "host network".to_owned());
    assert_eq!(judged_by(rules, ""), [denied, warned.clone()]);
    let waiver = format!("waivers: [{{rule: rego, item: '{image}', name: A, reason: b, until: 2027-01-01}}]\n");
    let waived = (Outcome::Waived, image, "runs as 0:0".to_owned());
    assert_eq!(judged_by(rules, &waiver), [warned, waived]);
    let quiet = judged_by("deny contains \"a\" if input.schema != 1\n", "");
    assert_eq!((quiet.len(), quiet[0].0), (1, Outcome::Passed));
}

#[test]
fn what_the_list_of_packages_lacks_is_refused() {
    let mut list = list();
    list.entries.push(entry("bin/new".parse().unwrap(), EntryKind::Binary, "https://dl.k8s.io/x", PinSource::Catalog));
    let verdicts = verdicts_on(&list, "completeness: {list-of-packages: carried}");
    assert_eq!((verdicts[0].0, verdicts[0].1.as_str()), (Outcome::Refused, "bin/new"));
}

#[test]
fn a_waiver_counts_until_its_last_day() {
    let of = |item: &str, until: &str| {
        let text = format!(
            "pins: {{allowed: [catalog]}}\nwaivers: [{{rule: pins, item: {item}, name: A. Officer, reason: reviewed, until: {until}}}]\n"
        );
        verdicts_on(&list(), &text).remove(0)
    };
    assert_eq!(of("bin/haproxy", "2026-11-28").0, Outcome::Waived);
    let (outcome, _, found) = of("bin/haproxy", "2026-11-27");
    assert_eq!(
        (outcome, found.ends_with("the waiver of A. Officer ended on 2026-11-27")),
        (Outcome::Refused, true),
        "{found}"
    );
    assert_eq!(of("bin/kubelet", "2027-01-01").0, Outcome::Refused);
}

#[test]
fn other_programs_get_what_a_document_may_hold() {
    let verdict = Verdict {
        rule: Rule::Pins,
        outcome: Outcome::Refused,
        subject: "a<b>&\"\u{1b}[31m".to_owned(),
        evidence: vec![Looked { name: "a".to_owned(), digest: Digest::of(b"a") }],
        expected: "x".to_owned(),
        found: "y".to_owned(),
        waiver: None,
    };
    let waived = Verdict {
        outcome: Outcome::Waived,
        waiver: Some(Waived { name: "A".to_owned(), reason: "r".to_owned(), until: "2027-01-01".parse().unwrap() }),
        ..verdict.clone()
    };
    let warned = Verdict { outcome: Outcome::Warned, rule: Rule::Rego, ..verdict.clone() };
    let verdicts = [verdict, waived, warned];
    insta::assert_snapshot!(junit::document("b.tar.zst", &verdicts));
    let sarif = sarif::document("b.tar.zst", &verdicts);
    assert_eq!(sarif["runs"][0]["results"][0]["level"], "error");
    assert_eq!(sarif["runs"][0]["results"][1]["suppressions"][0]["justification"], "A until 2027-01-01: r");
    assert_eq!(sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap().len(), 2);
    assert_eq!(sarif["runs"][0]["results"][2]["level"], "warning");
    assert_eq!(faults_of_sarif(&sarif), [""; 0]);
    assert_eq!(faults_of_sarif(&sarif::document("b.tar.zst", &[])), [""; 0]);
    let named = sarif::document("stick 1/é:%.tar.zst", &verdicts);
    let location = &named["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"];
    assert_eq!(location["uri"], "stick%201/%C3%A9%3A%25.tar.zst");
    assert_eq!(faults_of_sarif(&named), [""; 0]);
}

/// OASIS's JSON schema of SARIF 2.1.0, from the source of the crate `serde-sarif`.
fn schema_of_sarif() -> serde_json::Value {
    let cargo = std::env::var("CARGO").expect("cargo runs the tests");
    let arguments = ["metadata", "--format-version=1", "--locked", "--offline"];
    let output = Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut packages = metadata["packages"].as_array().unwrap().iter();
    let package = packages.find(|package| package["name"] == "serde-sarif").unwrap();
    let schema = Path::new(package["manifest_path"].as_str().unwrap()).with_file_name("src/schema.json");
    let mut schema: serde_json::Value = serde_json::from_str(&fs_err::read_to_string(schema).unwrap()).unwrap();
    // The meta-schema of JSON Schema does not accept these patterns as regular expressions, and kbundle writes no language.
    for of in ["run", "toolComponent"] {
        schema["definitions"][of]["properties"]["language"].as_object_mut().unwrap().remove("pattern").unwrap();
    }
    schema
}

/// Why a document is not SARIF 2.1.0.
fn faults_of_sarif(document: &serde_json::Value) -> Vec<String> {
    let validator = jsonschema::options().should_validate_formats(true).build(&schema_of_sarif()).unwrap();
    validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn the_schema_of_sarif_refuses_what_is_wrong() {
    let tool = serde_json::json!({ "driver": { "name": "kbundle" } });
    let message = serde_json::json!({ "text": "a" });
    let at = |uri: &str| {
        let location = serde_json::json!({ "physicalLocation": { "artifactLocation": { "uri": uri } } });
        serde_json::json!({ "tool": tool, "results": [{ "message": message, "locations": [location] }] })
    };
    let of = |run: serde_json::Value| faults_of_sarif(&serde_json::json!({ "version": "2.1.0", "runs": [run] }));
    assert_eq!(of(serde_json::json!({ "tool": tool, "results": [{ "message": message }] })), [""; 0]);
    for wrong in [
        serde_json::json!({ "results": [] }),
        serde_json::json!({ "tool": tool, "results": [{}] }),
        serde_json::json!({ "tool": tool, "results": [{ "message": message, "level": "bad" }] }),
        serde_json::json!({ "tool": tool, "surprise": 1 }),
        at("b c.tar.zst"),
        at("%zz"),
    ] {
        assert!(!of(wrong.clone()).is_empty(), "{wrong}");
    }
}
