//! `kbundle advisories pack` and `kbundle audit`: a bundle with a Debian package, and an advisory about it.

use fs_err as fs;
use kbundle::audit::Policy;
use serde_json::{Value, json};

use crate::sbom::{STATUS, tar};
use crate::upstream::{Image, Upstream, failure, success};

/// A record of glibc in Debian 12, one that was withdrawn, and Kubernetes' feed, in `feed.json`.
pub fn write_osv(upstream: &Upstream) {
    fs::create_dir(upstream.path("osv")).unwrap();
    let record = |id: &str, cve: &str| {
        json!({
            "id": id, "modified": "2026-08-20T01:02:03Z", "upstream": [cve], "summary": format!("overflow in {id}"),
            "severity": [{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" }],
            "affected": [{
                "package": { "ecosystem": "Debian:12", "name": "glibc" },
                "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "2.36-10" }] }],
            }],
        })
    };
    let mut withdrawn = record("DEBIAN-CVE-2025-0002", "CVE-2025-0002");
    withdrawn["withdrawn"] = json!("2026-01-01T00:00:00Z");
    for (name, record) in [("a", record("DEBIAN-CVE-2025-0001", "CVE-2025-0001")), ("b", withdrawn)] {
        fs::write(upstream.path("osv").join(format!("{name}.json")), record.to_string()).unwrap();
    }
    let feed = json!({
        "version": "https://jsonfeed.org/version/1.1", "_kubernetes_io": { "updated_at": "2026-08-19T00:00:00Z" },
        "items": [{
            "id": "CVE-2025-0003", "summary": "a flaw of the kubelet", "status": "fixed", "date_published": "2025-03-24T22:07:21Z",
            "content_text": "Rated CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H. Affected: kubelet <= v1.32.2", "_kubernetes_io": { "issue_number": 7 },
        }],
    });
    fs::write(upstream.path("feed.json"), feed.to_string()).unwrap();
}

pub const PACK: [&str; 6] = ["advisories", "pack", "--osv", "osv", "--key", "signing.key"];

#[test]
fn advisories_are_packed_the_same_way_twice_and_other_tools_read_them() {
    let upstream = Upstream::new();
    write_osv(&upstream);
    let output = upstream.kbundle(PACK);
    success(&output);
    let said = String::from_utf8(output.stderr).unwrap();
    for part in ["advisories.tar.zst: 1 advisories of 2026-08-20", "Debian:12        1", "1 withdrawn", "signed by"] {
        assert!(said.contains(part), "{said}");
    }
    success(&upstream.kbundle([&PACK[..], &["--out", "again.tar.zst"]].concat()));
    let read = |name: &str| fs::read(upstream.path(name)).unwrap();
    assert_eq!(read("advisories.tar.zst"), read("again.tar.zst"));
    let script = "set -e; tar --zstd -xf advisories.tar.zst; base64 -d signatures/*.sig > raw.sig; openssl dgst -sha256 -verify signing.pub -signature raw.sig advisories.json";
    let shell = std::process::Command::new("sh").args(["-c", script]).current_dir(upstream.path("")).output().unwrap();
    assert!(success(&shell).contains("Verified OK"));
    let record: Value = serde_json::from_slice(&read("advisories.jsonl")).unwrap();
    assert_eq!(record["aliases"], json!(["CVE-2025-0001"]));
}

#[test]
fn advisories_replace_nothing_and_take_only_records() {
    let upstream = Upstream::new();
    write_osv(&upstream);
    fs::write(upstream.path("advisories.tar.zst"), "mine").unwrap();
    let (code, text) = failure(&upstream.kbundle(PACK));
    assert_eq!((code, text.contains("--force")), (3, true), "{text}");
    fs::write(upstream.path("osv/c.json"), "{\"id\": 7}").unwrap();
    let (code, text) = failure(&upstream.kbundle([&PACK[..], &["--force"]].concat()));
    assert_eq!((code, text.contains("c.json is not an OSV record")), (2, true), "{text}");
    assert_eq!(fs::read_to_string(upstream.path("advisories.tar.zst")).unwrap(), "mine");
    fs::remove_file(upstream.path("osv/c.json")).unwrap();
    fs::write(upstream.path("a.vex.json"), r#"{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{"vulnerability":{"name":"CVE-1"},"products":["a"],"status":"not_affected"}]}"#).unwrap();
    let (code, text) = failure(&upstream.kbundle([&PACK[..], &["--force", "--vex", "a.vex.json"]].concat()));
    assert_eq!((code, text.contains("without a justification")), (2, true), "{text}");
    success(&upstream.kbundle([&PACK[..], &["--force"]].concat()));
}

/// A signed bundle with glibc 2.36-9 in an image, and signed advisories.
pub fn audited() -> Upstream {
    let upstream = Upstream::new();
    let config = json!({ "os": "linux", "architecture": "amd64", "config": { "User": "1000" }, "rootfs": { "type": "layers", "diff_ids": [] } });
    let layer = tar(&[("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"), ("var/lib/dpkg/status", STATUS)]);
    upstream.add_image("distro", &Image::of(&config, layer));
    success(&upstream.build(&["--key", "signing.key", "--out", "bundle.tar.zst"]));
    write_osv(&upstream);
    success(&upstream.kbundle(PACK));
    upstream
}

pub fn audit(upstream: &Upstream, more: &[&str]) -> (Option<i32>, String, String) {
    let output = upstream.kbundle([&["audit", "bundle.tar.zst", "--key", "signing.pub"], more].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

pub fn policy(upstream: &Upstream, text: &str) {
    fs::write(upstream.path("policy.yaml"), format!("schema: 1\n{text}")).unwrap();
}

const WITH_ADVISORIES: [&str; 4] = ["--policy", "policy.yaml", "--advisories", "advisories.tar.zst"];

#[test]
fn policies_in_the_manual_can_be_read() {
    let blocks = kbundle_manual::examples::yaml_of("policy.yaml");
    assert!(!blocks.is_empty());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let (_, rules) = kbundle_manual::pages().find_map(|page| page.text.split_once("```rego\n")).unwrap();
    fs::write(folder.path().join("site.rego"), rules.split("```").next().unwrap()).unwrap();
    for block in blocks {
        fs::write(&path, &block.text).unwrap();
        Policy::find(&path).unwrap_or_else(|error| panic!("{}: {error:?}", block.place));
    }
}

#[test]
fn a_policy_allows_or_refuses_with_evidence() {
    let upstream = audited();
    let (code, text, errors) = audit(&upstream, &[]);
    assert_eq!(code, Some(0), "{text}{errors}");
    assert!(text.contains("allowed by the policy baseline") && text.contains("skipped  advisories-data"), "{text}");
    policy(&upstream, "profile: baseline\norigins: {hosts: [registry.k8s.io]}\n");
    let (code, text, errors) = audit(&upstream, &["--policy", "policy.yaml"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("REFUSED  origins         dl.k8s.io") && text.contains("sha256:"), "{text}");
    assert!(errors.contains("the policy policy.yaml refuses bundle.tar.zst"), "{errors}");
}

#[test]
fn advisories_count_unless_vex_or_a_waiver_says_otherwise() {
    let upstream = audited();
    let section = "advisories: {max-severity: high}\n";
    policy(&upstream, section);
    let (code, text, _) = audit(&upstream, &WITH_ADVISORIES);
    assert_eq!(code, Some(3), "{text}");
    for part in ["CVE-2025-0001 (critical, fixed in 2.36-10)", "glibc 2.36-9", "data of 2026-08-20", "pause:distro"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("CVE-2025-0002"), "withdrawn: {text}");

    let waiver = |until: &str| {
        format!(
            "{section}waivers: [{{rule: advisories, item: CVE-2025-0001, name: A. Officer, reason: not reachable, until: {until}}}]\n"
        )
    };
    policy(&upstream, &waiver("9999-12-31"));
    let (code, text, _) = audit(&upstream, &WITH_ADVISORIES);
    assert_eq!(
        (code, text.contains("waived   by A. Officer until 9999-12-31: not reachable")),
        (Some(0), true),
        "{text}"
    );
    policy(&upstream, &waiver("2026-01-01"));
    let (code, text, _) = audit(&upstream, &WITH_ADVISORIES);
    assert_eq!((code, text.contains("ended on 2026-01-01")), (Some(3), true), "{text}");

    let vex = json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.org/vex", "author": "A. Officer", "timestamp": "2026-09-01T00:00:00Z", "version": 1,
        "statements": [{
            "vulnerability": { "name": "CVE-2025-0001" }, "products": [{ "@id": "pkg:deb/debian/libc6" }],
            "status": "not_affected", "justification": "vulnerable_code_not_in_execute_path",
        }],
    });
    fs::write(upstream.path("a.vex.json"), vex.to_string()).unwrap();
    success(&upstream.kbundle([&PACK[..], &["--vex", "a.vex.json", "--force"]].concat()));
    policy(&upstream, section);
    let (code, text, _) = audit(&upstream, &WITH_ADVISORIES);
    assert_eq!((code, text.contains("VEX      CVE-2025-0001")), (Some(0), true), "{text}");
}

/// A statement about glibc that counts in one image alone, with a product that nothing is compared with.
fn csaf(status: &str) -> Value {
    let product =
        |id: &str, helper: Value| json!({ "product_id": id, "name": id, "product_identification_helper": helper });
    json!({
        "document": {
            "category": "csaf_vex", "csaf_version": "2.0", "title": "VEX of site A",
            "publisher": { "category": "vendor", "name": "Site A", "namespace": "https://example.org" },
            "tracking": { "id": "A-1", "status": "final", "version": "1", "current_release_date": "2026-09-01T00:00:00Z" },
        },
        "product_tree": { "full_product_names": [
            product("glibc", json!({ "purl": "pkg:deb/debian/libc6" })), product("debian", json!({ "cpe": "cpe:/o:debian:debian_linux:12" })),
        ] },
        "vulnerabilities": [{
            "cve": "CVE-2025-0001", "product_status": { status: ["glibc", "debian"] },
            "flags": [{ "label": "vulnerable_code_not_in_execute_path", "product_ids": ["glibc", "debian"] }],
        }],
    })
}

#[test]
fn csaf_takes_findings_out_and_the_feed_of_kubernetes_is_shown() {
    let upstream = audited();
    policy(&upstream, "advisories: {max-severity: high}\n");
    let pack = |status: &str| {
        fs::write(upstream.path("a.csaf.json"), csaf(status).to_string()).unwrap();
        upstream.kbundle([&PACK[..], &["--force", "--vex", "a.csaf.json", "--kubernetes-feed", "feed.json"]].concat())
    };
    let output = pack("known_affected");
    success(&output);
    let said = String::from_utf8(output.stderr).unwrap();
    for part in
        ["VEX documents    1, with 1 products that nothing is compared with", "Kubernetes' feed 1 CVEs, 0 of them"]
    {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(audit(&upstream, &WITH_ADVISORIES).0, Some(3));
    success(&pack("known_not_affected"));
    let (code, text, _) = audit(&upstream, &WITH_ADVISORIES);
    let shown = "not affected, vulnerable_code_not_in_execute_path";
    assert_eq!((code, text.contains(shown)), (Some(0), true), "{text}");
    assert!(text.contains("Kubernetes' feed of 2026-08-19: 1 CVEs, 1 not compared"), "{text}");
    let (_, json, _) = audit(&upstream, &[&WITH_ADVISORIES[..], &["--output", "json"]].concat());
    let entry = &serde_json::from_str::<Value>(&json).unwrap()["advisories"]["kubernetesFeed"]["entries"][0];
    assert_eq!(
        (&entry["id"], &entry["severity"], &entry["compared"]),
        (&json!("CVE-2025-0003"), &json!("critical"), &json!(false))
    );
    let page =
        success(&upstream.kbundle(
            [&["report", "bundle.tar.zst", "--key", "signing.pub", "--out", "-"][..], &WITH_ADVISORIES].concat(),
        ));
    assert!(page.contains("a flaw of the kubelet"), "the page lists what was not compared");
}

#[test]
fn documents_and_feeds_that_cannot_be_used_are_refused_and_nothing_is_written() {
    let upstream = Upstream::new();
    write_osv(&upstream);
    let mut draft = csaf("fixed");
    draft["document"]["tracking"]["status"] = json!("draft");
    fs::write(upstream.path("draft.json"), draft.to_string()).unwrap();
    for (more, part) in [
        (["--vex", "draft.json"], "its tracking.status is `draft`"),
        (["--vex", "feed.json"], "it is neither an OpenVEX nor a CSAF document"),
        (["--kubernetes-feed", "draft.json"], "draft.json is not Kubernetes' feed of CVEs: missing field"),
        (["--kubernetes-feed", "absent.json"], "cannot read absent.json"),
    ] {
        let (code, text) = failure(&upstream.kbundle([&PACK[..], &more].concat()));
        assert_eq!((code, text.contains(part)), (2, true), "{text}");
        assert!(!upstream.path("advisories.tar.zst").exists());
    }
}

#[test]
fn advisories_of_a_stranger_or_too_old_ones_are_refused() {
    let upstream = audited();
    success(&upstream.kbundle(["keygen", "--out", "other.key"]));
    let (code, _, errors) = audit(&upstream, &["--advisories", "advisories.tar.zst", "--advisories-key", "other.pub"]);
    assert_eq!((code, errors.contains("no trusted key signed the advisories")), (Some(3), true), "{errors}");
    let output = upstream.kbundle(["audit", "bundle.tar.zst", "--unsigned", "--advisories", "advisories.tar.zst"]);
    let (code, text) = failure(&output);
    assert_eq!((code, text.contains("no key to verify the advisories with")), (2, true), "{text}");
    success(&upstream.kbundle([&PACK[..], &["--date", "2026-01-01", "--force"]].concat()));
    policy(&upstream, "advisories: {max-severity: critical, max-age-days: 3}\n");
    let (code, text, _) = audit(&upstream, &WITH_ADVISORIES);
    assert_eq!((code, text.contains("REFUSED  advisories-data age")), (Some(3), true), "{text}");
}

#[test]
fn who_signed_the_advisories_is_asked_apart_from_who_signed_the_bundle() {
    let upstream = audited();
    success(&upstream.kbundle(["keygen", "--out", "other.key"]));
    let unsigned = ["advisories", "pack", "--osv", "osv", "--unsigned", "--out", "bare.tar.zst"];
    success(&upstream.kbundle(unsigned));
    policy(&upstream, "advisories: {max-severity: critical}\n");
    let audit = |more: &[&str]| {
        let output = upstream.kbundle([&["audit", "bundle.tar.zst", "--policy", "policy.yaml"], more].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
    };
    let signed = ["--advisories", "advisories.tar.zst"];
    let (code, text) = audit(&[&["--unsigned"], &signed[..], &["--advisories-key", "signing.pub"]].concat());
    assert_eq!((code, text.contains("packages compared, 0 not\n             signed by ")), (Some(0), true), "{text}");
    let (code, text) = audit(&[&["--unsigned"], &signed[..], &["--advisories-key", "other.pub"]].concat());
    assert_eq!((code, text.contains("no trusted key signed the advisories")), (Some(3), true), "{text}");
    let bare = ["--key", "signing.pub", "--advisories", "bare.tar.zst"];
    assert_eq!(audit(&bare).0, Some(3));
    let (code, text) = audit(&[&bare[..], &["--advisories-unsigned"]].concat());
    assert_eq!((code, text.contains("nobody asked who signed them")), (Some(0), true), "{text}");
}

#[test]
fn a_report_is_a_page_that_is_written_whole_or_not_at_all() {
    let upstream = audited();
    policy(&upstream, "advisories: {max-severity: high}\n");
    let report = ["report", "bundle.tar.zst", "--key", "signing.pub"];
    let output = upstream.kbundle([&report[..], &WITH_ADVISORIES].concat());
    success(&output);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("report.html: the policy policy.yaml REFUSES bundle.tar.zst"), "{said}");
    let page = fs::read_to_string(upstream.path("report.html")).unwrap();
    for part in
        ["<!DOCTYPE html>", "The policy refuses this bundle", "CVE-2025-0001", "libc6", "pause:distro", "dl.k8s.io"]
    {
        assert!(page.contains(part), "{part}");
    }
    let (code, text) = failure(&upstream.kbundle(report));
    assert_eq!((code, text.contains("`--force`")), (3, true), "{text}");
    assert_eq!(fs::read_to_string(upstream.path("report.html")).unwrap(), page);
    success(&upstream.kbundle([&report[..], &["--force"]].concat()));
    let printed = success(&upstream.kbundle([&report[..], &["--out", "-"]].concat()));
    assert!(printed.starts_with("<!DOCTYPE html>") && printed.contains("The policy allows this bundle"));
    assert_eq!(upstream.incomplete(), 0);
}

#[test]
fn mistakes_in_a_policy_are_named_and_nothing_is_read() {
    let upstream = audited();
    policy(&upstream, "singers: {threshold: 1}\nadvisories: {max-severity: hihg}\n");
    let (code, _, errors) = audit(&upstream, &["--policy", "policy.yaml"]);
    assert_eq!(code, Some(2), "{errors}");
    for part in ["did you mean `signers`?", "did you mean `high`?", "line 2"] {
        assert!(errors.contains(part), "{errors}");
    }
    let (code, _, errors) = audit(&upstream, &["--policy", "absent.yaml"]);
    assert_eq!(code, Some(2), "{errors}");
}

#[test]
fn a_damaged_bundle_is_refused_before_any_rule() {
    let upstream = audited();
    let mut bytes = fs::read(upstream.path("bundle.tar.zst")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(upstream.path("bundle.tar.zst"), bytes).unwrap();
    // `strict` compares digests while it looks inside.
    for policy in ["baseline", "strict"] {
        let (code, text, errors) = audit(&upstream, &["--policy", policy]);
        assert_eq!((code, text.as_str(), errors.contains("refused bundle.tar.zst")), (Some(3), "", true), "{errors}");
    }
}

#[test]
fn other_programs_get_the_verdicts_in_their_form() {
    let upstream = audited();
    policy(&upstream, "pins: {allowed: [upstream-checksum]}\nimages: {latest-tag: refuse}\n");
    let run = |form: &str| audit(&upstream, &["--policy", "policy.yaml", "--format", form]);
    let (code, sarif, _) = run("sarif");
    let sarif: Value = serde_json::from_str(&sarif).unwrap();
    assert_eq!((code, &sarif["version"]), (Some(3), &json!("2.1.0")));
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert!(results.iter().any(|result| result["ruleId"] == "pins" && result["level"] == "error"), "{sarif:#}");
    let (code, junit, errors) = run("junit");
    assert_eq!(code, Some(3));
    assert!(
        junit.starts_with("<?xml") && junit.contains("<failure message=") && junit.ends_with("</testsuites>\n"),
        "{junit}"
    );
    assert!(errors.contains("refuses bundle.tar.zst"), "{errors}");
}
