//! `kbundle audit --record`, and commands that demand a record.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fs_err as fs;
use serde_json::{Value, json};

use crate::audit::{audit, audited, policy};
use crate::sbom::tar;
use crate::upstream::{Image, Upstream, failure, success};

const RECORD: &str = "bundle.tar.zst.audit.json";
const WRITE: [&str; 4] = ["--record", RECORD, "--sign-key", "auditor.key"];
const DEMAND: [&str; 6] = demand("auditor.pub");

const fn demand(key: &str) -> [&str; 6] {
    ["verify", "bundle.tar.zst", "--key", "signing.pub", "--require-audit", key]
}

/// A bundle with a record that it passed.
fn recorded() -> Upstream {
    let upstream = audited();
    success(&upstream.kbundle(["keygen", "--out", "auditor.key"]));
    let (code, text, errors) = audit(&upstream, &WRITE);
    assert_eq!(code, Some(0), "{text}{errors}");
    assert!(text.contains("record     bundle.tar.zst.audit.json, signed by"), "{text}");
    upstream
}

fn envelope(upstream: &Upstream) -> Value {
    serde_json::from_slice(&fs::read(upstream.path(RECORD)).unwrap()).unwrap()
}

/// The text of a refusal; nothing is printed as a result.
fn refusal(upstream: &Upstream, demand: &[&str]) -> String {
    let output = upstream.kbundle(demand.to_vec());
    let (code, text) = failure(&output);
    assert_eq!((code, output.stdout.as_slice()), (3, &b""[..]), "{text}");
    text
}

#[test]
fn a_record_is_a_statement_that_openssl_verifies() {
    let upstream = recorded();
    let envelope = envelope(&upstream);
    let payload = BASE64.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let signed = format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len()).into_bytes();
    fs::write(upstream.path("signed"), [signed, payload.clone()].concat()).unwrap();
    let signature = BASE64.decode(envelope["signatures"][0]["sig"].as_str().unwrap()).unwrap();
    fs::write(upstream.path("raw.sig"), signature).unwrap();
    let openssl = ["dgst", "-sha256", "-verify", "auditor.pub", "-signature", "raw.sig", "signed"];
    let verified = std::process::Command::new("openssl").args(openssl).current_dir(upstream.path("")).output().unwrap();
    assert!(success(&verified).contains("Verified OK"));

    let statement: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "urn:kbundle:audit:v1");
    let digest = success(&upstream.kbundle(["sign", "bundle.tar.zst", "--print-digest"]));
    assert_eq!(statement["subject"], json!([{ "name": "bundle.json", "digest": { "sha256": digest.trim() } }]));
    let record = &statement["predicate"];
    assert_eq!((&record["result"], &record["policy"]["name"]), (&json!("passed"), &json!("baseline")));
    assert_eq!(record["auditor"]["version"]["kbundle"], env!("CARGO_PKG_VERSION"));
    assert!(record["verdicts"].as_array().unwrap().len() > 3 && record["time"].is_string(), "{record:#}");
}

#[test]
fn a_bundle_with_a_record_is_verified_and_waivers_are_shown() {
    let upstream = recorded();
    assert!(success(&upstream.kbundle(DEMAND)).contains("audit      passed by the policy baseline at 2"));
    let waiver = "{rule: origins, item: dl.k8s.io, name: A. Officer, reason: seen, until: 9999-12-31}";
    policy(&upstream, &format!("origins: {{hosts: [registry.k8s.io]}}\nwaivers: [{waiver}]\n"));
    let (code, text, errors) = audit(&upstream, &[&["--policy", "policy.yaml", "--force"], &WRITE[..]].concat());
    assert_eq!(code, Some(0), "{text}{errors}");
    let text = success(&upstream.kbundle(DEMAND));
    let waived = "\n             waived: origins of dl.k8s.io, by A. Officer until 9999-12-31: seen\n";
    assert!(text.contains("passed by the policy policy.yaml") && text.contains(waived), "{text}");
}

