//! Helm charts of the site in a bundle, with the images that helm renders of them. A shell script stands for helm: it prints the chart's one template.

use std::process::Output;

use flate2::Compression;
use flate2::write::GzEncoder;
use fs_err as fs;
use kbundle_format::Digest;
use serde_json::{Value, json};

use crate::upstream::{Image, Upstream, failure, kbundle_in, noise, success};

const HELM: &str = "#!/bin/sh
[ \"$1 $2 $4 $5\" = 'template shop --namespace web' ] || exit 2
case \"$*\" in *--kube-version=1.30.0*--values*) ;; *) echo 'Error: no values' >&2; exit 1 ;; esac
tar -xzOf \"$3\" app/templates/app.yaml
";
const APP: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  template:
    spec:
      containers:
      - {name: app, image: 'registry.k8s.io/team:1', args: ['--sidecar=quay.io/team/sidecar:1']}
      - {name: other, image: 'registry.k8s.io/other:1'}
";
const REPOSITORY: &str = "https://charts.example.com/stable";

fn archive(files: &[(&str, &str, u32)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, content, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn chart() -> Vec<u8> {
    let metadata = "apiVersion: v2\nname: app\nversion: 1.2.3\n";
    archive(&[("app/Chart.yaml", metadata, 0o644), ("app/templates/app.yaml", APP, 0o644)])
}

/// An upstream with helm and the image, and a folder with the chart.
fn site() -> Upstream {
    let upstream = Upstream::new();
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [] } });
    let image = Image::of(&config, noise(7, 1000));
    for (kind, content) in
        [("manifests", &image.index), ("manifests", &image.manifest), ("blobs", &image.config), ("blobs", &image.layer)]
    {
        upstream.server.serve(&format!("/v2/team/{kind}/{}", Digest::of(content)), content);
    }
    upstream.server.serve("/v2/team/manifests/1", &image.index);
    let helm = archive(&[("linux-amd64/README.md", "helm", 0o644), ("linux-amd64/helm", HELM, 0o755)]);
    upstream.server.serve("/helm/helm.tar.gz", &helm);
    let catalog = fs::read_to_string(upstream.path("catalog.yaml")).unwrap();
    let family = |platform: &str| {
        format!(
            "components:
  helm:
    kind: archive
    roles: [control-plane]
    versions:
      3.18.4:
        platforms:
          {platform}: {{url: 'https://get.helm.sh/helm.tar.gz', sha256: {}}}
",
            Digest::of(&helm).hex()
        )
    };
    let platform = format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
    let catalog = catalog.replace("components:\n  kubelet", &format!("{}  kubelet", family(&platform)));
    let catalog = catalog.replace("{kubelet: 1.30.0}", "{kubelet: 1.30.0, helm: 3.18.4}");
    fs::write(upstream.path("catalog.yaml"), catalog).unwrap();
    fs::create_dir_all(upstream.path("app/templates")).unwrap();
    fs::write(upstream.path("app/Chart.yaml"), "apiVersion: v2\nname: app\nversion: 1.2.3\n").unwrap();
    fs::write(upstream.path("app/templates/app.yaml"), APP).unwrap();
    fs::write(upstream.path("values.yaml"), "replicas: 2\n").unwrap();
    upstream
}

fn settings(upstream: &Upstream, chart: &str, more: &str) {
    let text = format!(
        "schema: 1\ncharts: {{shop: {{{chart}, namespace: web, values: values.yaml}}}}\n\
         left-out-images: ['registry.k8s.io/other:1']\n{more}"
    );
    fs::write(upstream.path("bundle.yaml"), text).unwrap();
}

fn mirrors(upstream: &Upstream) -> Vec<String> {
    let port = upstream.server.port();
    [("get.helm.sh", "/helm"), ("charts.example.com", "/charts"), ("ghcr.io", "/ghcr")]
        .map(|(host, path)| format!("--mirror={host}=http://127.0.0.1:{port}{path}"))
        .into()
}

fn run(upstream: &Upstream, command: &str, more: &[&str]) -> Output {
    let mirrors = mirrors(upstream);
    let flags = mirrors.iter().map(String::as_str).chain(["--file=bundle.yaml"]).chain(more.iter().copied());
    upstream.run(command, &flags.collect::<Vec<_>>())
}

fn build(upstream: &Upstream) -> Output {
    run(upstream, "build", &["--unsigned", "--retries=0", "--out=bundle.tar.zst"])
}

