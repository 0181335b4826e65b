//! `kbundle sbom`: what a build lists, how it is shown, and that it can be made again from the content.

use std::process::Command;

use fs_err as fs;
use serde_json::{Value, json};

use crate::upstream::{Image, Upstream, failure, kbundle_in, success};

const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bundles/fixtures/v1");

pub const STATUS: &str = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9\n\nPackage: old\nStatus: deinstall ok config-files\nVersion: 1\n";

pub fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A bundle with an image of a Debian package, a Node package and a licence.
fn built() -> Upstream {
    let upstream = Upstream::new();
    let config = json!({ "os": "linux", "architecture": "amd64", "created": "2022-09-21T20:11:10.5+02:00", "rootfs": { "type": "layers", "diff_ids": [] } });
    let layer = tar(&[
        ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
        ("var/lib/dpkg/status", STATUS),
        ("usr/share/doc/libc6/copyright", "Format: x\nLicense: LGPL-2.1+\n"),
        ("app/node_modules/left-pad/package.json", r#"{"name":"left-pad","version":"1.3.0","license":"WTFPL"}"#),
    ]);
    upstream.add_image("distro", &Image::of(&config, layer));
    success(&upstream.build(&["--key", "signing.key", "--out", "bundle.tar.zst"]));
    upstream
}

fn sbom(upstream: &Upstream, more: &[&str]) -> String {
    success(&upstream.kbundle([&["sbom", "bundle.tar.zst", "--key", "signing.pub"], more].concat()))
}

#[test]
fn packages_of_images_are_listed() {
    let upstream = built();
    let text = sbom(&upstream, &["registry.k8s.io/pause:distro"]);
    insta::assert_snapshot!(text);
    assert!(!text.contains("old"), "a removed package counts");
    let (code, text) = failure(&upstream.kbundle(["sbom", "bundle.tar.zst", "nothing", "--unsigned"]));
    assert_eq!((code, text.contains("has no image or file nothing")), (2, true), "{text}");
}

#[test]
fn both_documents_name_what_was_found_and_what_was_not_read() {
    let upstream = built();
    let of = |form: &str| -> Value { serde_json::from_str(&sbom(&upstream, &["--format", form])).unwrap() };
    let cyclonedx = of("cyclonedx");
    insta::assert_json_snapshot!(cyclonedx["components"][1]["components"][1]);
    assert_eq!(cyclonedx["metadata"]["timestamp"], "2022-09-21T18:11:10Z");
    // The layer of `pause` is random bytes.
    let properties = cyclonedx["components"][0]["properties"].to_string();
    assert!(properties.contains("kbundle:not-read"), "{properties}");
    let spdx = of("spdx");
    assert_eq!(
        (&spdx["spdxVersion"], &spdx["creationInfo"]["created"]),
        (&json!("SPDX-2.3"), &json!("2022-09-21T18:11:10Z"))
    );
    let packages = spdx["packages"].as_array().unwrap();
    let libc = packages.iter().find(|package| package["name"] == "libc6").unwrap();
    insta::assert_json_snapshot!(libc);
    // The printed document is the one in the bundle.
    let carried = success(&upstream.kbundle(["cat", "bundle.tar.zst", "sbom/bundle.spdx.json", "--unsigned"]));
    assert_eq!(serde_json::from_str::<Value>(&carried).unwrap(), spdx);
}

#[test]
fn the_list_is_made_again_from_the_content() {
    let upstream = built();
    assert!(sbom(&upstream, &["--verify"]).contains("byte for byte"));
    let again = upstream.build(&["--key", "signing.key", "--out", "again.tar.zst"]);
    success(&again);
    let digest = |bundle: &str| {
        let text = success(&upstream.kbundle(["inspect", bundle, "--output", "json"]));
        serde_json::from_str::<Value>(&text).unwrap()["listDigest"].clone()
    };
    assert_eq!(digest("bundle.tar.zst"), digest("again.tar.zst"));
}

#[test]
fn a_list_that_the_content_does_not_give_is_refused() {
    let upstream = built();
    success(&upstream.kbundle(["extract", "bundle.tar.zst", "-C", "all", "--unsigned"]));
    // What a dishonest builder could do: replace the document, and sign the list over it again.
    let script = "set -e
        sed -i s/2.36-9/2.36-8/ sbom/bundle.cdx.json
        digest=sha256:$(sha256sum sbom/bundle.cdx.json | cut -d' ' -f1)
        old=sha256:$(sha256sum ../original | cut -d' ' -f1)
        sed -i s/$old/$digest/ bundle.json
        rm -rf signatures attestations";
    let all = upstream.path("all");
    fs::copy(all.join("sbom/bundle.cdx.json"), upstream.path("original")).unwrap();
    let edited = Command::new("sh").args(["-c", script]).current_dir(&all).output().unwrap();
    assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
    pack(&all, &upstream.path("untrue.tar.zst"));
    success(&upstream.kbundle(["extract", "untrue.tar.zst", "-C", "untrue", "--unsigned"]));
    let (code, text) = failure(&upstream.kbundle(["sbom", "untrue.tar.zst", "--verify", "--unsigned"]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("the first difference is in image/registry.k8s.io/pause:distro/linux/amd64"), "{text}");
}

/// Writes a bundle from the folder of an unpacked one.
fn pack(folder: &std::path::Path, to: &std::path::Path) {
    let bytes = fs::read(folder.join("bundle.json")).unwrap();
    let list = kbundle_format::BundleList::parse(&bytes).unwrap();
    let file = fs::File::create(to).unwrap();
    let mut writer = kbundle_format::BundleWriter::new(file, 3).unwrap();
    writer.list(&bytes).unwrap();
    for entry in &list.entries {
        writer.entry(entry, &mut fs::File::open(folder.join(entry.path.as_str())).unwrap()).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn an_older_bundle_has_none_and_it_is_made_from_the_content() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(format!("{V1}/bundle.tar.zst"), folder.path().join("bundle.tar.zst")).unwrap();
    let run = |more: &[&str]| {
        kbundle_in(folder.path()).args(["sbom", "bundle.tar.zst", "--unsigned"]).args(more).output().unwrap()
    };
    let output = run(&[]);
    assert!(success(&output).contains("IMAGES"));
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains("WARNING: the bundle carries no list of packages"), "{notes}");
    let (code, text) = failure(&run(&["--verify"]));
    assert_eq!((code, text.contains("carries no list of packages to compare with")), (3, true), "{text}");
}

#[test]
fn no_host_gets_the_list() {
    let upstream = built();
    success(&upstream.kbundle(["subset", "bundle.tar.zst", "--role", "worker", "--out", "worker.tar.zst"]));
    let (code, _) = failure(&upstream.kbundle(["cat", "worker.tar.zst", "sbom/bundle.cdx.json", "--unsigned"]));
    assert_eq!(code, 3);
    success(&upstream.kbundle(["verify", "worker.tar.zst", "--role", "worker", "--key", "signing.pub"]));
}

/// Validators from other projects; `ci/sbom` installs them and names their place.
#[test]
#[ignore = "needs validators from PyPI: ./ci/sbom"]
fn other_programs_take_the_documents() {
    let python = std::env::var("KBUNDLE_SBOM_PYTHON").expect("KBUNDLE_SBOM_PYTHON names a Python with the validators");
    let upstream = built();
    for (form, name) in [("cyclonedx", "bundle.cdx.json"), ("spdx", "bundle.spdx.json")] {
        fs::write(upstream.path(name), sbom(&upstream, &["--format", form])).unwrap();
    }
    let check = concat!(env!("CARGO_MANIFEST_DIR"), "/../ci/sbom-check.py");
    let paths = [upstream.path("bundle.cdx.json"), upstream.path("bundle.spdx.json")];
    success(&Command::new(python).arg(check).args(paths).output().unwrap());
}