#[test]
fn a_bundle_without_a_good_record_is_refused() {
    let upstream = recorded();
    success(&upstream.kbundle(["keygen", "--out", "other.key"]));
    let stranger = refusal(&upstream, &demand("other.pub"));
    assert!(stranger.contains("has no signature by a trusted key"), "{stranger}");

    let mut changed = envelope(&upstream);
    let payload = String::from_utf8(BASE64.decode(changed["payload"].as_str().unwrap()).unwrap()).unwrap();
    changed["payload"] = BASE64.encode(payload.replace("baseline", "strict")).into();
    fs::write(upstream.path("changed.json"), changed.to_string()).unwrap();
    let altered = refusal(&upstream, &[&DEMAND[..], &["--audit-record", "changed.json"]].concat());
    assert!(altered.contains("it was changed afterwards"), "{altered}");
    fs::write(upstream.path("noise.json"), "{}").unwrap();
    let noise = refusal(&upstream, &[&DEMAND[..], &["--audit-record", "noise.json"]].concat());
    assert!(noise.contains("noise.json is not a DSSE envelope"), "{noise}");

    fs::rename(upstream.path(RECORD), upstream.path("kept.json")).unwrap();
    let absent = refusal(&upstream, &DEMAND);
    assert!(absent.contains("bundle.tar.zst.audit.json is not there"), "{absent}");
    success(&upstream.kbundle([&DEMAND[..], &["--audit-record", "kept.json"]].concat()));
    let (code, text) = failure(&upstream.kbundle([&DEMAND[..], &["--audit-record", "absent.json"]].concat()));
    assert_eq!((code, text.contains("absent.json")), (2, true), "{text}");
}

#[test]
fn a_record_of_another_bundle_is_refused() {
    let upstream = recorded();
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [] } });
    upstream.add_image("another", &Image::of(&config, tar(&[("a", "b")])));
    success(&upstream.build(&["--key", "signing.key", "--out", "bundle.tar.zst"]));
    let text = refusal(&upstream, &DEMAND);
    assert!(text.contains("is not about this bundle") && text.contains("the list is sha256:"), "{text}");
}

#[test]
fn a_bundle_that_the_policy_refuses_has_a_record_that_says_so() {
    let upstream = audited();
    success(&upstream.kbundle(["keygen", "--out", "auditor.key"]));
    policy(&upstream, "origins: {hosts: [registry.k8s.io]}\n");
    let (code, _, errors) = audit(&upstream, &[&["--policy", "policy.yaml"], &WRITE[..]].concat());
    assert_eq!(code, Some(3), "{errors}");
    let text = refusal(&upstream, &DEMAND);
    assert!(text.contains("says that the policy policy.yaml refuses the bundle: origins of dl.k8s.io"), "{text}");
}

#[test]
fn the_record_of_a_bundle_in_volumes_lies_beside_them() {
    let upstream = recorded();
    fs::create_dir(upstream.path("stick")).unwrap();
    success(&upstream.kbundle(["split", "bundle.tar.zst", "--size", "300KiB", "--out", "stick/bundle.tar.zst"]));
    for bundle in ["stick", "stick/bundle.tar.zst.001"] {
        let demand = ["verify", bundle, "--key", "signing.pub", "--require-audit", "auditor.pub"];
        let (code, text) = failure(&upstream.kbundle(demand));
        assert_eq!((code, text.contains("stick/bundle.tar.zst.audit.json is not there")), (3, true), "{text}");
    }
    fs::copy(upstream.path(RECORD), upstream.path("stick").join(RECORD)).unwrap();
    for bundle in ["stick", "stick/bundle.tar.zst.001"] {
        success(&upstream.kbundle(["verify", bundle, "--key", "signing.pub", "--require-audit", "auditor.pub"]));
    }
}

#[test]
fn a_record_replaces_nothing_and_is_written_to_a_file() {
    let upstream = recorded();
    let before = fs::read(upstream.path(RECORD)).unwrap();
    let (code, _, errors) = audit(&upstream, &WRITE);
    assert_eq!((code, errors.contains("`--force`")), (Some(3), true), "{errors}");
    assert_eq!(fs::read(upstream.path(RECORD)).unwrap(), before);
    let (code, _, errors) = audit(&upstream, &["--record", "-", "--sign-key", "auditor.key"]);
    assert_eq!((code, errors.contains("cannot be written to standard output")), (Some(2), true), "{errors}");
    let (code, _, errors) = audit(&upstream, &["--record", "new.json"]);
    assert_eq!((code, errors.contains("--sign-key")), (Some(2), true), "{errors}");
    let (code, _, errors) = audit(&upstream, &[&WRITE[..], &["--force"]].concat());
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(upstream.incomplete(), 0);
}
