//! `kbundle catalog`, and catalogs beside the built-in one.

use fs_err as fs;
use kbundle_format::Digest;
use serde_json::Value;

use crate::upstream::{Upstream, failure, kbundle_in, success};

fn run(words: &[&str]) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    kbundle_in(folder.path()).arg("catalog").args(words).output().unwrap()
}

#[test]
fn the_list_names_every_version_and_marks_what_nothing_pins() {
    let text = success(&run(&["list"]));
    let line = text.lines().find(|line| line.starts_with("1.25.2 ")).unwrap();
    assert!(line.contains("calico 3.26.1,") && line.contains("haproxy 2.8.2-alpine*"), "{line}");
    let json: Value = serde_json::from_str(&success(&run(&["list", "--output=json"]))).unwrap();
    let releases = json["releases"].as_array().unwrap();
    // One line for each release, and two lines about them.
    assert_eq!(text.lines().count(), releases.len() + 2);
}

#[test]
fn a_minor_stands_for_its_newest_release() {
    let newest: Value = serde_json::from_str(&success(&run(&["show", "1.25", "--output=json"]))).unwrap();
    assert_eq!(newest["kubernetes"], "1.25.16");
    let text = success(&run(&["show", "1.25.2"]));
    assert!(text.starts_with("Kubernetes 1.25.2\n") && text.contains("registry.k8s.io/pause:3.8"), "{text}");
    let output = run(&["show", "1.9"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(failure(&output).1.contains("the catalog has no Kubernetes 1.9"), "{output:?}");
}

#[test]
fn what_is_exported_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let kbundle = |words: &[&str]| kbundle_in(folder.path()).arg("catalog").args(words).output().unwrap();
    success(&kbundle(&["export", "--k8s=1.36", "--k8s=1.25.2", "--out=site.yaml"]));
    let alone = ["--catalog=site.yaml", "--no-builtin-catalog"];
    let checked = success(&kbundle(&["check", alone[0], alone[1]]));
    assert!(checked.starts_with("2 Kubernetes versions"), "{checked}");
    let shown = |more: &[&str]| success(&kbundle(&[&["show", "1.25.2", "--output=json"], more].concat()));
    assert_eq!(shown(&alone), shown(&[]));
}

/// A catalog whose release needs something that the catalog does not have.
pub fn with_fault(catalog: &str) -> String {
    catalog.replace("{kubelet: 1.30.0}", "{kubelet: 1.30.0, runc: 1.1.12}")
}

#[test]
fn a_fault_of_a_catalog_is_named_and_fails() {
    let upstream = Upstream::new();
    let text = fs::read_to_string(upstream.path("catalog.yaml")).unwrap();
    fs::write(upstream.path("catalog.yaml"), with_fault(&text)).unwrap();
    let output = upstream.kbundle(["catalog", "check", "--catalog=catalog.yaml", "--no-builtin-catalog"]);
    let (code, stderr) = failure(&output);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("1.30.0: Kubernetes 1.30.0 needs runc 1.1.12, which the catalog does not have"),
        "{stderr}"
    );
}

/// The upstream's catalog with everything that a draft needs, and the served files of the next patch release.
pub fn with_next_patch(upstream: &Upstream) {
    let text = fs::read_to_string(upstream.path("catalog.yaml")).unwrap();
    let (head, releases) = text.split_once("releases:").unwrap();
    let kubelet = head.split_once("components:\n").unwrap().1;
    let others = ["kubeadm", "kubectl"].map(|name| kubelet.replace("kubelet", name)).concat();
    let releases = releases
        .replace("{kubelet: 1.30.0}", "{kubelet: 1.30.0, kubeadm: 1.30.0, kubectl: 1.30.0}")
        .replace("images:\n", "images:\n      - {reference: 'registry.k8s.io/kube-proxy:v1.30.0', roles: [worker]}\n");
    fs::write(upstream.path("catalog.yaml"), format!("{head}{others}releases:{releases}")).unwrap();
    for name in ["kubelet", "kubeadm", "kubectl"] {
        let path = format!("/dl/release/v1.30.7/bin/linux/amd64/{name}");
        let digest = Digest::of(name.as_bytes());
        upstream.server.serve(&path, name.as_bytes());
        upstream.server.serve(&format!("{path}.sha256"), digest.hex().as_bytes());
    }
    for (kind, content) in [
        ("manifests", &upstream.image.index),
        ("manifests", &upstream.image.manifest),
        ("blobs", &upstream.image.config),
        ("blobs", &upstream.image.layer),
    ] {
        upstream.server.serve(&format!("/v2/kube-proxy/{kind}/{}", Digest::of(content)), content);
    }
    upstream.server.serve("/v2/kube-proxy/manifests/v1.30.7", &upstream.image.index);
}

#[test]
fn a_version_that_the_catalog_lacks_is_pinned_from_upstream_and_built() {
    let upstream = Upstream::new();
    with_next_patch(&upstream);
    let flags: Vec<_> =
        upstream.flags().into_iter().filter(|flag| !flag.starts_with("--k8s") && !flag.starts_with("--cni")).collect();
    let mut command = kbundle_in(upstream.directory.path());
    command.args([
        "catalog",
        "add",
        "kubernetes",
        "1.30.7",
        "--from-upstream",
        "--no-builtin-catalog",
        "--out=next.yaml",
    ]);
    success(&command.args(&flags).output().unwrap());
    let added = fs::read_to_string(upstream.path("next.yaml")).unwrap();
    assert!(added.contains(&Digest::of(b"kubeadm").hex()), "{added}");
    assert!(added.contains(&Digest::of(&upstream.image.index).to_string()), "{added}");
    assert!(!added.contains("sha256-url"), "{added}");

    let mut command = kbundle_in(upstream.directory.path());
    command.args([
        "build",
        "--k8s=1.30.7",
        "--cni=bridge",
        "--catalog=next.yaml",
        "--no-builtin-catalog",
        "--unsigned",
    ]);
    success(&command.args(&flags).output().unwrap());
    assert!(upstream.path("k8s-1.30.7-amd64.tar.zst").exists());
}

#[test]
fn a_version_that_the_catalog_lacks_is_built_at_once_where_first_use_is_trusted() {
    let upstream = Upstream::new();
    with_next_patch(&upstream);
    let flags: Vec<_> = upstream.flags().into_iter().filter(|flag| !flag.starts_with("--k8s")).collect();
    let build = |more: &[&str]| {
        let mut command = kbundle_in(upstream.directory.path());
        command.args(["build", "--k8s=1.30.7", "--no-builtin-catalog", "--unsigned"]).args(&flags);
        command.args(more).output().unwrap()
    };
    let refused = build(&[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(failure(&refused).1.contains("--trust-on-first-use"), "{refused:?}");
    let built = build(&["--trust-on-first-use"]);
    success(&built);
    assert!(failure(&built).1.contains("the catalog lacks Kubernetes 1.30.7"), "{built:?}");
    let shown = upstream.kbundle(["inspect", "k8s-1.30.7-amd64.tar.zst", "--output=json"]);
    let shown: Value = serde_json::from_str(&success(&shown)).unwrap();
    let pin = |name: &str| {
        let entries = shown["list"]["entries"].as_array().unwrap();
        entries.iter().find(|entry| entry["component"]["name"] == name).unwrap()["origin"]["pin"].clone()
    };
    assert_eq!(pin("kubelet"), "upstream-checksum");
}
