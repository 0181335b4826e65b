//! Images from files that skopeo writes: no registry is asked for them.

use std::process::Command;

use fs_err as fs;
use serde_json::Value;

use crate::upstream::{Upstream, failure, kbundle_in, success};

const NAME: &str = "registry.example/team/app:1.2";

/// A layout with the image `1`, and skopeo's copy of the same image in a docker-archive.
fn upstream() -> Upstream {
    let upstream = Upstream::new();
    let made = Command::new("sh").current_dir(upstream.directory.path()).arg("-ec").arg(MADE).output();
    let made = made.expect("this test needs sh");
    assert!(made.status.success(), "this test needs skopeo and sha256sum: {}", String::from_utf8_lossy(&made.stderr));
    upstream
}

/// A layout made by hand, which skopeo has to accept and copy.
const MADE: &str = r#"
mkdir -p made/blobs/sha256 tree && cd made
echo content >../tree/file && tar -cf layer -C ../tree file
size() { wc -c <"$1" | tr -d ' '; }
sha() { sha256sum "$1" | cut -d' ' -f1; }
keep() { cp "$1" "blobs/sha256/$(sha "$1")"; }
printf '{"os":"linux","architecture":"amd64","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$(sha layer)" >config
printf '{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%s}]}' "$(sha config)" "$(size config)" "$(sha layer)" "$(size layer)" >manifest
for file in layer config manifest; do keep $file; done
printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"1"}}]}' "$(sha manifest)" "$(size manifest)" >index.json
printf '{"imageLayoutVersion":"1.0.0"}' >oci-layout
cd ..
skopeo copy --insecure-policy oci:made:1 oci:layout:1
skopeo copy --insecure-policy oci:made:1 oci-archive:layout.tar:1
skopeo copy --insecure-policy oci:made:1 docker-archive:saved.tar:team/app:1
"#;

/// The origin and the pin of the image `NAME` in the list.
fn origin(upstream: &Upstream) -> Value {
    let shown = success(&upstream.kbundle(["inspect", "bundle.tar.zst", "--output=json"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let images = shown["list"]["images"].as_array().unwrap();
    let image = images.iter().find(|image| image["reference"] == NAME).unwrap();
    let entries = shown["list"]["entries"].as_array().unwrap();
    entries.iter().find(|entry| entry["digest"] == image["pinned"]).unwrap()["origin"].clone()
}

#[test]
fn images_that_skopeo_wrote_are_carried() {
    let upstream = upstream();
    for file in ["oci:layout:1", "oci:layout.tar:1", "docker-archive:saved.tar:team/app:1"] {
        let image = format!("--add-image={NAME}={file}");
        success(&upstream.build(&[image.as_str(), "--unsigned", "--out=bundle.tar.zst"]));
        assert_eq!(origin(&upstream), serde_json::json!({ "url": file, "pin": "local-file" }));
    }
}

#[test]
fn a_lock_keeps_to_the_image_that_it_saw() {
    let upstream = upstream();
    fs::write(upstream.path("bundle.yaml"), format!("schema: 1\nimages: ['{NAME}=oci:layout:1']\n")).unwrap();
    success(&upstream.run("lock", &["--file=bundle.yaml", "--out=kbundle.lock"]));
    let lock = fs::read_to_string(upstream.path("kbundle.lock")).unwrap();
    assert!(lock.contains("pin: local-file\n  file: oci:layout:1\n"), "{lock}");
    fs::remove_dir_all(upstream.path("cache")).unwrap();
    let flags: Vec<_> =
        upstream.flags().into_iter().filter(|flag| flag.contains("mirror") || flag.contains("cache")).collect();
    let build = || {
        let mut command = kbundle_in(upstream.directory.path());
        command.args(["build", "--locked=kbundle.lock", "--unsigned", "--force", "--out=bundle.tar.zst"]);
        command.args(&flags).output().unwrap()
    };
    success(&build());
    let mut command = kbundle_in(upstream.directory.path());
    success(
        &command.args(["build", "--reproduce=bundle.tar.zst", "--file=bundle.yaml"]).args(&flags).output().unwrap(),
    );

    let index = fs::read_to_string(upstream.path("layout/index.json")).unwrap();
    fs::write(upstream.path("layout/index.json"), index.replace(":\"1\"", ":\"2\"")).unwrap();
    let (code, said) = failure(&build());
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("no image named `1`, it has 2"), "{said}");
}

#[test]
fn an_image_with_another_digest_is_refused_before_anything_is_fetched() {
    let upstream = upstream();
    let other = kbundle_format::Digest::of(b"other");
    let image = format!("--add-image={NAME}@{other}=oci:layout:1");
    let (code, said) = failure(&upstream.build(&[image.as_str(), "--unsigned"]));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("oci:layout:1 has the image sha256:") && said.contains(&other.to_string()), "{said}");
    assert!(!upstream.path("cache").exists());
}
