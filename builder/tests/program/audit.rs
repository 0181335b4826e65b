//! `kbundle advisories pack`: what goes into the file and what is refused.

use fs_err as fs;
use serde_json::{Value, json};

use crate::upstream::{Upstream, failure, success};

/// A record of glibc in Debian 12, and one that was withdrawn.
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
}

const PACK: [&str; 6] = ["advisories", "pack", "--osv", "osv", "--key", "signing.key"];

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
    assert_eq!((code, text.contains("c.json is no OSV record")), (2, true), "{text}");
    assert_eq!(fs::read_to_string(upstream.path("advisories.tar.zst")).unwrap(), "mine");
    fs::remove_file(upstream.path("osv/c.json")).unwrap();
    fs::write(upstream.path("a.vex.json"), r#"{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{"vulnerability":{"name":"CVE-1"},"products":["a"],"status":"not_affected"}]}"#).unwrap();
    let (code, text) = failure(&upstream.kbundle([&PACK[..], &["--force", "--vex", "a.vex.json"]].concat()));
    assert_eq!((code, text.contains("without a justification")), (2, true), "{text}");
    success(&upstream.kbundle([&PACK[..], &["--force"]].concat()));
}
