//! What programs of others find in the same bundles with the same advisories. `docs/decisions/audit.md` says what came out.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::Value;

use crate::upstream::{kbundle_in, success};

/// A package, its version, and a record about it.
type Found = (String, String, String);

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run ./ci/osv-scanner"))
}

/// What kbundle prints, about a bundle if one is given.
fn kbundle(folder: &Path, arguments: &[&str], bundle: Option<&Path>) -> Vec<u8> {
    let mut command = kbundle_in(folder);
    command.args(arguments).args(bundle.iter().flat_map(|bundle| [bundle.as_os_str(), "--unsigned".as_ref()]));
    success(&command.output().unwrap()).into_bytes()
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Names of modules are compared in lower case, versions without what only some write before them.
fn found(package: &Value, version: &Value, record: &Value) -> Found {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = text(version);
    let plain = version.strip_prefix("go").or_else(|| version.strip_prefix('v')).unwrap_or(&version);
    (text(package).to_lowercase(), plain.to_owned(), text(record))
}

/// The findings of an audit, one for each record of Go's database that they are made of.
fn of_audit(audit: &Value) -> BTreeSet<Found> {
    let findings = items(&audit["advisories"]["findings"]);
    let of_each = |finding: &Value| -> Vec<Found> {
        let records = items(&finding["names"]).filter(|name| name.as_str().unwrap().starts_with("GO-"));
        records.map(|record| found(&finding["package"], &finding["version"], record)).collect()
    };
    findings.flat_map(of_each).collect()
}

fn of_scanner(scanned: &Value) -> BTreeSet<Found> {
    let packages = items(&scanned["results"]).flat_map(|result| items(&result["packages"]));
    let of_each = |package: &Value| -> Vec<Found> {
        let about = &package["package"];
        let records = items(&package["vulnerabilities"]);
        records.map(|record| found(&about["name"], &about["version"], &record["id"])).collect()
    };
    packages.flat_map(of_each).collect()
}

#[test]
#[ignore = "needs osv-scanner, records and bundles: ./ci/osv-scanner"]
fn osv_scanner_finds_the_same_advisories() {
    let (scanner, records) = (variable("KBUNDLE_OSV_SCANNER"), variable("KBUNDLE_ADVISORIES"));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // Where osv-scanner keeps its copy of the database of an ecosystem.
    fs::create_dir_all(path("db/osv-scalibr/Go")).unwrap();
    let zip = path("db/osv-scalibr/Go/all.zip");
    let script = "cd \"$1\" && python3 -m zipfile -c \"$2\" *.json";
    success(&Command::new("sh").args(["-c", script, "sh", &records]).arg(zip).output().unwrap());
    kbundle(folder.path(), &["advisories", "pack", "--osv", &records, "--unsigned"], None);
    fs::write(path("policy.yaml"), "schema: 1\nadvisories: {max-severity: critical, unknown-severity: allow}\n")
        .unwrap();
    for bundle in std::env::split_paths(&variable("KBUNDLE_ORACLE_BUNDLES")) {
        let options =
            ["audit", "--policy", "policy.yaml", "--advisories", "advisories.tar.zst", "--advisories-unsigned"];
        let audit = kbundle(folder.path(), &[&options[..], &["--output", "json"]].concat(), Some(&bundle));
        let ours = of_audit(&json_of(&audit));
        let sbom = kbundle(folder.path(), &["sbom", "--format", "cyclonedx"], Some(&bundle));
        fs::write(path("bundle.cdx.json"), sbom).unwrap();
        let mut command = Command::new(&scanner);
        command.args(["scan", "source", "--offline", "--format", "json", "--local-db-path"]).arg(path("db"));
        let scanned = command.arg("--lockfile").arg(path("bundle.cdx.json")).output().unwrap();
        // 1 is its exit code where it finds something.
        assert!([Some(0), Some(1)].contains(&scanned.status.code()), "{}", String::from_utf8_lossy(&scanned.stderr));
        let theirs = of_scanner(&json_of(&scanned.stdout));
        println!("{}: {} findings of kbundle, {} of osv-scanner", bundle.display(), ours.len(), theirs.len());
        assert!(!theirs.is_empty(), "nothing was compared");
        assert_eq!(&ours - &theirs, BTreeSet::new(), "kbundle alone");
        assert_eq!(&theirs - &ours, BTreeSet::new(), "osv-scanner alone");
    }
}
