//! Images as in real registries: nested indexes, variants, attestations, other media types, and names as people write them.

use fs_err as fs;
use kbundle_format::Digest;
use serde_json::{Value, json};

use super::{OCI_MANIFEST, Site, describe, describe_document, index};
use crate::upstream::{KUBELET, Upstream, failure, success};

const AMD64: Option<(&str, &str, Option<&str>)> = Some(("linux", "amd64", None));

/// Kinds of entries of the bundle's list that are blobs of images, and their digests.
fn image_blobs(list: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = list["entries"].as_array().unwrap().iter();
    let blobs = entries.filter(|entry| entry["path"].as_str().unwrap().starts_with("blobs/"));
    blobs.map(|entry| (text(&entry["kind"]), text(&entry["digest"]))).collect()
}

#[test]
fn an_index_within_an_index_is_followed_and_carried() {
    let site = Site::new();
    let manifest = site.image("nested", 1, "amd64");
    let inner = index(&[describe_document(&manifest, AMD64)]);
    let outer = index(&[describe_document(&inner, AMD64)]);
    let digests = [
        site.registry.document("nested", Some("1"), &outer),
        site.registry.document("nested", None, &inner),
        site.registry.document("nested", None, &manifest),
    ];
    success(&site.build("r.example/nested:1", &[]));
    let list = site.list();
    let image = &list["images"][0];
    assert_eq!(image["pinned"], digests[0].to_string());
    assert_eq!(image["manifest"], digests[2].to_string());
    let blobs = image_blobs(&list);
    let kinds = ["image-index", "image-index", "image-manifest"];
    let expected: Vec<_> =
        kinds.iter().zip(&digests).map(|(kind, digest)| ((*kind).to_owned(), digest.to_string())).collect();
    assert_eq!(blobs[..3], expected);

    // A lock has all of this as well.
    let lock = site
        .command(&["r.example/nested:1"], &[])
        .get_args()
        .skip(1)
        .map(|it| it.to_str().unwrap().to_owned())
        .collect::<Vec<_>>();
    let lock: Vec<_> = lock
        .iter()
        .map(String::as_str)
        .filter(|flag| !flag.starts_with("--key") && !flag.starts_with("--out"))
        .collect();
    success(&site.upstream.kbundle(["lock", "--out=one.lock"].into_iter().chain(lock)));
    let host = site.registry.host();
    let flags = [
        format!("--mirror=r.example=http://{host}"),
        format!("--mirror=dl.k8s.io=http://127.0.0.1:{}/dl", site.upstream.server.port()),
    ];
    let locked = ["build", "--locked=one.lock", "--cache=other", "--out=locked.tar.zst", "--key=signing.key"];
    success(&site.upstream.kbundle(locked.into_iter().chain(flags.iter().map(String::as_str))));
}

