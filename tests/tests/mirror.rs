//! The mirror serves exactly what its catalog says, the way the real hosts do.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};
use fs_err as fs;
use lab::Mirror;
use serde::Deserialize;

#[derive(Deserialize)]
struct Catalog {
    components: BTreeMap<String, Component>,
    addons: BTreeMap<String, Addon>,
    releases: BTreeMap<String, Release>,
}

#[derive(Deserialize)]
struct Component {
    versions: BTreeMap<String, ComponentVersion>,
}

#[derive(Deserialize)]
struct ComponentVersion {
    platforms: BTreeMap<String, Pin>,
}

#[derive(Deserialize)]
struct Pin {
    url: String,
    sha256: String,
}

#[derive(Deserialize)]
struct Addon {
    versions: BTreeMap<String, AddonVersion>,
}

#[derive(Deserialize)]
struct AddonVersion {
    manifests: Vec<Pin>,
    images: Vec<Image>,
}

#[derive(Deserialize)]
struct Release {
    components: BTreeMap<String, String>,
    images: Vec<Image>,
}

#[derive(Deserialize)]
struct Image {
    reference: String,
    digest: String,
}

#[test]
fn serves_what_the_catalog_pins() -> Result<()> {
    let mirror = Mirror::start()?;
    let catalog: Catalog = serde_yaml::from_str(&fs::read_to_string(mirror.catalog())?)?;

    let components = catalog.components.values().flat_map(|component| component.versions.values());
    let manifests =
        catalog.addons.values().flat_map(|addon| addon.versions.values()).flat_map(|version| &version.manifests);
    let files: Vec<&Pin> = components.flat_map(|version| version.platforms.values()).chain(manifests).collect();
    for pin in &files {
        assert_eq!(
            sh(&format!("curl -fsS {} | sha256sum | cut -c 1-64", mirrored(&mirror, &pin.url)?))?,
            pin.sha256,
            "{}",
            pin.url
        );
    }
    assert_eq!(mirror.requests()?.len(), files.len(), "each request is in the log");

    for (version, release) in &catalog.releases {
        for (component, wanted) in &release.components {
            let known =
                catalog.components.get(component).is_some_and(|component| component.versions.contains_key(wanted));
            assert!(known, "release {version} names {component} {wanted}, which is not there");
        }
    }

    let in_addons =
        catalog.addons.values().flat_map(|addon| addon.versions.values()).flat_map(|version| &version.images);
    for image in catalog.releases.values().flat_map(|release| &release.images).chain(in_addons) {
        assert_eq!(digest(&mirror, &image.reference)?, image.digest, "{}", image.reference);
    }
    mirror.stop()
}

#[test]
fn answers_ranges_and_refuses_pushes() -> Result<()> {
    let mirror = Mirror::start()?;
    let catalog: Catalog = serde_yaml::from_str(&fs::read_to_string(mirror.catalog())?)?;
    let runc = catalog.components["runc"].versions.values().next().context("a version")?;
    let url = mirrored(&mirror, &runc.platforms["linux/amd64"].url)?;
    let status = "-o /dev/null -w '%{http_code} %{size_download}'";
    assert_eq!(sh(&format!("curl -sS -r 100-199 {status} {url}"))?, "206 100");
    assert_eq!(sh(&format!("curl -sS {status} {url}.missing"))?.split(' ').next(), Some("404"));
    let uploads = format!("{}/blobs/uploads/", api(&mirror, "registry.k8s.io/pause"));
    assert_eq!(sh(&format!("curl -sS -X POST -o /dev/null -w '%{{http_code}}' {uploads}"))?, "405");
    mirror.stop()
}

#[test]
fn ends_its_servers() -> Result<()> {
    let mirror = Mirror::start()?;
    let url = mirror.http_url("dl.k8s.io");
    let registry = api(&mirror, "registry.k8s.io/pause");
    mirror.stop()?;
    for url in [url, registry] {
        // 7: nobody listens.
        assert_eq!(sh(&format!("curl -sS {url} 2>/dev/null || echo $?"))?, "7");
    }
    Ok(())
}

/// What the address of a file becomes on the mirror.
fn mirrored(mirror: &Mirror, url: &str) -> Result<String> {
    let (host, path) =
        url.strip_prefix("https://").and_then(|rest| rest.split_once('/')).with_context(|| url.to_owned())?;
    Ok(format!("{}/{path}", mirror.http_url(host)))
}

/// The digest that the mirror's registry says a reference resolves to.
fn digest(mirror: &Mirror, reference: &str) -> Result<String> {
    let (repository, tag) = reference.rsplit_once(':').context("a tag")?;
    let accept = "Accept: application/vnd.oci.image.index.v1+json";
    let headers = sh(&format!("curl -fsSI -H '{accept}' {}/manifests/{tag}", api(mirror, repository)))?;
    let digest = headers.lines().find_map(|line| line.strip_prefix("Docker-Content-Digest: "));
    Ok(digest.with_context(|| format!("no digest in {headers}"))?.trim().to_owned())
}

/// The registry's address of a repository that is named with its registry, as `registry.k8s.io/pause`.
fn api(mirror: &Mirror, repository: &str) -> String {
    format!("{}v2/{repository}", mirror.registry_url(""))
}

fn sh(script: &str) -> Result<String> {
    let output = Command::new("bash").args(["-o", "pipefail", "-c", script]).output()?;
    anyhow::ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}
