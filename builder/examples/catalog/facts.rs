//! The facts as far as the catalog needs them. Other fields are skipped.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use fs_err as fs;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The four files of facts.
pub struct Facts {
    pub kubernetes: Kubernetes,
    pub runtime: Runtime,
    pub addons: Addons,
    pub compatibility: Compatibility,
}

#[derive(Deserialize)]
pub struct Kubernetes {
    pub urls: KubernetesUrls,
    pub versions: Vec<KubernetesVersion>,
}

#[derive(Deserialize)]
pub struct KubernetesUrls {
    pub binary: String,
}

#[derive(Deserialize)]
pub struct KubernetesVersion {
    pub version: String,
    /// By architecture, then by name.
    pub binaries: BTreeMap<String, BTreeMap<String, String>>,
    pub binaries_source: Vec<String>,
    pub kubeadm_pins: KubeadmPins,
    pub images: Vec<ImageFact>,
}

#[derive(Deserialize)]
pub struct KubeadmPins {
    pub etcd: String,
}

#[derive(Clone, Deserialize)]
pub struct ImageFact {
    pub image: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
    /// Where the digest was found: a text, or a list.
    pub evidence: Option<serde_yaml::Value>,
}

impl ImageFact {
    /// The reference to pull; without a tag it is `latest`, as in Docker and containerd.
    pub fn reference(&self) -> String {
        format!("{}:{}", self.image, self.tag.as_deref().unwrap_or("latest"))
    }
}

#[derive(Deserialize)]
pub struct Runtime {
    pub components: Vec<RuntimeComponent>,
}

#[derive(Deserialize)]
pub struct RuntimeComponent {
    pub name: String,
    pub url: String,
    pub licence: String,
    pub project: String,
    pub versions: Vec<RuntimeVersion>,
}

#[derive(Deserialize)]
pub struct RuntimeVersion {
    pub version: String,
    pub sha256: BTreeMap<String, String>,
    pub source: String,
}

#[derive(Deserialize)]
pub struct Addons {
    pub addons: Vec<AddonFact>,
}

#[derive(Deserialize)]
pub struct AddonFact {
    pub name: String,
    pub licence: serde_yaml::Value,
    pub project: serde_yaml::Value,
    pub kind: String,
    #[serde(default)]
    pub versions: Vec<AddonVersionFact>,
    /// Which release lines suit which minor versions, for people: `0.9.x: 1.34+, 0.8.x: 1.31+ (README.md …)`.
    pub kubernetes_support: Option<String>,
    /// Of the load balancer on workers, which has no separate versions.
    #[serde(default)]
    pub images_by_minor: Vec<MinorImages>,
}

#[derive(Deserialize)]
pub struct MinorImages {
    pub haproxy: ImageFact,
}

#[derive(Deserialize)]
pub struct AddonVersionFact {
    pub version: String,
    #[serde(default)]
    pub manifests: Vec<ManifestFact>,
    /// Of a static pod, or of a manifest whose own images are not listed separately.
    #[serde(default)]
    pub images: Vec<ImageFact>,
    #[serde(default)]
    pub kubernetes_tested: Vec<String>,
    #[serde(default)]
    pub kubernetes_supported: Vec<String>,
    /// The first and the last minor version.
    pub kubernetes_supported_range: Option<(String, String)>,
}

#[derive(Deserialize)]
pub struct ManifestFact {
    #[serde(default)]
    pub path: String,
    pub url: String,
    pub sha256: Option<String>,
    #[serde(default)]
    pub images: Vec<ImageFact>,
}

impl AddonFact {
    /// What the project says about this version and a minor version of Kubernetes; `None` if it says nothing about any minor version.
    pub fn supports(&self, version: &AddonVersionFact, minor: &str) -> Option<bool> {
        let listed: Vec<_> = version.kubernetes_tested.iter().chain(&version.kubernetes_supported).collect();
        if !listed.is_empty() {
            return Some(listed.into_iter().any(|known| known == minor));
        }
        if let Some((first, last)) = &version.kubernetes_supported_range {
            return Some((numbers(first)..=numbers(last)).contains(&numbers(minor)));
        }
        self.kubernetes_support.as_deref().map(|words| line_supports(words, version.number(), minor))
    }
}

impl AddonVersionFact {
    /// The version without a leading `v`.
    pub fn number(&self) -> &str {
        self.version.trim_start_matches('v')
    }
}

/// Reads `0.9.x: 1.34+, 0.8.x: 1.31+ (README.md …)`: whether the line of `version` supports minor versions from `minor` or earlier.
fn line_supports(words: &str, version: &str, minor: &str) -> bool {
    let lines = words.split(['(', ',']).filter_map(|part| part.trim().strip_suffix('+')?.split_once(".x: "));
    lines.into_iter().any(|(line, first)| {
        version.strip_prefix(line).is_some_and(|rest| rest.starts_with('.')) && numbers(first) <= numbers(minor)
    })
}

/// The parts of a version as numbers, for comparison; text after a hyphen is ignored.
pub fn numbers(version: &str) -> Vec<u32> {
    let version = version.split('-').next().unwrap_or_default();
    version.split('.').map(|part| part.parse().unwrap_or_default()).collect()
}

#[derive(Deserialize)]
pub struct Compatibility {
    pub pairings: Vec<Pairing>,
}

#[derive(Deserialize)]
pub struct Pairing {
    /// A minor version, such as `1.25`.
    pub kubernetes: String,
    pub as_default_minor: BTreeMap<String, serde_yaml::Value>,
    pub newest_release_still_supporting_it: Option<BTreeMap<String, serde_yaml::Value>>,
}

impl Pairing {
    /// The rule: the version that the newest Kubespray release which still supports the minor version pairs with it, because it has the
    /// runtime's security fixes. For the newest minor version, which no later release supports yet, the version of the release whose
    /// default it is.
    pub fn version_of(&self, name: &str) -> Option<&str> {
        self.newest_release_still_supporting_it.as_ref().unwrap_or(&self.as_default_minor).get(name)?.as_str()
    }
}

impl Facts {
    pub fn read(directory: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            kubernetes: read(directory, "kubernetes.yaml")?,
            runtime: read(directory, "runtime.yaml")?,
            addons: read(directory, "addons.yaml")?,
            compatibility: read(directory, "compatibility.yaml")?,
        })
    }

    /// The pairing for a version's minor version.
    pub fn pairing(&self, version: &str) -> anyhow::Result<&Pairing> {
        let minor = version.rsplit_once('.').map_or(version, |(minor, _)| minor);
        let mut pairings = self.compatibility.pairings.iter();
        pairings.find(|pairing| pairing.kubernetes == minor).with_context(|| format!("no pairing for {minor}"))
    }
}

fn read<T: DeserializeOwned>(directory: &Path, name: &str) -> anyhow::Result<T> {
    let path = directory.join(name);
    let text = fs::read_to_string(&path)?;
    serde_yaml::from_str(&text).with_context(|| format!("while reading {}", path.display()))
}
