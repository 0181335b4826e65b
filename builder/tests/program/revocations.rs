//! Lists of revocations: what they lead to refuse, and which lists are not used.

use fs_err as fs;

use crate::diff::two;
use crate::upstream::{Upstream, failure, success};

const REVOKED: [&str; 2] = ["--revocations", "revocations.json"];

/// A bundle that `signing.key` and `second.key` signed.
fn signed_twice() -> Upstream {
    let upstream = Upstream::new();
    success(&upstream.kbundle(["keygen", "--out", "second.key"]));
    success(&upstream.build(&["--key", "signing.key", "--key", "second.key", "--out", "bundle.tar.zst"]));
    upstream
}

fn add(upstream: &Upstream, arguments: &[&str]) -> String {
    let line = [&["revocations", "add", "revocations.json", "--reason", "laptop stolen"], arguments].concat();
    success(&upstream.kbundle(line))
}

fn refused(upstream: &Upstream, line: &[&str], part: &str) {
    let (code, text) = failure(&upstream.kbundle(line.iter().copied()));
    assert_eq!((code, text.contains(part)), (3, true), "{text}");
}

#[test]
fn signatures_of_a_revoked_key_do_not_count() {
    let upstream = signed_twice();
    let said = add(&upstream, &["--revoke-key", "second.pub", "--key", "signing.key"]);
    assert!(said.contains("number 1") && said.contains("laptop stolen"), "{said}");
    let both = [&["verify", "bundle.tar.zst", "--key", "signing.pub", "--key", "second.pub"], &REVOKED[..]].concat();
    let said = success(&upstream.kbundle(both.clone()));
    assert!(said.contains("revocations.json, number 1 of ") && said.contains("keys 1, bundles 0"), "{said}");
    refused(&upstream, &[&both[..], &["--threshold", "2"]].concat(), "its key is revoked: laptop stolen");
    for command in ["inspect", "licences", "audit"] {
        let line = [&[command, "bundle.tar.zst", "--key", "signing.pub", "--key", "second.pub"], &REVOKED[..]].concat();
        refused(&upstream, &[&line[..], &["--threshold", "2"]].concat(), "its key is revoked: laptop stolen");
    }
}

#[test]
fn a_key_that_revokes_itself_signs_nothing_more() {
    let upstream = signed_twice();
    add(&upstream, &["--revoke-key", "signing.pub", "--key", "signing.key"]);
    refused(
        &upstream,
        &[&["verify", "bundle.tar.zst", "--key", "signing.pub"], &REVOKED[..]].concat(),
        "0 of 1 needed",
    );
}

#[test]
fn a_revoked_bundle_is_refused_and_names_the_one_that_supersedes_it() {
    let upstream = two();
    let newer = ["--superseded-by", "new.tar.zst", "--key", "signing.key"];
    let said = add(&upstream, &[&["--revoke-bundle", "old.tar.zst"], &newer[..]].concat());
    let digest = said.split("superseded by ").nth(1).unwrap().trim().to_owned();
    let verify = |bundle| [&["verify", bundle, "--key", "signing.pub"], &REVOKED[..]].concat();
    refused(&upstream, &verify("old.tar.zst"), "the bundle is revoked: laptop stolen");
    refused(&upstream, &verify("old.tar.zst"), &digest);
    success(&upstream.kbundle(verify("new.tar.zst")));
    let line = ["revocations", "add", "revocations.json", "--reason", "x", "--revoke-bundle", "new.tar.zst"];
    let (code, text) = failure(&upstream.kbundle([&line[..], &newer[..]].concat()));
    assert_eq!((code, text.contains("cannot supersede itself")), (2, true), "{text}");
}

#[test]
fn a_list_is_signed_by_a_trusted_key_or_is_not_used() {
    let upstream = signed_twice();
    add(&upstream, &["--revoke-key", "signing.pub", "--key", "second.key"]);
    let before = fs::read(upstream.path("revocations.json")).unwrap();
    let verify = [&["verify", "bundle.tar.zst", "--key", "signing.pub"], &REVOKED[..]].concat();
    refused(&upstream, &verify, "revocations.json has no signature by a trusted key");
    let changed = String::from_utf8(before.clone()).unwrap().replacen("\"sig\":\"", "\"sig\":\"AA", 1);
    fs::write(upstream.path("changed.json"), changed).unwrap();
    refused(&upstream, &["revocations", "show", "changed.json", "--key", "second.pub"], "changed.json is not what");

    let another = [
        "revocations",
        "add",
        "revocations.json",
        "--reason",
        "x",
        "--revoke-key",
        "second.pub",
        "--key",
        "signing.key",
    ];
    refused(&upstream, &another, "the list was not changed");
    assert_eq!(fs::read(upstream.path("revocations.json")).unwrap(), before);
    let said = success(&upstream.kbundle([&another[..], &["--signed-by", "second.pub"]].concat()));
    assert!(said.contains("number 2"), "{said}");
    let said = success(&upstream.kbundle(["revocations", "show", "revocations.json", "--key", "signing.pub"]));
    assert!(said.contains("laptop stolen") && said.contains(": x"), "{said}");

    fs::write(upstream.path("notes.txt"), "mine").unwrap();
    let line =
        ["revocations", "add", "notes.txt", "--reason", "x", "--revoke-key", "second.pub", "--key", "signing.key"];
    refused(&upstream, &line, "notes.txt is not a file of revocations");
    assert_eq!(fs::read_to_string(upstream.path("notes.txt")).unwrap(), "mine");
}

#[test]
fn an_audit_by_a_revoked_key_is_refused() {
    let upstream = signed_twice();
    let record = ["--record", "bundle.tar.zst.audit.json", "--sign-key", "second.key"];
    success(&upstream.kbundle([&["audit", "bundle.tar.zst", "--key", "signing.pub"], &record[..]].concat()));
    let demanded = ["verify", "bundle.tar.zst", "--key", "signing.pub", "--require-audit", "second.pub"];
    success(&upstream.kbundle(demanded));
    add(&upstream, &["--revoke-key", "second.pub", "--key", "signing.key"]);
    refused(&upstream, &[&demanded[..], &REVOKED[..]].concat(), "the key of the audit, second.pub, is revoked");
}

#[test]
fn revocations_need_a_key() {
    let upstream = signed_twice();
    add(&upstream, &["--revoke-key", "second.pub", "--key", "signing.key"]);
    let line = [&["licences", "bundle.tar.zst", "--unsigned"], &REVOKED[..]].concat();
    let (code, text) = failure(&upstream.kbundle(line));
    assert_eq!((code, text.contains("--key")), (2, true), "{text}");
}