/// What the list of the built bundle says: entries of charts as path, origin and pin, and the images.
fn listed(upstream: &Upstream) -> (Vec<String>, Vec<String>) {
    let shown = upstream.kbundle(["inspect", "bundle.tar.zst", "--output=json"]);
    let shown: Value = serde_json::from_str(&success(&shown)).unwrap();
    let entries = shown["list"]["entries"].as_array().unwrap().iter();
    let of_charts = entries.filter(|entry| entry["kind"].as_str().unwrap().starts_with("chart"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let line = |entry: &Value| {
        format!("{} {} {}", text(&entry["path"]), text(&entry["origin"]["url"]), text(&entry["origin"]["pin"]))
    };
    let images = shown["list"]["images"].as_array().unwrap().iter();
    (of_charts.map(line).collect(), images.map(|image| text(&image["reference"])).collect())
}

const FIRST_USE: &str = "trust-on-first-use: true\n";

#[test]
fn a_folder_is_packed_rendered_and_carried_with_its_images() {
    let upstream = site();
    settings(&upstream, "chart: app", FIRST_USE);
    let built = build(&upstream);
    success(&built);
    let said = failure(&built).1;
    assert!(said.contains("shop may need the image quay.io/team/sidecar:1"), "{said}");
    let (entries, images) = listed(&upstream);
    let values = "charts/web/shop/values-01.yaml file:values.yaml local-file";
    assert_eq!(entries, ["charts/web/shop/chart.tgz file:app local-file", values]);
    assert_eq!(images, ["registry.k8s.io/pause:3.9", "registry.k8s.io/team:1"]);

    // Built again from the list, and from a lock, which renders nothing.
    fs::remove_dir_all(upstream.path("cache")).unwrap();
    let mut command = kbundle_in(upstream.directory.path());
    let flags = upstream.flags().into_iter().filter(|flag| flag.contains("mirror") || flag.contains("cache"));
    // A chart from a folder comes from no host, and a mirror that nothing asks is refused.
    let of_helm = mirrors(&upstream).into_iter().filter(|flag| flag.contains("get.helm.sh"));
    let flags: Vec<_> = flags.chain(of_helm).collect();
    let reproduced = command.args(["build", "--reproduce=bundle.tar.zst", "--file=bundle.yaml"]).args(&flags).output();
    success(&reproduced.unwrap());
    success(&run(&upstream, "lock", &["--out=kbundle.lock"]));
    let lock = fs::read_to_string(upstream.path("kbundle.lock")).unwrap();
    assert!(lock.contains("path: charts/web/shop/chart.tgz") && lock.contains("registry.k8s.io/team:1"), "{lock}");
    fs::write(upstream.path("app/templates/app.yaml"), "changed").unwrap();
    fs::remove_dir_all(upstream.path("cache")).unwrap();
    let locked = kbundle_in(upstream.directory.path())
        .args(["build", "--locked=kbundle.lock", "--unsigned", "--force"])
        .args(&flags)
        .output();
    let (code, said) = failure(&locked.unwrap());
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("app has digest"), "{said}");
}

#[test]
fn a_repository_gives_the_version_that_was_asked_for() {
    let upstream = site();
    let chart = chart();
    let index = |digest: &str| {
        format!(
            "apiVersion: v1\nentries:\n  app:\n  - {{name: app, version: 1.3.0, urls: [app-1.3.0.tgz]}}\n  \
             - {{name: app, version: 1.2.3, urls: [archives/app-1.2.3.tgz]{digest}}}\n"
        )
    };
    let from = format!("chart: app, repository: '{REPOSITORY}', version: 1.2.3");
    settings(&upstream, &from, FIRST_USE);
    upstream.server.serve("/charts/stable/archives/app-1.2.3.tgz", &chart);
    upstream.server.serve("/charts/stable/index.yaml", index("").as_bytes());
    success(&build(&upstream));
    let entry = format!("charts/web/shop/chart.tgz {REPOSITORY}/archives/app-1.2.3.tgz");
    assert_eq!(listed(&upstream).0[1], format!("{entry} trust-on-first-use"));

    let stated = index(&format!(", digest: {}", Digest::of(&chart).hex()));
    upstream.server.serve("/charts/stable/index.yaml", stated.as_bytes());
    success(&build(&upstream));
    let (entries, images) = listed(&upstream);
    assert_eq!(entries[1], format!("{entry} upstream-checksum"));
    assert_eq!(images, ["registry.k8s.io/pause:3.9", "registry.k8s.io/team:1"]);

    settings(&upstream, &format!("{from}, digest: '{}'", Digest::of(b"other")), FIRST_USE);
    let (code, said) = failure(&build(&upstream));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("the repository's index gives the chart digest"), "{said}");

    settings(&upstream, &format!("chart: app, repository: '{REPOSITORY}', version: 1.3.9"), FIRST_USE);
    let (code, said) = failure(&build(&upstream));
    assert_eq!(code, 2, "{said}");
    assert!(said.contains(&format!("{REPOSITORY} has no version 1.3.9 of chart app; the nearest is 1.3.0")), "{said}");
}

