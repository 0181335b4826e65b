//! Matching of small documents, and of the real records in the folder that `KBUNDLE_ADVISORIES` names.

use std::path::{Path, PathBuf};

use fs_err as fs;
use kbundle_format::key::Algorithm;
use kbundle_format::{Digest, SigningKey, TrustPolicy};
use kbundle_sbom::cyclonedx::{Component, Hash, Kind, PATH, Property};

use super::*;
use crate::{AdvisoriesError, PackError, Packer, Reader};

fn record(id: &str, aliases: &str, more: &str, affected: &str) -> String {
    format!(
        r#"{{"id":"{id}","modified":"2026-01-02T03:04:05Z","aliases":[{aliases}],"summary":"of {id}"{more},"affected":[{affected}]}}"#
    )
}

fn affected(ecosystem: &str, name: &str, fixed: &str) -> String {
    format!(
        r#"{{"package":{{"ecosystem":"{ecosystem}","name":"{name}"}},"ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}"#
    )
}

/// A file of the bundle with packages, by their URLs.
fn file(path: &str, purls: &[&str]) -> Component {
    let library = |purl: &&str| {
        let parsed: packageurl::PackageUrl<'_> = purl.parse().unwrap();
        let version = parsed.version().map(str::to_owned);
        Component { name: parsed.name().to_owned(), version, purl: Some((*purl).to_owned()), ..Component::default() }
    };
    Component {
        kind: Kind::Application,
        name: path.to_owned(),
        hashes: vec![Hash::from(&Digest::of(path.as_bytes()))],
        properties: vec![Property { name: PATH.to_owned(), value: path.to_owned() }],
        components: purls.iter().map(library).collect(),
        ..Component::default()
    }
}

fn bom(files: Vec<Component>) -> Bom {
    Bom::new(&Digest::of(b""), None, Component::default(), files)
}

