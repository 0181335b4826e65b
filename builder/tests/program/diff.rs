//! `kbundle diff`: two bundles of one upstream whose image changes between the builds.

use fs_err as fs;
use serde_json::{Value, json};

use crate::sbom::{STATUS, tar};
use crate::upstream::{Image, Upstream, success};

/// Two bundles: in the second the image has another user and a newer package.
pub fn two() -> Upstream {
    let upstream = Upstream::new();
    let catalog = fs::read_to_string(upstream.path("catalog.yaml")).unwrap();
    let build = |status: &str, user: &str, tag: &str, out: &str| {
        fs::write(upstream.path("catalog.yaml"), &catalog).unwrap();
        let config = json!({ "os": "linux", "architecture": "amd64", "config": { "User": user }, "rootfs": { "type": "layers", "diff_ids": [] } });
        let image = Image::of(&config, tar(&[("var/lib/dpkg/status", status)]));
        upstream.add_image(tag, &image);
        success(&upstream.build(&["--key", "signing.key", "--out", out]));
    };
    build(STATUS, "1000", "distro-1", "old.tar.zst");
    build(&STATUS.replace("2.36-9", "2.36-10"), "root", "distro-2", "new.tar.zst");
    upstream
}

pub fn diff(upstream: &Upstream, more: &[&str]) -> (Option<i32>, String) {
    let output = upstream.kbundle([&["diff"], more, &["--key", "signing.pub"]].concat());
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn digests_hidden(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + "sha256:HEX" + part.trim_start_matches(|letter: char| letter.is_ascii_hexdigit())
    })
}

#[test]
fn what_changed_is_listed_and_the_exit_code_says_so() {
    let upstream = two();
    let (code, text) = diff(&upstream, &["old.tar.zst", "new.tar.zst"]);
    assert_eq!(code, Some(4));
    insta::assert_snapshot!(digests_hidden(&text));
    let (code, text) = diff(&upstream, &["new.tar.zst", "new.tar.zst"]);
    assert_eq!((code, text.contains("nothing differs")), (Some(0), true), "{text}");
}

#[test]
fn topics_and_forms_can_be_chosen() {
    let upstream = two();
    let both = ["old.tar.zst", "new.tar.zst"];
    let (_, text) = diff(&upstream, &[&both[..], &["--only", "packages", "--output", "json"]].concat());
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["compared"], json!(["packages"]));
    let differences = report["differences"].as_array().unwrap();
    assert!(differences.iter().all(|difference| difference["topic"] == "packages"), "{text}");
    let (code, _) = diff(&upstream, &[&both[..], &["--only", "kubernetes"]].concat());
    assert_eq!(code, Some(0));
    let (_, text) = diff(&upstream, &[&both[..], &["--format", "markdown"]].concat());
    insta::assert_snapshot!(digests_hidden(&text));
}

#[test]
fn a_differential_bundle_is_compared_with_its_base() {
    let upstream = two();
    success(&upstream.build(&["--key", "signing.key", "--since", "old.tar.zst", "--out", "change.tar.zst"]));
    let full = diff(&upstream, &["old.tar.zst", "new.tar.zst"]);
    let partial = diff(&upstream, &["old.tar.zst", "change.tar.zst"]);
    assert_eq!(partial.0, Some(4));
    assert_eq!(partial.1.replace("change.tar.zst", "new.tar.zst"), full.1);
}