#[test]
fn a_registry_gives_the_chart_that_its_tag_names() {
    let upstream = site();
    let chart = chart();
    let descriptor = |media_type: &str, content: &[u8]| json!({"mediaType": media_type, "digest": Digest::of(content), "size": content.len()});
    let manifest = |config: &str| {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor(config, b"{}"),
            "layers": [descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip", &chart)],
        });
        manifest.to_string().into_bytes()
    };
    upstream.server.serve(&format!("/v2/ghcr/team/app/blobs/{}", Digest::of(&chart)), &chart);
    upstream.server.serve("/v2/ghcr/team/app/manifests/1.2.3", &manifest("application/vnd.cncf.helm.config.v1+json"));
    settings(&upstream, "chart: 'oci://ghcr.io/team/app', version: 1.2.3", FIRST_USE);
    success(&build(&upstream));
    let entry = format!("charts/web/shop/chart.tgz oci://ghcr.io/team/app@{}", Digest::of(&chart));
    assert_eq!(listed(&upstream).0[1], format!("{entry} trust-on-first-use"));
    let pinned = format!("chart: 'oci://ghcr.io/team/app', version: 1.2.3, digest: '{}'", Digest::of(&chart));
    settings(&upstream, &pinned, FIRST_USE);
    success(&build(&upstream));
    assert_eq!(listed(&upstream).0[1], format!("{entry} catalog"));

    upstream.server.serve("/v2/ghcr/team/app/manifests/1.2.3", &manifest("application/vnd.oci.image.config.v1+json"));
    let (code, said) = failure(&build(&upstream));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("ghcr.io/team/app:1.2.3 is not a chart: its config has the type"), "{said}");
}

#[test]
fn what_nobody_pins_needs_consent_and_what_is_not_waived_has_to_be_there() {
    let upstream = site();
    settings(&upstream, "chart: app", "");
    let (code, said) = failure(&build(&upstream));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("nothing pins shop 1.2.3 (registry.k8s.io/team:1)"), "{said}");
    assert!(!upstream.path("bundle.tar.zst").exists());

    let text = fs::read_to_string(upstream.path("bundle.yaml")).unwrap();
    fs::write(upstream.path("bundle.yaml"), text.replace("left-out-images", "trust-on-first-use: true\naddons: [] #"))
        .unwrap();
    let (code, said) = failure(&build(&upstream));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("/v2/other/"), "{said}");
}

#[test]
fn what_helm_refuses_is_shown() {
    let upstream = site();
    settings(&upstream, "chart: app", FIRST_USE);
    let text = fs::read_to_string(upstream.path("bundle.yaml")).unwrap();
    fs::write(upstream.path("bundle.yaml"), text.replace(", values: values.yaml", "")).unwrap();
    let (code, said) = failure(&build(&upstream));
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("error: cannot take the chart of shop"), "{said}");
    assert!(said.contains("helm cannot render the chart: no values"), "{said}");
}

#[test]
fn a_catalog_without_helm_for_this_machine_says_so() {
    let upstream = site();
    settings(&upstream, "chart: app", FIRST_USE);
    let catalog = fs::read_to_string(upstream.path("catalog.yaml")).unwrap();
    let foreign = catalog.replacen("          linux/a", "          linux/riscv64 # a", 1).replacen(" # amd64", "", 1);
    fs::write(upstream.path("catalog.yaml"), foreign.replacen(" # arm64", "", 1)).unwrap();
    let (code, said) = failure(&build(&upstream));
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("helm 3.18.4"), "{said}");
    fs::write(upstream.path("catalog.yaml"), catalog.replace(", helm: 3.18.4", "")).unwrap();
    let (code, said) = failure(&build(&upstream));
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("the catalog has no helm for Kubernetes 1.30.0"), "{said}");
}

#[test]
fn a_dry_run_names_charts_and_asks_nobody() {
    let upstream = site();
    settings(&upstream, "chart: app", FIRST_USE);
    let dry = run(&upstream, "build", &["--unsigned", "--dry-run", "--output=json"]);
    let report: Value = serde_json::from_str(&success(&dry)).unwrap();
    assert_eq!(report["chartsToRender"], json!(["shop"]));
    let paths: Vec<_> = report["files"].as_array().unwrap().iter().map(|file| file["path"].clone()).collect();
    assert!(paths.contains(&json!("charts/web/shop/chart.tgz")), "{paths:?}");
    assert!(upstream.server.requests("/helm/helm.tar.gz").is_empty());
}
