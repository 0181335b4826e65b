//! Registries as they really are: what the specifications allow, what is really sent, and what users write about them.

mod access;
mod http;
mod images;
mod mirrors;
mod push;
mod real;
pub mod server;

use std::path::PathBuf;
use std::process::{Command, Output};

use fs_err as fs;
use kbundle_format::Digest;
use serde_json::{Value, json};

use self::server::Registry;
use crate::upstream::{Upstream, kbundle_in, noise};

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A registry, and a catalog whose release has one program and no image.
pub struct Site {
    pub upstream: Upstream,
    pub registry: Registry,
}

impl Site {
    pub fn new() -> Self {
        let upstream = Upstream::new();
        let catalog = fs::read_to_string(upstream.path("catalog.yaml")).unwrap();
        let without_images = catalog.split("    images:").next().unwrap().to_owned() + "    images: []\n";
        fs::write(upstream.path("catalog.yaml"), without_images).unwrap();
        Self { upstream, registry: Registry::start() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.upstream.path(name)
    }

    /// `kbundle build` of these images, by way of the registry as a mirror of `r.example` and of Docker Hub.
    pub fn command(&self, images: &[&str], more: &[&str]) -> Command {
        let host = self.registry.host();
        let mut flags = vec![
            format!("--mirror=dl.k8s.io=http://127.0.0.1:{}/dl", self.upstream.server.port()),
            format!("--mirror=docker.io=http://{host}"),
        ];
        // A mirror is refused if no content comes from its upstream.
        if images.iter().any(|image| image.starts_with("r.example/")) {
            flags.push(format!("--mirror=r.example=http://{host}"));
        }
        flags.extend(images.iter().map(|image| format!("--add-image={image}")));
        let fixed = [
            "build",
            "--k8s=1.30.0",
            "--catalog=catalog.yaml",
            "--cni=bridge",
            "--cache=cache",
            "--retry-pause=0.01",
            "--timeout=2",
            "--force",
            "--trust-on-first-use",
            "--key=signing.key",
            "--out=out.tar.zst",
        ];
        let mut command = kbundle_in(self.upstream.directory.path());
        command.args(fixed).args(flags).args(more);
        command
    }

    pub fn build(&self, image: &str, more: &[&str]) -> Output {
        self.command(&[image], more).output().unwrap()
    }

    /// The list of the built bundle.
    pub fn list(&self) -> Value {
        let printed = self.upstream.kbundle(["cat", "out.tar.zst", "bundle.json", "--key=signing.pub"]);
        serde_json::from_slice(&printed.stdout).unwrap()
    }

    /// Serves an image for one platform, and returns its manifest.
    pub fn image(&self, repository: &str, seed: u64, architecture: &str) -> Value {
        let layer = noise(seed, 3000);
        let config =
            json!({ "os": "linux", "architecture": architecture, "rootfs": { "type": "layers", "diff_ids": [] } });
        let config = config.to_string().into_bytes();
        self.registry.blob(repository, &layer);
        self.registry.blob(repository, &config);
        let (config, layer) = (describe(OCI_CONFIG, &config), describe(OCI_LAYER, &layer));
        json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer] })
    }

    /// Serves an image for amd64 under the tag 1.
    pub fn plain(&self, repository: &str) -> Digest {
        let manifest = self.image(repository, 7, "amd64");
        self.registry.document(repository, Some("1"), &manifest)
    }
}

pub fn describe(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(content), "size": content.len() })
}

pub fn describe_document(document: &Value, platform: Option<(&str, &str, Option<&str>)>) -> Value {
    let mut described = describe(document["mediaType"].as_str().unwrap(), document.to_string().as_bytes());
    if let Some((os, architecture, variant)) = platform {
        described["platform"] = json!({ "os": os, "architecture": architecture });
        if let Some(variant) = variant {
            described["platform"]["variant"] = json!(variant);
        }
    }
    described
}

pub fn index(entries: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries })
}