/// A folder with the records of a test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(records: &[String]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir(folder.path("osv")).unwrap();
        for (number, record) in records.iter().enumerate() {
            fs::write(folder.path("osv").join(format!("{number}.json")), record).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn pack(&self, keys: &[&SigningKey], vex: &[&str]) -> PathBuf {
        let mut packer = Packer::default();
        packer.add(&self.path("osv")).unwrap();
        for (number, text) in vex.iter().enumerate() {
            let path = self.path(&format!("{number}.vex"));
            fs::write(&path, text).unwrap();
            packer.add_vex(&path).unwrap();
        }
        let mut bytes = Vec::new();
        packer.finish(None).unwrap().write(keys, &mut bytes).unwrap();
        let path = self.path("advisories.tar.zst");
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn find(advisories: &Path, bom: &Bom) -> Findings {
    let mut matching = Matching::new(bom);
    let documents = Reader::open(advisories, None).unwrap().read(&mut |record| matching.see(record)).unwrap();
    matching.finish(&documents)
}

#[test]
fn each_ecosystem_is_matched_by_its_own_versions_and_names() {
    let folder = Folder::new(&[
        record("GO-1", "", "", &affected("Go", "golang.org/x/net", "0.17.0")),
        record("DEBIAN-CVE-2", "", r#","upstream":["CVE-2"]"#, &affected("Debian:12", "glibc", "2.36-9+deb12u3")),
        record("ALPINE-3", "", "", &affected("Alpine:v3.18", "openssl", "3.1.4-r1")),
        record("PYSEC-4", "", "", &affected("PyPI", "Zope.Interface", "5.1")),
        record("GHSA-5", "", r#","database_specific":{"severity":"CRITICAL"}"#, &affected("npm", "@a/b", "2.0.0")),
    ]);
    let affected = [
        "pkg:golang/golang.org/x/net@v0.0.0-20220722155237-a158d28d115b",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?distro=debian-12&upstream=glibc",
        "pkg:apk/alpine/libcrypto3@3.1.4-r0?distro=alpine-3.18.4&upstream=openssl",
        "pkg:pypi/zope-interface@5.0",
        "pkg:npm/%40a/b@1.9.9",
    ];
    let fixed = [
        "pkg:golang/golang.org/x/net@v0.17.0",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u3?distro=debian-12&upstream=glibc",
        "pkg:deb/debian/libc6@2.31-1?distro=debian-11&upstream=glibc",
        "pkg:apk/alpine/libcrypto3@3.1.4-r1?distro=alpine-3.18.4&upstream=openssl",
        "pkg:pypi/zope-interface@5.1",
        "pkg:npm/b@1.9.9",
    ];
    let advisories = folder.pack(&[], &[]);
    let found = find(&advisories, &bom(vec![file("a", &affected), file("b", &fixed)]));
    let ids: Vec<_> = found.findings.iter().map(|finding| finding.id.as_str()).collect();
    assert_eq!(ids, ["GHSA-5", "ALPINE-3", "CVE-2", "GO-1", "PYSEC-4"]);
    assert!(found.findings.iter().all(|finding| finding.places.len() == 1 && finding.places[0].name == "a"));
    assert_eq!(found.findings[2].fixed_in, ["2.36-9+deb12u3"]);
    assert_eq!(found.compared["Debian:11"], 1);
}

#[test]
fn records_of_one_flaw_are_one_finding_and_withdrawn_ones_none() {
    let go = affected("Go", "example.org/m", "1.5.0");
    let folder = Folder::new(&[
        record("GO-1", r#""CVE-1","GHSA-1""#, "", &go),
        record(
            "GHSA-1",
            r#""CVE-1""#,
            r#","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]"#,
            &go,
        ),
        record("GO-2", r#""CVE-2""#, r#","withdrawn":"2026-01-01T00:00:00Z""#, &go),
        record("GO-3", r#""CVE-3""#, "", &affected("Go", "example.org/m", "1.4.0")),
    ]);
    let advisories = folder.pack(&[], &[]);
    let found = find(&advisories, &bom(vec![file("a", &["pkg:golang/example.org/m@v1.4.2"])]));
    let [finding] = found.findings.as_slice() else { panic!("{found:?}") };
    assert_eq!((finding.id.as_str(), finding.severity), ("CVE-1", Some(Severity::Critical)));
    assert_eq!(finding.names, ["CVE-1", "GHSA-1", "GO-1"]);
    let reader = Reader::open(&advisories, None).unwrap();
    assert_eq!((reader.manifest().records, reader.manifest().withdrawn), (3, 1));
    assert_eq!(reader.manifest().day.unwrap().to_string(), "2026-01-02");
}

#[test]
fn vex_takes_places_out_and_the_last_statement_counts() {
    let folder = Folder::new(&[record("GO-1", r#""CVE-1""#, "", &affected("Go", "example.org/m", "1.5.0"))]);
    let document = |moment: &str, statement: &str| {
        format!(
            r#"{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"x","author":"a","timestamp":"{moment}","version":1,"statements":[{statement}]}}"#
        )
    };
    let about = |product: &str, status: &str| {
        format!(
            r#"{{"vulnerability":{{"name":"CVE-1"}},"products":[{product}],"status":"{status}","justification":"vulnerable_code_not_in_execute_path"}}"#
        )
    };
    let purl = "pkg:golang/example.org/m@v1.0.0";
    let in_a = r#"{"@id":"a","subcomponents":[{"@id":"pkg:golang/example.org/m"}]}"#;
    let files = bom(vec![file("a", &[purl]), file("b", &[purl])]);
    let open = |vex: &[&str]| -> Vec<String> {
        let findings = find(&folder.pack(&[], vex), &files).findings;
        findings[0].places.iter().map(|place| place.name.clone()).collect()
    };
    let early = document("2026-01-01T00:00:00Z", &about(in_a, "not_affected"));
    assert_eq!(open(&[]), ["a", "b"]);
    assert_eq!(open(&[&early]), ["b"]);
    let late = document("2026-02-01T00:00:00Z", &about(in_a, "affected"));
    assert_eq!(open(&[&late, &early]), ["a", "b"]);
    let all = document("2026-03-01T00:00:00Z", &about(r#"{"@id":"pkg:golang/example.org/m"}"#, "fixed"));
    assert_eq!(open(&[&all, &late]), Vec::<String>::new());
    let other = document("2026-03-01T00:00:00Z", &about(r#"{"@id":"pkg:golang/example.org/n"}"#, "fixed"));
    assert_eq!(open(&[&other]), ["a", "b"]);
}

#[test]
fn the_same_records_give_the_same_file_in_any_order() {
    let records: Vec<_> = (0..9)
        .map(|number| record(&format!("GO-{number}"), "", "", &affected("Go", "example.org/m", "1.5.0")))
        .collect();
    let key = SigningKey::generate(Algorithm::Ed25519).unwrap();
    let one = fs::read(Folder::new(&records).pack(&[&key], &[])).unwrap();
    let mut turned = records;
    turned.reverse();
    assert_eq!(fs::read(Folder::new(&turned).pack(&[&key], &[])).unwrap(), one);
}

#[test]
fn the_newer_of_two_records_of_one_name_counts() {
    let old = record("GO-1", "", "", &affected("Go", "example.org/m", "1.5.0")).replace("2026-01-02", "2025-01-02");
    let new = record("GO-1", "", "", &affected("Go", "example.org/m", "1.6.0"));
    let affected = |records: &[String]| {
        let folder = Folder::new(records);
        find(&folder.pack(&[], &[]), &bom(vec![file("a", &["pkg:golang/example.org/m@v1.5.0"])])).findings.len()
    };
    assert_eq!(affected(&[new.clone(), old.clone()]), 1);
    let withdrawn = new.replace("\"aliases\"", "\"withdrawn\":\"2026-02-01T00:00:00Z\",\"aliases\"");
    let other = new.replace("GO-1", "GO-2").replace("example.org/m", "example.org/n");
    assert_eq!(affected(&[old, withdrawn, other]), 0);
}

#[test]
fn only_a_trusted_signature_over_unchanged_content_is_taken() {
    let folder = Folder::new(&[record("GO-1", "", "", &affected("Go", "example.org/m", "1.5.0"))]);
    let keys = [Algorithm::EcdsaP256, Algorithm::Ed25519].map(|algorithm| SigningKey::generate(algorithm).unwrap());
    let trust = |key: &SigningKey| TrustPolicy::new([key.verifying_key()], 1).unwrap();
    let path = folder.pack(&[&keys[0]], &[]);
    assert_eq!(Reader::open(&path, Some(&trust(&keys[0]))).unwrap().signers(), [keys[0].verifying_key().id()]);
    let stranger = Reader::open(&path, Some(&trust(&keys[1]))).err().unwrap();
    assert!(matches!(stranger, AdvisoriesError::Untrusted { .. }), "{stranger}");
    // The content is changed, with the signature of the original.
    let tar = zstd::decode_all(&*fs::read(&path).unwrap()).unwrap();
    let changed = String::from_utf8_lossy(&tar).replace("of GO-1", "of GO-2").into_bytes();
    fs::write(&path, zstd::encode_all(&*changed, 3).unwrap()).unwrap();
    let reader = Reader::open(&path, Some(&trust(&keys[0]))).unwrap();
    let error = reader.read(&mut |_| ()).err().unwrap();
    assert!(matches!(error, AdvisoriesError::Digest { .. }), "{error}");
    for cut in [0, 10, 600, 2000, tar.len() - 1] {
        fs::write(&path, zstd::encode_all(&tar[..cut], 3).unwrap()).unwrap();
        let read = Reader::open(&path, None).and_then(|reader| reader.read(&mut |_| ()));
        assert!(read.is_err(), "{cut}");
    }
    fs::write(&path, zstd::encode_all(&*[&tar[..], b"more"].concat(), 3).unwrap()).unwrap();
    assert!(Reader::open(&path, None).and_then(|reader| reader.read(&mut |_| ())).is_err());
}

#[test]
fn files_that_are_no_records_are_named() {
    let folder = Folder::new(&["{}".to_owned()]);
    let error = Packer::default().add(&folder.path("osv")).unwrap_err();
    assert!(error.to_string().contains("0.json is not an OSV record: missing field `id`"), "{error}");
    fs::write(folder.path("no.zip"), "no zip").unwrap();
    assert!(matches!(Packer::default().add(&folder.path("no.zip")), Err(PackError::Zip { .. })));
    assert!(matches!(Packer::default().add(&folder.path("absent")), Err(PackError::Read { .. })));
    assert!(matches!(Packer::default().finish(None), Err(PackError::Nothing)));
}

#[test]
fn a_zip_gives_what_its_folder_gives_and_a_bomb_is_refused() {
    use std::io::Write as _;
    use zip::write::SimpleFileOptions;

    let records = [record("GO-1", "", "", &affected("Go", "example.org/m", "1.5.0"))];
    let folder = Folder::new(&records);
    let zipped = |name: &str, content: &[u8]| {
        let path = folder.path(name);
        let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
        zip.start_file("../../GO-1.json", SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap();
        path
    };
    let manifest = |path: &Path| {
        let mut packer = Packer::default();
        packer.add(path).map(|()| packer.finish(None).unwrap().manifest)
    };
    assert_eq!(manifest(&zipped("a.zip", records[0].as_bytes())).unwrap(), manifest(&folder.path("osv")).unwrap());
    let bomb = vec![b' '; usize::try_from(crate::limits::MAX_RECORD_BYTES).unwrap() + 1];
    let error = manifest(&zipped("bomb.zip", &bomb)).unwrap_err();
    assert!(matches!(error, PackError::Record { .. }), "{error}");
}

/// Real records of Go's vulnerability database, against versions of real programs.
#[test]
#[ignore = "needs records of Go's vulnerability database in $KBUNDLE_ADVISORIES: ./ci/test unit"]
fn real_records_are_matched() {
    let folder = std::env::var_os("KBUNDLE_ADVISORIES").expect("KBUNDLE_ADVISORIES names a folder with records");
    let mut packer = Packer::default();
    packer.add(Path::new(&folder)).unwrap();
    let mut packed = packer.finish(Some("2026-08-21".parse().unwrap())).unwrap();
    assert!(packed.manifest.records > 300 && packed.manifest.withdrawn > 0, "{:?}", packed.manifest);
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("advisories.tar.zst");
    let mut bytes = Vec::new();
    packed.write(&[], &mut bytes).unwrap();
    fs::write(&path, bytes).unwrap();
    let of = |purl: &str| -> BTreeSet<String> {
        let findings = find(&path, &bom(vec![file("a", &[purl])])).findings;
        findings.into_iter().flat_map(|finding| finding.names).collect()
    };
    // GO-2025-4108: fixed in 1.7.29, 2.0.7, 2.1.5 and 2.2.0.
    assert!(of("pkg:golang/github.com/containerd/containerd@v1.7.28").contains("CVE-2025-64329"));
    assert!(!of("pkg:golang/github.com/containerd/containerd@v1.7.29").contains("CVE-2025-64329"));
    assert!(of("pkg:golang/github.com/containerd/containerd/v2@v2.1.4").contains("GO-2025-4108"));
    assert!(!of("pkg:golang/github.com/containerd/containerd/v2@v2.2.0").contains("GO-2025-4108"));
    let (old, new) = (of("pkg:golang/stdlib@1.19.3"), of("pkg:golang/stdlib@1.99.0"));
    assert!(old.len() > 50 && new.is_empty(), "{} {}", old.len(), new.len());
}
