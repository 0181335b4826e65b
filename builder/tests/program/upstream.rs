//! A small upstream: a catalog, and a server on loopback that lies on demand; and the program run against it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fs_err as fs;
use kbundle_format::Digest;
use serde_json::json;

use crate::server::Server;

/// The path of the kubelet on the server.
pub const KUBELET: &str = "/dl/release/v1.30.0/bin/linux/amd64/kubelet";

/// A directory with a catalog, keys and a cache, and the server that the catalog's addresses lead to.
pub struct Upstream {
    pub directory: tempfile::TempDir,
    pub server: Server,
    pub kubelet: Vec<u8>,
    pub image: Image,
}

/// The blobs of one image.
pub struct Image {
    pub index: Vec<u8>,
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub layer: Vec<u8>,
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

impl Image {
    fn new(architecture: &str) -> Self {
        let config =
            json!({ "os": "linux", "architecture": architecture, "rootfs": { "type": "layers", "diff_ids": [] } });
        Self::of(&config, noise(2, 300_000))
    }

    /// An image with this config and layer.
    pub fn of(config: &serde_json::Value, layer: Vec<u8>) -> Self {
        let descriptor = |media_type: &str, content: &[u8]| json!({ "mediaType": media_type, "digest": Digest::of(content), "size": content.len() });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        entry["platform"] = json!({ "os": "linux", "architecture": "amd64" });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [entry],
        });
        Self { index: index.to_string().into_bytes(), manifest, config, layer }
    }

    fn serve(&self, server: &Server) {
        for (kind, content) in
            [("manifests", &self.index), ("manifests", &self.manifest), ("blobs", &self.config), ("blobs", &self.layer)]
        {
            server.serve(&Self::path(kind, content), content);
        }
    }

    pub fn path(kind: &str, content: &[u8]) -> String {
        format!("/v2/pause/{kind}/{}", Digest::of(content))
    }
}

impl Upstream {
    pub fn new() -> Self {
        let image = Image::new("amd64");
        let pin = Digest::of(&image.index);
        Self::with_image(image, &pin)
    }

    /// An upstream whose image has another architecture in its config than in its index.
    pub fn with_mislabelled_image() -> Self {
        let image = Image::new("arm64");
        let pin = Digest::of(&image.index);
        Self::with_image(image, &pin)
    }

    /// An upstream whose image is for another architecture and pinned by its manifest, so that no index contradicts it.
    pub fn with_foreign_image() -> Self {
        let image = Image::new("arm64");
        let pin = Digest::of(&image.manifest);
        Self::with_image(image, &pin)
    }

    fn with_image(image: Image, pin: &Digest) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let kubelet = noise(1, 700_000);
        let server = Server::start();
        server.serve(KUBELET, &kubelet);
        server.serve("/v2/", b"{}");
        image.serve(&server);
        let catalog = format!(
            "schema: 1
components:
  kubelet:
    kind: binary
    licence: Apache-2.0
    roles: [control-plane, worker]
    versions:
      1.30.0:
        platforms:
          linux/amd64: {{url: 'https://dl.k8s.io/release/v1.30.0/bin/linux/amd64/kubelet', sha256: {}}}
releases:
  1.30.0:
    components: {{kubelet: 1.30.0}}
    images:
      - {{reference: 'registry.k8s.io/pause:3.9', digest: '{}', roles: [control-plane, worker]}}
",
            Digest::of(&kubelet).hex(),
            pin,
        );
        fs::write(directory.path().join("catalog.yaml"), catalog).unwrap();
        let upstream = Self { directory, server, kubelet, image };
        assert!(upstream.kbundle(["keygen"]).status.success());
        upstream
    }

    /// Puts a further image of control planes into the catalog, as `pause` with the tag `tag`.
    pub fn add_image(&self, tag: &str, image: &Image) {
        image.serve(&self.server);
        let catalog = fs::read_to_string(self.path("catalog.yaml")).unwrap();
        let digest = Digest::of(&image.index);
        let line =
            format!("- {{reference: 'registry.k8s.io/pause:{tag}', digest: '{digest}', roles: [control-plane]}}");
        let catalog = format!("{catalog}      {line}\n");
        fs::write(self.path("catalog.yaml"), catalog).unwrap();
    }

    /// The number of incomplete files and folders.
    pub fn incomplete(&self) -> usize {
        let found = Command::new("find").arg(self.directory.path()).args(["-name", ".incomplete-*"]).output().unwrap();
        String::from_utf8(found.stdout).unwrap().lines().count()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the program in the directory.
    pub fn kbundle<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Output {
        kbundle_in(self.directory.path()).args(arguments).output().unwrap()
    }

    /// Flags that lead to the server. Pauses are short and outputs are replaced; otherwise a run is like a real one.
    pub fn flags(&self) -> Vec<String> {
        let port = self.server.port();
        [
            "--k8s=1.30.0",
            "--catalog=catalog.yaml",
            "--cni=bridge",
            "--cache=cache",
            "--retry-pause=0.01",
            "--timeout=1",
            "--force",
            &format!("--mirror=dl.k8s.io=http://127.0.0.1:{port}/dl"),
            &format!("--mirror=registry.k8s.io=http://127.0.0.1:{port}"),
        ]
        .map(str::to_owned)
        .into()
    }

    /// Runs `kbundle build` with additional flags.
    pub fn build(&self, more: &[&str]) -> Output {
        self.run("build", more)
    }

    /// Runs a command that fetches.
    pub fn run(&self, name: &str, more: &[&str]) -> Output {
        kbundle_in(self.directory.path()).arg(name).args(self.flags()).args(more).output().unwrap()
    }

    /// Names of the files below `cache/`, sorted.
    pub fn cached(&self, part: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path("cache").join(part))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// The program, run in `directory` whatever the machine's settings.
pub fn kbundle_in(directory: &Path) -> Command {
    program_in(env!("CARGO_BIN_EXE_kbundle"), directory)
}

/// A program that runs kbundle.
pub fn program_in(program: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).env_remove("KBUNDLE_LOG").env_remove("REGISTRY_AUTH_FILE");
    for folder_of_credentials in ["DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"] {
        command.env(folder_of_credentials, directory);
    }
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(proxy);
    }
    // A proxy of the machine must not be between the program and loopback.
    command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
    command
}

/// The exit code and stderr.
pub fn failure(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Panics with stderr unless the program succeeded; returns stdout.
pub fn success(output: &Output) -> String {
    assert!(output.status.success(), "{}", failure(output).1);
    String::from_utf8(output.stdout.clone()).unwrap()
}