#[test]
fn an_index_in_a_circle_or_too_deep_is_refused() {
    let site = Site::new();
    let mut document = index(&[describe_document(&site.image("deep", 1, "amd64"), AMD64)]);
    for _ in 0..5 {
        site.registry.document("deep", None, &document);
        document = index(&[describe_document(&document, AMD64)]);
    }
    site.registry.document("deep", Some("1"), &document);
    let (code, text) = failure(&site.build("r.example/deep:1", &[]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("is an index nested too deeply"), "{text}");
}

#[test]
fn platforms_are_matched_as_the_runtime_does_and_statements_are_left_alone() {
    let site = Site::new();
    let [amd64, v3, arm64, unstated] = [(1, "amd64"), (2, "amd64"), (3, "arm64"), (4, "amd64")]
        .map(|(seed, architecture)| site.image("many", seed, architecture));
    let mut attestation = describe(OCI_MANIFEST, b"a statement");
    attestation["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    for manifest in [&amd64, &v3, &arm64, &unstated] {
        site.registry.document("many", None, manifest);
    }
    let entries = [
        attestation,
        describe_document(&unstated, None),
        describe_document(&v3, Some(("linux", "amd64", Some("v3")))),
        describe_document(&amd64, Some(("linux", "amd64", Some("v1")))),
        describe_document(&arm64, Some(("linux", "arm64", Some("v8")))),
    ];
    site.registry.document("many", Some("1"), &index(&entries));
    success(&site.build("r.example/many:1", &[]));
    let manifest = |document: &Value| Digest::of(document.to_string().as_bytes()).to_string();
    assert_eq!(site.list()["images"][0]["manifest"], manifest(&amd64));

    // For an entry without a platform, the config decides.
    site.registry.document(
        "many",
        Some("2"),
        &index(&[describe_document(&arm64, None), describe_document(&unstated, None)]),
    );
    success(&site.build("r.example/many:2", &[]));
    assert_eq!(site.list()["images"][0]["manifest"], manifest(&unstated));

    site.registry.document("many", Some("3"), &index(&[describe_document(&v3, Some(("linux", "amd64", Some("v3"))))]));
    let (code, text) = failure(&site.build("r.example/many:3", &[]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("has no manifest for linux/amd64; it has linux/amd64/v3"), "{text}");
}

/// A catalog whose release also has this version of containerd.
fn with_containerd(upstream: &Upstream, version: &str) {
    let catalog = fs::read_to_string(upstream.path("catalog.yaml")).unwrap();
    let kubelet = catalog.split("  kubelet:\n").nth(1).unwrap().split("releases:").next().unwrap();
    let containerd = format!("  containerd:\n{}", kubelet.replace("1.30.0:", &format!("{version}:")));
    let containerd = containerd.replace("kind: binary", "kind: archive");
    let containerd = containerd.replace("bin/linux/amd64/kubelet'", "bin/linux/amd64/containerd'");
    upstream.server.serve(&KUBELET.replace("kubelet", "containerd"), &upstream.kubelet);
    let catalog = catalog.replace("components:\n  kubelet:", &format!("components:\n{containerd}  kubelet:"));
    let catalog = catalog.replace("{kubelet: 1.30.0}", &format!("{{kubelet: 1.30.0, containerd: {version}}}"));
    fs::write(upstream.path("catalog.yaml"), catalog).unwrap();
}

#[test]
fn zstd_layers_of_dockers_type_are_taken_where_the_bundles_containerd_knows_them() {
    let zstd = "application/vnd.docker.image.rootfs.diff.tar.zstd";
    let site = Site::new();
    let mut manifest = site.image("zstd", 1, "amd64");
    manifest["layers"][0]["mediaType"] = json!(zstd);
    site.registry.document("zstd", Some("1"), &manifest);
    let (code, text) = failure(&site.build("r.example/zstd:1", &[]));
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains(&format!("has a layer of type {zstd}, which needs containerd 2.0; the bundle has no containerd")),
        "{text}"
    );
    with_containerd(&site.upstream, "2.1.5");
    success(&site.build("r.example/zstd:1", &[]));
    let with_old = Site::new();
    with_old.image("zstd", 1, "amd64");
    with_old.registry.document("zstd", Some("1"), &manifest);
    with_containerd(&with_old.upstream, "1.7.28");
    let (code, text) = failure(&with_old.build("r.example/zstd:1", &[]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("the bundle has containerd 1.7.28"), "{text}");
}

#[test]
fn names_are_understood_as_people_write_them() {
    let site = Site::new();
    let digest = site.plain("library/nginx");
    for (name, reference) in [
        ("docker.io/nginx:1".to_owned(), "docker.io/library/nginx:1".to_owned()),
        ("nginx:1".to_owned(), "docker.io/library/nginx:1".to_owned()),
        ("docker://nginx:1".to_owned(), "docker.io/library/nginx:1".to_owned()),
        (format!("nginx:1@{digest}"), "docker.io/library/nginx:1".to_owned()),
        (format!("docker.io/library/nginx@{digest}"), format!("docker.io/library/nginx@{digest}")),
        (format!("r.example/library/nginx@{digest}"), format!("r.example/library/nginx@{digest}")),
    ] {
        success(&site.build(&name, &[]));
        let image = &site.list()["images"][0];
        assert_eq!(image["reference"], reference, "{name}");
        assert_eq!(image["pinned"], digest.to_string(), "{name}");
    }
    let (code, text) = failure(&site.build("oci:folder", &[]));
    assert_eq!(code, 2, "a layout that has no name: {text}");
    assert!(text.contains("`oci:folder` does not say what the image is called"), "{text}");
    let (code, text) = failure(&site.build("https://r.example/a:1", &[]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("is not an image; expected `REGISTRY/REPOSITORY:TAG@sha256:DIGEST`"), "{text}");
}
