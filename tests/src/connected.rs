//! The connected side: keys and bundles, built once from the mirror, which is stopped before any host is booted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};

use anyhow::Context as _;
use fs_err as fs;

use crate::{Mirror, Remote, repository};

/// The Kubernetes release of the project's brief, and the oldest that is tested.
pub const OLDEST: &str = "1.25.2";
/// The newest Kubernetes release that the mirror has.
pub const NEWEST: &str = "1.36.3";
/// The folder of bundle, program and key on a host, as if a stick were mounted there.
pub const STICK: &str = "/media/stick";

/// What the builder carries over: keys, and bundles of one Kubernetes release with one pod network.
#[derive(Debug)]
pub struct Carried {
    /// The Kubernetes release of its bundles.
    pub kubernetes: String,
    /// The pod network of its bundles, as `kbundle build --cni` calls it.
    pub cni: String,
    folder: PathBuf,
}

/// What a site adds to its bundles by `manifests` of bundle.yaml; a cluster applies it as `team-app`.
const TEAM_APP: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: team}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: page, namespace: team}
data: {index.html: carried with the bundle}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: team}
spec:
  selector: {matchLabels: {app: team}}
  template:
    metadata: {labels: {app: team}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: docker.io/library/busybox:1.35.0
        command: [httpd, -f, -p, "8080", -h, /page]
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: page, mountPath: /page}]
      volumes: [{name: page, configMap: {name: page}}]
"#;

type Made = Mutex<BTreeMap<(String, String), &'static Carried>>;
static CARRIED: LazyLock<Made> = LazyLock::new(Made::default);

/// The keys and bundles of this test program for a release and a pod network, built at the first call.
#[must_use]
pub fn carried(kubernetes: &str, cni: &str) -> &'static Carried {
    let mut made = CARRIED.lock().expect("no test failed while it built bundles");
    let key = (kubernetes.to_owned(), cni.to_owned());
    made.entry(key).or_insert_with(|| {
        let folder = repository().join("target/carried").join(format!("{kubernetes}-{cni}"));
        let carried = Carried::build(&folder, kubernetes, cni).expect("the bundle can be built");
        Box::leak(Box::new(carried))
    })
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

impl Carried {
    /// Makes the keys and bundles in `folder`, which nobody else uses.
    pub fn build(folder: &Path, kubernetes: &str, cni: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let carried = Self { kubernetes: kubernetes.to_owned(), cni: cni.to_owned(), folder: folder.to_owned() };
        let mirror = Mirror::start()?;
        for key in ["signing", "stranger"] {
            for file in [carried.file(&format!("{key}.key")), carried.file(&format!("{key}.pub"))] {
                drop(fs::remove_file(file));
            }
            kbundle(&["keygen", "--out", &carried.text(&format!("{key}.key"))])?;
        }
        let signing_key = carried.text("signing.key");
        let catalog = mirror.catalog();
        carried.build_bundle(&mirror, &catalog, &carried.file("bundle.tar.zst"), &["--key", &signing_key])?;
        carried.build_bundle(&mirror, &catalog, &carried.file("unsigned.tar.zst"), &["--unsigned"])?;
        mirror.stop()?;
        Ok(carried)
    }

    /// Builds a bundle from the mirror, by `catalog`.
    fn build_bundle(&self, mirror: &Mirror, catalog: &Path, out: &Path, options: &[&str]) -> anyhow::Result<()> {
        let mut arguments =
            ["build", "--k8s", &self.kubernetes, "--cni", &self.cni, "--addon", "lab-test", "--level", "3"]
                .map(str::to_owned)
                .to_vec();
        if !options.contains(&"--file") {
            fs::write(self.file("team-app.yaml"), TEAM_APP)?;
            fs::write(self.file("bundle.yaml"), "schema: 1\nmanifests: {team-app: team-app.yaml}\n")?;
            arguments.extend(["--file".to_owned(), self.text("bundle.yaml")]);
        }
        for setting in mirror.settings()? {
            arguments.extend(["--mirror".to_owned(), setting]);
        }
        arguments.extend(["--catalog".to_owned(), catalog.display().to_string()]);
        arguments.extend(["--out".to_owned(), out.display().to_string(), "--force".to_owned()]);
        arguments.extend(options.iter().map(ToString::to_string));
        kbundle(&arguments)?;
        Ok(())
    }

