//! `kbundle push` into distribution's registry, read back by skopeo. Both come from Debian's packages.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use serde_json::Value;

use super::{Site, describe_document, index};
use crate::upstream::success;

/// `docker-registry` on a port of its own.
struct RealRegistry(Child);

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn distributions_registry_takes_what_is_pushed_and_skopeo_reads_it() {
    let site = Site::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\nlog: {{level: error}}\n",
        site.path("stored").display()
    );
    fs::write(site.path("registry.yaml"), config).unwrap();
    let mut serve = Command::new("docker-registry");
    serve.arg("serve").arg(site.path("registry.yaml")).stdout(Stdio::null()).stderr(Stdio::null());
    let process = serve.spawn().expect("docker-registry is needed");
    let _registry = RealRegistry(process);
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "docker-registry did not start");
        thread::sleep(Duration::from_millis(50));
    }

    let [amd64, arm64] =
        [(1, "amd64"), (2, "arm64")].map(|(seed, architecture)| site.image("team/app", seed, architecture));
    for document in [&amd64, &arm64] {
        site.registry.document("team/app", None, document);
    }
    let platforms = [("linux", "amd64", None), ("linux", "arm64", None)].map(Some);
    let entries: Vec<_> = [&amd64, &arm64]
        .into_iter()
        .zip(platforms)
        .map(|(document, platform)| describe_document(document, platform))
        .collect();
    let whole = site.registry.document("team/app", Some("1"), &index(&entries));
    site.image("tool", 1, "amd64");
    let manifest = site.registry.document("tool", Some("2"), &amd64);
    program_for_both_architectures(&site);
    let (app, tool) = ("r.example/team/app:1", "r.example/tool:2");
    let one = (vec![app, tool], vec!["--arch=amd64"], manifest, "reduced");
    let both = (vec![app], vec!["--arch=amd64", "--arch=arm64"], whole, "whole");
    for (images, more, expected, kept) in [one, both] {
        success(&site.command(&images, &more).output().unwrap());
        let target = format!("http://127.0.0.1:{port}/k8s");
        let push = ["push", "out.tar.zst", &target, "--key=signing.pub", "--output=json"];
        let pushed: Value = serde_json::from_str(&success(&site.upstream.kbundle(push))).unwrap();
        assert_eq!(pushed["images"][0]["index"], kept, "{pushed}");
        let read =
            skopeo(&["inspect", "--raw", "--tls-verify=false", &format!("docker://127.0.0.1:{port}/k8s/team/app:1")]);
        assert_eq!(kbundle_format::Digest::of(&read), expected);
        let again: Value = serde_json::from_str(&success(&site.upstream.kbundle(push))).unwrap();
        assert_eq!(
            (&again["images"][0]["state"], &again["uploadedBlobs"]),
            (&"unchanged".into(), &0.into()),
            "{again}"
        );
    }
    let copied = site.path("copied").display().to_string();
    // All blobs of all platforms, with their digests compared.
    skopeo(&[
        "copy",
        "--all",
        "--src-tls-verify=false",
        &format!("docker://127.0.0.1:{port}/k8s/team/app:1"),
        &format!("dir:{copied}"),
    ]);
    skopeo(&[
        "copy",
        "--src-tls-verify=false",
        &format!("docker://127.0.0.1:{port}/k8s/tool:2"),
        &format!("dir:{copied}-tool"),
    ]);
}

fn program_for_both_architectures(site: &Site) {
    let catalog = fs::read_to_string(site.path("catalog.yaml")).unwrap();
    let line = catalog.lines().find(|line| line.contains("linux/amd64: {")).unwrap();
    let arm64 = line.replace("linux/amd64: {", "linux/arm64: {");
    fs::write(site.path("catalog.yaml"), catalog.replace(line, &format!("{line}\n{arm64}"))).unwrap();
}

fn skopeo(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("skopeo").args(arguments).output().expect("skopeo is needed");
    assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
