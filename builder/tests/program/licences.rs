//! `kbundle licences`: which file states which licence, and the licence texts in a bundle.

use fs_err as fs;
use kbundle_format::Digest;
use serde_json::{Value, json};

use crate::sbom::{STATUS, tar};
use crate::upstream::{Image, Upstream, failure, noise, success};

const COPYRIGHT: &str = "Format: x\nLicense: LGPL-2.1+\n";

/// A bundle with an image that has packages with and without a licence, and two licence texts.
fn built() -> Upstream {
    let upstream = Upstream::new();
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [] } });
    let layer = tar(&[
        ("var/lib/dpkg/status", &format!("{STATUS}\nPackage: bare\nVersion: 1\n")),
        ("usr/share/doc/libc6/copyright", COPYRIGHT),
        ("app/node_modules/left-pad/package.json", r#"{"name":"left-pad","version":"1.3.0","license":"WTFPL"}"#),
        ("app/node_modules/left-pad/LICENSE", "Do what you want\n"),
    ]);
    let layer = [layer, noise(9, 4000)].concat();
    upstream.add_image("distro", &Image::of(&config, layer));
    success(&upstream.build(&["--key", "signing.key", "--out", "bundle.tar.zst"]));
    upstream
}

const LICENCES: [&str; 4] = ["licences", "bundle.tar.zst", "--key", "signing.pub"];

#[test]
fn licences_are_listed_with_what_has_them_and_where_that_was_told() {
    let upstream = built();
    let text = success(&upstream.kbundle(LICENCES));
    let (listed, unread) = text.split_once("NOT READ ").unwrap();
    insta::assert_snapshot!(listed);
    // The layer of `pause` is random bytes.
    assert!(unread.starts_with("registry.k8s.io/pause:3.9 (linux/amd64): layer sha256:"), "{unread}");
    let printed = success(&upstream.kbundle([&LICENCES[..], &["--output", "json"]].concat()));
    let report: Value = serde_json::from_str(&printed).unwrap();
    let licences = report["licences"].as_array().unwrap();
    let of = |name: &str| licences.iter().find(|licence| licence["name"] == name).unwrap();
    assert_eq!((&of("WTFPL")["spdx"], &of("LGPL-2.1+")["items"][0]["name"]), (&json!(true), &json!("libc6")));
    let told =
        json!([{ "subject": "registry.k8s.io/pause:distro (linux/amd64)", "path": "usr/share/doc/libc6/copyright" }]);
    assert_eq!(of("LGPL-2.1+")["items"][0]["places"], told);
    let unstated = report["unstated"].as_array().unwrap();
    assert!(unstated.iter().any(|item| item["name"] == "bare"), "{report:#}");
}

#[test]
fn texts_and_a_notice_are_written_whole_or_not_at_all() {
    let upstream = built();
    let texts = [&LICENCES[..], &["--texts", "licences"]].concat();
    let said = success(&upstream.kbundle(texts.clone()));
    assert!(said.contains("licences: 2 licence texts, and NOTICE"), "{said}");
    let path = upstream.path("licences/texts").join(format!("{}.txt", Digest::of(COPYRIGHT.as_bytes()).hex()));
    assert_eq!(fs::read_to_string(path).unwrap(), COPYRIGHT);
    let notice = fs::read_to_string(upstream.path("licences/NOTICE")).unwrap();
    for part in ["libc6 2.36-9", "WTFPL", "registry.k8s.io/pause:distro: app/node_modules/left-pad/LICENSE"] {
        assert!(notice.contains(part), "{part}: {notice}");
    }
    let (code, text) = failure(&upstream.kbundle(texts));
    assert_eq!((code, text.contains("licences")), (3, true), "{text}");

    // Random bytes are not compressed, so the layer can be found in the bundle.
    let mut bytes = fs::read(upstream.path("bundle.tar.zst")).unwrap();
    let part = &noise(9, 4000)[1000..1032];
    let place = bytes.windows(part.len()).position(|window| window == part).unwrap();
    bytes[place] ^= 1;
    fs::write(upstream.path("bundle.tar.zst"), bytes).unwrap();
    let (code, _) = failure(&upstream.kbundle([&LICENCES[..], &["--texts", "more"]].concat()));
    assert_eq!((code, upstream.path("more").exists(), upstream.incomplete()), (3, false, 0));
}
