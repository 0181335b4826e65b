//! What programs of others find in the same bundles. Every difference has a reason here, and a reason without a difference fails.
//!
//! `KBUNDLE_ORACLE_BUNDLES` names bundles, separated by colons; `docs/decisions/oracles.md` says what came out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::{Value, json};

use crate::upstream::{kbundle_in, success};

/// Something that one of two programs found: where, of which ecosystem, which package, which version, what about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    place: String,
    ecosystem: String,
    package: String,
    version: String,
    about: String,
}

/// Why two programs differ.
struct Reason {
    text: &'static str,
    explains: fn(&Found) -> bool,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run ci/osv-scanner or ci/syft"))
}

fn bundles() -> Vec<PathBuf> {
    let bundles: Vec<_> = std::env::split_paths(&variable("KBUNDLE_ORACLE_BUNDLES")).collect();
    assert!(!bundles.is_empty());
    bundles
}

fn kbundle(folder: &Path, arguments: &[&str], bundle: Option<&Path>) -> Vec<u8> {
    let mut command = kbundle_in(folder);
    command.args(arguments).args(bundle.iter().flat_map(|bundle| [bundle.as_os_str(), "--unsigned".as_ref()]));
    success(&command.output().unwrap()).into_bytes()
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A version without what only some write before it.
fn plain(version: &str) -> String {
    version.strip_prefix("go").or_else(|| version.strip_prefix('v')).unwrap_or(version).to_owned()
}

/// Fails for each of `found` that no reason explains, and for each reason that explains nothing. Says how many each explains.
fn all_explained(what: &str, found: &BTreeSet<Found>, reasons: &[Reason]) {
    let mut counts = BTreeMap::new();
    let mut unexplained = Vec::new();
    for one in found {
        match reasons.iter().find(|reason| (reason.explains)(one)) {
            Some(reason) => *counts.entry(reason.text).or_insert(0_usize) += 1,
            None => unexplained.push(one),
        }
    }
    for (reason, count) in &counts {
        println!("{what}: {count} because {reason}");
    }
    assert!(unexplained.is_empty(), "{what}, without a reason: {unexplained:#?}");
    let idle: Vec<_> = reasons.iter().map(|reason| reason.text).filter(|text| !counts.contains_key(text)).collect();
    assert!(idle.is_empty(), "{what}: reasons that explain nothing any more: {idle:?}");
}

/// Why kbundle finds what osv-scanner does not.
const MORE_THAN_OSV_SCANNER: &[Reason] = &[Reason {
    text: "kbundle takes the version of Kubernetes' own source from the bundle's list, since programs do not state it",
    explains: |found| found.package == "k8s.io/kubernetes",
}];

/// Why osv-scanner finds what kbundle does not.
const LESS_THAN_OSV_SCANNER: &[Reason] = &[Reason {
    text: "v0.0.0 is what Go writes for a folder beside the source: kbundle counts it as not compared, osv-scanner takes it for the first version",
    explains: |found| found.version == "0.0.0",
}];

#[test]
#[ignore = "needs osv-scanner, records and bundles: ./ci/osv-scanner"]
fn osv_scanner_finds_the_same_advisories() {
    let (scanner, records) = (variable("KBUNDLE_OSV_SCANNER"), variable("KBUNDLE_ADVISORIES"));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("db/osv-scanner/Go")).unwrap();
    let zip =
        format!("cd '{records}' && python3 -m zipfile -c '{}' *.json", path("db/osv-scanner/Go/all.zip").display());
    success(&Command::new("sh").args(["-c", &zip]).output().unwrap());
    kbundle(folder.path(), &["advisories", "pack", "--osv", &records, "--unsigned"], None);
    fs::write(path("policy.yaml"), "schema: 1\nadvisories: {max-severity: critical, unknown-severity: allow}\n")
        .unwrap();
    let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
    for bundle in bundles() {
        let audit = [
            "audit",
            "--policy",
            "policy.yaml",
            "--advisories",
            "advisories.tar.zst",
            "--advisories-unsigned",
            "--output",
            "json",
        ];
        let audit = json_of(&kbundle(folder.path(), &audit, Some(&bundle)));
        ours.extend(items(&audit["advisories"]["findings"]).flat_map(of_finding));
        fs::write(path("bundle.cdx.json"), kbundle(folder.path(), &["sbom", "--format", "cyclonedx"], Some(&bundle)))
            .unwrap();
        let mut command = Command::new(&scanner);
        command.args(["scan", "source", "--offline", "--format", "json", "--local-db-path"]).arg(path("db"));
        let scanned = command.arg("--lockfile").arg(path("bundle.cdx.json")).output().unwrap();
        // 1 is what it says where it finds something.
        assert!([Some(0), Some(1)].contains(&scanned.status.code()), "{}", String::from_utf8_lossy(&scanned.stderr));
        let scanned = json_of(&scanned.stdout);
        let packages = items(&scanned["results"]).flat_map(|result| items(&result["packages"]));
        theirs.extend(packages.flat_map(of_scanned));
    }
    let both = ours.intersection(&theirs).count();
    println!(
        "{both} findings are the same, {} are kbundle's alone, {} osv-scanner's",
        ours.len() - both,
        theirs.len() - both
    );
    assert!(both > 0, "nothing was compared");
    all_explained("kbundle alone", &(&ours - &theirs), MORE_THAN_OSV_SCANNER);
    all_explained("osv-scanner alone", &(&theirs - &ours), LESS_THAN_OSV_SCANNER);
}