    /// Builds a small signed bundle for arm64 out of what the mirror has for it: busybox.
    pub fn build_arm64(&self) -> anyhow::Result<PathBuf> {
        let mirror = Mirror::start()?;
        let mut catalog: serde_yaml::Value = serde_yaml::from_str(&fs::read_to_string(mirror.catalog())?)?;
        let release = &mut catalog["releases"][self.kubernetes.as_str()];
        release["components"].as_mapping_mut().context("the release has no components")?.clear();
        release["images"] = serde_yaml::Value::Sequence(Vec::new());
        let (catalog_file, bundle) = (self.file("arm64-catalog.yaml"), self.file("arm64.tar.zst"));
        fs::write(&catalog_file, serde_yaml::to_string(&catalog)?)?;
        let options = ["--arch", "arm64", "--load-balancer", "none", "--key", &self.text("signing.key")];
        self.build_bundle(&mirror, &catalog_file, &bundle, &options)?;
        mirror.stop()?;
        Ok(bundle)
    }

    /// Builds a bundle of the same Kubernetes release with these components in other versions that the mirror has.
    pub fn build_with(&self, components: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
        let mirror = Mirror::start()?;
        let mut catalog: serde_yaml::Value = serde_yaml::from_str(&fs::read_to_string(mirror.catalog())?)?;
        let paired = &mut catalog["releases"][self.kubernetes.as_str()]["components"];
        let paired = paired.as_mapping_mut().context("the release has no components")?;
        for &(name, version) in components {
            let former = paired.insert(name.into(), version.into());
            anyhow::ensure!(former.is_some_and(|former| former != version), "{name} is {version} already");
        }
        let (catalog_file, bundle) = (self.file("other-components.yaml"), self.file("other-components.tar.zst"));
        fs::write(&catalog_file, serde_yaml::to_string(&catalog)?)?;
        self.build_bundle(&mirror, &catalog_file, &bundle, &["--key", &self.text("signing.key")])?;
        mirror.stop()?;
        Ok(bundle)
    }

    /// Builds a bundle that has kube-vip as well.
    pub fn build_with_kube_vip(&self) -> anyhow::Result<PathBuf> {
        self.build_with_addons(&["kube-vip"])
    }

    /// Builds a bundle that has these add-ons as well, which the mirror has by an option of `fill`.
    pub fn build_with_addons(&self, addons: &[&str]) -> anyhow::Result<PathBuf> {
        let (mirror, bundle) = (Mirror::start()?, self.file(&format!("{}.tar.zst", addons[0])));
        let key = self.text("signing.key");
        let mut options = vec!["--key", key.as_str()];
        options.extend(addons.iter().flat_map(|addon| ["--addon", addon]));
        self.build_bundle(&mirror, &mirror.catalog(), &bundle, &options)?;
        mirror.stop()?;
        Ok(bundle)
    }

    /// Builds a bundle with what a bundle.yaml of a site names. The mirror needs helm for charts.
    pub fn build_with_site(&self, bundle_yaml: &Path) -> anyhow::Result<PathBuf> {
        let (mirror, bundle) = (Mirror::start()?, self.file("site.tar.zst"));
        let file = bundle_yaml.display().to_string();
        let options = ["--file", &file, "--key", &self.text("signing.key")];
        self.build_bundle(&mirror, &mirror.catalog(), &bundle, &options)?;
        mirror.stop()?;
        Ok(bundle)
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
    pub fn carry_into(&self, host: &Remote) -> anyhow::Result<()> {
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
pub fn copy_in(host: &Remote, from: &Path, name: &str) -> anyhow::Result<()> {
    host.copy_in(from, &format!("{STICK}/{name}"))
}
