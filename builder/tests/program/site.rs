//! Kubernetes objects of the site's own in a bundle, with the images that they name.

use fs_err as fs;
use kbundle_format::Digest;
use serde_json::Value;

use crate::upstream::{Image, Upstream, failure, kbundle_in, noise, success};

const APP: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  template:
    spec:
      containers:
      - name: app
        image: registry.k8s.io/team:1
        args: [--sidecar=quay.io/team/sidecar:1]
      - {name: other, image: 'registry.k8s.io/other:1'}
";

/// An upstream that has the image, and a bundle.yaml with the manifest.
fn site() -> Upstream {
    let upstream = Upstream::new();
    let config =
        serde_json::json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [] } });
    let image = Image::of(&config, noise(7, 1000));
    for (kind, content) in
        [("manifests", &image.index), ("manifests", &image.manifest), ("blobs", &image.config), ("blobs", &image.layer)]
    {
        upstream.server.serve(&format!("/v2/team/{kind}/{}", Digest::of(content)), content);
    }
    upstream.server.serve("/v2/team/manifests/1", &image.index);
    fs::create_dir(upstream.path("app")).unwrap();
    fs::write(upstream.path("app/deploy.yaml"), APP).unwrap();
    write_settings(&upstream, "left-out-images: ['registry.k8s.io/other:1']\n");
    upstream
}

fn write_settings(upstream: &Upstream, more: &str) {
    let text = format!("schema: 1\nmanifests: {{team-app: app}}\ntrust-on-first-use: true\n{more}");
    fs::write(upstream.path("bundle.yaml"), text).unwrap();
}

#[test]
fn manifests_and_their_images_are_carried() {
    let upstream = site();
    let built = upstream.build(&["--file=bundle.yaml", "--unsigned", "--out=bundle.tar.zst"]);
    success(&built);
    let said = failure(&built).1;
    assert!(said.contains("team-app may need the image quay.io/team/sidecar:1"), "{said}");
    assert!(!said.contains("may need the image registry.k8s.io/team:1"), "{said}");

    let shown = upstream.kbundle(["inspect", "bundle.tar.zst", "--output=json"]);
    let shown: Value = serde_json::from_str(&success(&shown)).unwrap();
    let images: Vec<_> =
        shown["list"]["images"].as_array().unwrap().iter().map(|image| image["reference"].clone()).collect();
    assert_eq!(images, ["registry.k8s.io/pause:3.9", "registry.k8s.io/team:1"]);
    let entries = shown["list"]["entries"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["path"] == "manifests/team-app/deploy.yaml").unwrap();
    assert_eq!(entry["origin"], serde_json::json!({ "url": "file:app/deploy.yaml", "pin": "local-file" }));
    assert_eq!(entry["digest"], Digest::of(APP.as_bytes()).to_string());
    let carried = upstream.kbundle(["cat", "bundle.tar.zst", "manifests/team-app/deploy.yaml", "--unsigned"]);
    assert_eq!(success(&carried), APP);

    // The same again, from the list and the files beside bundle.yaml.
    fs::remove_dir_all(upstream.path("cache")).unwrap();
    let flags: Vec<_> =
        upstream.flags().into_iter().filter(|flag| flag.contains("mirror") || flag.contains("cache")).collect();
    let mut command = kbundle_in(upstream.directory.path());
    success(&command.args(["build", "--reproduce=bundle.tar.zst", "--file=bundle.yaml"]).args(flags).output().unwrap());
}

#[test]
fn an_image_that_the_site_did_not_waive_has_to_be_there() {
    let upstream = site();
    write_settings(&upstream, "");
    let (code, said) = failure(&upstream.build(&["--file=bundle.yaml", "--unsigned", "--retries=0"]));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("/v2/other/"), "{said}");
}

#[test]
fn a_lock_keeps_to_the_files_that_it_saw() {
    let upstream = site();
    success(&upstream.run("lock", &["--file=bundle.yaml", "--out=kbundle.lock"]));
    fs::write(upstream.path("app/deploy.yaml"), APP.replace("team:1", "team:2")).unwrap();
    let mirrors: Vec<_> =
        upstream.flags().into_iter().filter(|flag| flag.contains("mirror") || flag.contains("cache")).collect();
    let build = || {
        let mut command = kbundle_in(upstream.directory.path());
        command.args(["build", "--locked=kbundle.lock", "--unsigned", "--force"]).args(&mirrors);
        command.output().unwrap()
    };
    let (code, said) = failure(&build());
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("app/deploy.yaml has digest") && said.contains("kbundle lock"), "{said}");
    fs::write(upstream.path("app/deploy.yaml"), APP).unwrap();
    success(&build());
}