/// One for each record that a finding is made of.
fn of_finding(finding: &Value) -> Vec<Found> {
    let records = items(&finding["names"]).map(text).filter(|name| name.starts_with("GO-"));
    records.map(|id| of_go(&finding["package"], &finding["version"], id)).collect()
}

fn of_scanned(package: &Value) -> Vec<Found> {
    let about = &package["package"];
    items(&package["vulnerabilities"])
        .map(|record| of_go(&about["name"], &about["version"], text(&record["id"])))
        .collect()
}

fn of_go(package: &Value, version: &Value, about: String) -> Found {
    Found {
        place: String::new(),
        ecosystem: "golang".to_owned(),
        package: text(package).to_lowercase(),
        version: plain(&text(version)),
        about,
    }
}

/// What syft calls packages of the ecosystems that kbundle reads.
const SYFT_TYPES: [(&str, &str); 9] = [
    ("apk", "apk"),
    ("deb", "deb"),
    ("go-module", "golang"),
    ("java-archive", "maven"),
    ("jenkins-plugin", "maven"),
    ("npm", "npm"),
    ("python", "pypi"),
    ("rpm", "rpm"),
    ("rust-crate", "cargo"),
];

/// Why syft finds what kbundle does not.
const LESS_THAN_SYFT: &[Reason] = &[];

#[test]
#[ignore = "needs syft and bundles: ./ci/syft"]
fn syft_finds_nothing_that_kbundle_does_not() {
    let syft = variable("KBUNDLE_SYFT");
    let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
    for bundle in bundles() {
        let folder = tempfile::tempdir().unwrap();
        let sbom = json_of(&kbundle(folder.path(), &["sbom", "--output", "json"], Some(&bundle)));
        let subjects = items(&sbom["images"]).chain(items(&sbom["files"]));
        ours.extend(
            subjects.flat_map(|subject| items(&subject["packages"]).map(|package| of_kbundle(subject, package))),
        );
        kbundle(folder.path(), &["extract", "-C", "content"], Some(&bundle));
        let content = folder.path().join("content");
        for (name, source) in sources(&content) {
            let mut command = Command::new(&syft);
            command
                .args(["scan", &source, "--quiet", "--output", "json"])
                .args(["--override-default-catalogers", "image"]);
            let scanned = command.env("SYFT_CHECK_FOR_APP_UPDATE", "false").output().unwrap();
            let scanned = json_of(success(&scanned).as_bytes());
            theirs.extend(items(&scanned["artifacts"]).filter_map(|artifact| of_syft(&name, artifact)));
        }
    }
    let count =
        |found: &BTreeSet<Found>, ecosystem: &str| found.iter().filter(|one| one.ecosystem == ecosystem).count();
    let ecosystems: BTreeSet<&str> = SYFT_TYPES.iter().map(|(_, ecosystem)| *ecosystem).collect();
    for ecosystem in ecosystems {
        println!("{ecosystem}: syft {}, kbundle {}", count(&theirs, ecosystem), count(&ours, ecosystem));
    }
    assert!(!theirs.is_empty(), "nothing was compared");
    all_explained("syft alone", &(&theirs - &ours), LESS_THAN_SYFT);
}

/// Images and files of an unpacked bundle, as syft takes them.
fn sources(content: &Path) -> Vec<(String, String)> {
    let list = json_of(&fs::read(content.join("bundle.json")).unwrap());
    let mut sources = Vec::new();
    for (number, image) in items(&list["images"]).enumerate() {
        // A layout with this image alone; the content is the same.
        let layout = content.join(format!("image-{number}"));
        fs::create_dir(&layout).unwrap();
        fs::copy(content.join("oci-layout"), layout.join("oci-layout")).unwrap();
        std::os::unix::fs::symlink(content.join("blobs"), layout.join("blobs")).unwrap();
        let digest = text(&image["manifest"]);
        let size = fs::metadata(layout.join("blobs").join(digest.replace(':', "/"))).unwrap().len();
        let manifest =
            json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size });
        fs::write(layout.join("index.json"), json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string())
            .unwrap();
        sources.push((text(&image["reference"]), format!("oci-dir:{}", layout.display())));
    }
    let is_file = |entry: &&Value| ["binary", "archive"].contains(&entry["kind"].as_str().unwrap());
    for entry in items(&list["entries"]).filter(is_file) {
        let path = text(&entry["path"]);
        let source = format!("file:{}", content.join(&path).display());
        sources.push((path, source));
    }
    sources
}

fn of_kbundle(subject: &Value, package: &Value) -> Found {
    let ecosystem = text(&package["ecosystem"]);
    Found {
        place: text(&subject["name"]),
        package: package_name(&ecosystem, &text(&package["name"])),
        version: plain(&text(&package["version"])),
        about: String::new(),
        ecosystem,
    }
}

fn of_syft(place: &str, artifact: &Value) -> Option<Found> {
    let (_, ecosystem) = SYFT_TYPES.iter().find(|(name, _)| artifact["type"] == *name)?;
    Some(Found {
        place: place.to_owned(),
        ecosystem: (*ecosystem).to_owned(),
        package: package_name(ecosystem, &text(&artifact["name"])),
        version: plain(&text(&artifact["version"])),
        about: String::new(),
    })
}

/// The form in which names are compared: Python's names are the same in several forms, and of a Java archive syft states the last part.
fn package_name(ecosystem: &str, name: &str) -> String {
    match ecosystem {
        "pypi" => name.to_lowercase().replace(['_', '.'], "-"),
        "maven" => name.rsplit('/').next().unwrap_or(name).to_owned(),
        _ => name.to_owned(),
    }
}
