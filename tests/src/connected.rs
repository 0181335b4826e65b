//! The connected side: keys and bundles, built once from the mirror, which is stopped before any host is booted.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::Context as _;
use fs_err as fs;

use crate::{Host, Mirror, repository};

/// The Kubernetes release that the mirror has.
pub const KUBERNETES: &str = "1.20.2";
/// Where a bundle, the program and the key lie on a host, as if a stick were mounted there.
pub const STICK: &str = "/media/stick";

/// What the builder carries over.
#[derive(Debug)]
pub struct Carried {
    folder: PathBuf,
    /// Whether the mirror could build CoreDNS; without it there are no checks of names, and that is said loudly.
    pub has_dns: bool,
}

static CARRIED: LazyLock<Carried> = LazyLock::new(|| Carried::build().expect("the bundle can be built"));

/// The keys and bundles of this test program, built at the first call.
#[must_use]
pub fn carried() -> &'static Carried {
    &CARRIED
}

/// A program of `./ci/dist`.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let path = repository().join("target/dist").join(name);
    assert!(path.is_file(), "{} is missing; run ./ci/dist first", path.display());
    path
}

/// Runs a command of kbundle to its end; its output on success.
pub fn kbundle(arguments: &[impl AsRef<str>]) -> anyhow::Result<String> {
    let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    let output = Command::new(program("kbundle")).args(&arguments).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    anyhow::ensure!(
        output.status.success(),
        "kbundle {} ended with {}:\n{}{}",
        arguments.join(" "),
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    Ok(text(&output.stdout))
}

/// Builds a bundle of Kubernetes [`KUBERNETES`] from the mirror, by `catalog`.
fn build(mirror: &Mirror, catalog: &Path, out: &Path, options: &[&str]) -> anyhow::Result<()> {
    let mut arguments = ["build", "--k8s", KUBERNETES, "--cni", "bridge", "--addon", "lab-test", "--level", "3"]
        .map(str::to_owned)
        .to_vec();
    for setting in mirror.settings()? {
        arguments.extend(["--mirror".to_owned(), setting]);
    }
    arguments.extend(["--catalog".to_owned(), catalog.display().to_string()]);
    arguments.extend(["--out".to_owned(), out.display().to_string()]);
    arguments.extend(options.iter().map(ToString::to_string));
    kbundle(&arguments)?;
    Ok(())
}

impl Carried {
    fn build() -> anyhow::Result<Self> {
        let folder = repository().join("target/carried");
        fs::create_dir_all(&folder)?;
        let carried = Self { folder, has_dns: lab_has_dns()? };
        let mirror = Mirror::start()?;
        for key in ["signing", "stranger"] {
            for file in [carried.file(&format!("{key}.key")), carried.file(&format!("{key}.pub"))] {
                drop(fs::remove_file(file));
            }
            kbundle(&["keygen", "--out", &carried.text(&format!("{key}.key"))])?;
        }
        let signing_key = carried.text("signing.key");
        build(&mirror, &mirror.catalog(), &carried.file("bundle.tar.zst"), &["--key", &signing_key])?;
        build(&mirror, &mirror.catalog(), &carried.file("unsigned.tar.zst"), &["--unsigned"])?;
        mirror.stop()?;
        Ok(carried)
    }

    /// Builds a small signed bundle for arm64 out of what the mirror has for it: runc and busybox.
    pub fn build_arm64(&self) -> anyhow::Result<PathBuf> {
        let mirror = Mirror::start()?;
        let mut catalog: serde_yaml::Value = serde_yaml::from_str(&fs::read_to_string(mirror.catalog())?)?;
        let release = &mut catalog["releases"][KUBERNETES];
        let components = release["components"].as_mapping_mut().context("the release has no components")?;
        components.retain(|name, _| name == "runc");
        release["images"] = serde_yaml::Value::Sequence(Vec::new());
        let (catalog_file, bundle) = (self.file("arm64-catalog.yaml"), self.file("arm64.tar.zst"));
        fs::write(&catalog_file, serde_yaml::to_string(&catalog)?)?;
        build(&mirror, &catalog_file, &bundle, &["--arch", "arm64", "--key", &self.text("signing.key")])?;
        mirror.stop()?;
        Ok(bundle)
    }

    /// Builds a bundle that has kube-vip as well; none where the mirror has no kube-vip, which is said loudly.
    #[expect(clippy::print_stderr, reason = "what a test leaves out is said loudly")]
    pub fn build_with_kube_vip(&self) -> anyhow::Result<Option<PathBuf>> {
        let (mirror, bundle) = (Mirror::start()?, self.file("kube-vip.tar.zst"));
        let has_kube_vip = mirror.has("kube-vip");
        if has_kube_vip {
            let options = ["--addon", "kube-vip", "--key", &self.text("signing.key")];
            build(&mirror, &mirror.catalog(), &bundle, &options)?;
        } else {
            eprintln!("\n*** NOTICE: the mirror has no kube-vip: the load balancer `vip` is NOT checked\n");
        }
        mirror.stop()?;
        Ok(has_kube_vip.then_some(bundle))
    }

    /// The file of this name in the folder of keys and bundles.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// Carries the installer, the key and the bundle into `host`.
    pub fn carry_into(&self, host: &Host) -> anyhow::Result<()> {
        host.sh(&format!("mkdir -p {STICK}"))?;
        for (from, name) in [
            (program("kinstall"), "kinstall"),
            (self.file("signing.pub"), "signing.pub"),
            (self.file("bundle.tar.zst"), "bundle.tar.zst"),
        ] {
            copy_in(host, &from, name)?;
        }
        Ok(())
    }
}

/// Copies a file onto the host's stick.
pub fn copy_in(host: &Host, from: &Path, name: &str) -> anyhow::Result<()> {
    host.copy_in(from, &format!("{STICK}/{name}"))
}

#[expect(clippy::print_stderr, reason = "what a test leaves out is said loudly")]
fn lab_has_dns() -> anyhow::Result<bool> {
    let mirror = Mirror::start()?;
    let has_dns = mirror.has("coredns");
    if !has_dns {
        eprintln!("\n*** NOTICE: the mirror has no CoreDNS: names in the cluster are NOT checked\n");
    }
    mirror.stop()?;
    Ok(has_dns)
}