#[test]
fn what_needs_what_is_locked_and_listed_and_a_circle_is_refused() {
    let upstream = Upstream::new();
    fs::write(upstream.path("a.yaml"), "{apiVersion: v1, kind: Namespace, metadata: {name: a}}").unwrap();
    let write = |after: &str| {
        let text = format!("schema: 1\nmanifests: {{base: a.yaml, team-app: a.yaml}}\nafter: {after}\n");
        fs::write(upstream.path("bundle.yaml"), text).unwrap();
    };
    write("{team-app: base}");
    success(&upstream.run("lock", &["--file=bundle.yaml", "--out=kbundle.lock"]));
    let lock = fs::read_to_string(upstream.path("kbundle.lock")).unwrap();
    assert!(lock.contains("after:\n  team-app:\n  - base\n"), "{lock}");
    success(&upstream.build(&["--file=bundle.yaml", "--unsigned", "--out=bundle.tar.zst"]));
    let shown = upstream.kbundle(["inspect", "bundle.tar.zst", "--output=json"]);
    let shown: Value = serde_json::from_str(&success(&shown)).unwrap();
    assert_eq!(shown["list"]["after"], serde_json::json!({"team-app": ["base"]}));

    for (wrong, words) in [
        ("{team-app: base, base: [team-app]}", "base needs team-app, team-app needs base"),
        ("{team-app: bass}", "did you mean `base`?"),
        ("{team: base}", "`after` has `team`"),
    ] {
        write(wrong);
        let (code, said) = failure(&upstream.build(&["--file=bundle.yaml", "--unsigned", "--out=other.tar.zst"]));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(words) && said.contains("hint:"), "{said}");
        assert!(!upstream.path("other.tar.zst").exists());
    }
}

#[test]
fn images_are_found_alone() {
    let upstream = site();
    let found: Value =
        serde_json::from_str(&success(&upstream.kbundle(["images", "find", "app", "--output=json"]))).unwrap();
    let names =
        |kind: &str| found[kind].as_array().unwrap().iter().map(|found| found["image"].clone()).collect::<Vec<_>>();
    assert_eq!(names("certain"), ["registry.k8s.io/other:1", "registry.k8s.io/team:1"]);
    assert_eq!(names("doubtful"), ["quay.io/team/sidecar:1"]);
    let text = success(&upstream.kbundle(["images", "find", "app/deploy.yaml"]));
    assert!(text.starts_with("registry.k8s.io/other:1\nregistry.k8s.io/team:1\n"), "{text}");
    let output = upstream.kbundle(["images", "find", "bundle.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(failure(&output).1.contains("document 1 of bundle.yaml is not a Kubernetes object"), "{output:?}");
}

#[test]
fn files_for_hosts_are_listed_with_where_they_go() {
    let upstream = site();
    fs::write(upstream.path("site.conf"), "site = 7\n").unwrap();
    let files = "files:\n- {file: site.conf, path: /etc/site.conf, roles: [worker], owner: 'root:adm', mode: '0640', restart: site.service}\n";
    fs::write(upstream.path("bundle.yaml"), format!("schema: 1\n{files}")).unwrap();
    success(&upstream.build(&["--file=bundle.yaml", "--unsigned", "--out=bundle.tar.zst"]));
    let shown = upstream.kbundle(["inspect", "bundle.tar.zst", "--output=json"]);
    let shown: Value = serde_json::from_str(&success(&shown)).unwrap();
    let entries = shown["list"]["entries"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["path"] == "files/001").unwrap();
    assert_eq!((&entry["kind"], &entry["roles"]), (&"host-file".into(), &serde_json::json!(["worker"])));
    let host_file =
        serde_json::json!({"path": "/etc/site.conf", "owner": "root:adm", "mode": "0640", "restart": "site.service"});
    assert_eq!(entry["hostFile"], host_file);

    success(&upstream.run("lock", &["--file=bundle.yaml", "--out=kbundle.lock"]));
    let lock = fs::read_to_string(upstream.path("kbundle.lock")).unwrap();
    assert!(lock.contains("host-file:\n    path: /etc/site.conf"), "{lock}");

    for (wrong, words) in [
        ("/etc/../site.conf", "is not the path of a file on a host"),
        ("/dev/sda", "is not the path of a file on a host"),
    ] {
        let text = format!("schema: 1\n{}", files.replace("/etc/site.conf", wrong));
        fs::write(upstream.path("bundle.yaml"), text).unwrap();
        let (code, said) = failure(&upstream.build(&["--file=bundle.yaml", "--unsigned"]));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(words), "{said}");
    }
}
