//! From facts to catalog files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Context as _;
use kbundle::catalog::{
    Addon, AddonKind, AddonVersion, CatalogFile, CatalogImage, ComponentFamily, ComponentKind, ComponentVersion,
    Download, ManifestFile, Release, SCHEMA,
};
use kbundle_format::{KubeVersion, Platform, Role};

use crate::facts::{
    AddonFact, AddonVersionFact, Facts, ImageFact, KubernetesVersion, RuntimeComponent, RuntimeVersion,
};

/// Hosts that run pods.
const POD_HOSTS: &[Role] = &[Role::ControlPlane, Role::Worker];

/// The catalog's name of a component, the facts' name in pairings, what its file is, and the hosts that need it.
const RUNTIME: [(&str, &str, ComponentKind, &[Role]); 5] = [
    ("containerd", "containerd", ComponentKind::Archive, POD_HOSTS),
    ("runc", "runc", ComponentKind::Binary, POD_HOSTS),
    ("cni-plugins", "cni_plugins", ComponentKind::Archive, POD_HOSTS),
    ("crictl", "crictl", ComponentKind::Archive, POD_HOSTS),
    // A system service; hosts that are control plane and etcd member have both roles.
    ("etcd", "etcd", ComponentKind::Archive, &[Role::Etcd]),
];

/// The facts' kind of what kinstall runs as a static pod.
const STATIC_POD: &str = "control-plane-vip";

/// Kubernetes' own programs.
const KUBERNETES: [&str; 3] = ["kubelet", "kubeadm", "kubectl"];

const KUBERNETES_LICENCE: &str = "Apache-2.0";
const KUBERNETES_PROJECT: &str = "https://github.com/kubernetes/kubernetes";

/// Every file of the catalog with its text.
pub fn files(facts: &Facts) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut left_out = LeftOut::default();
    let addons = addons(facts, &mut left_out.addons)?;
    let releases = releases(facts, &addons, &mut left_out.releases)?;
    let components = components(facts, &releases)?;
    let file =
        CatalogFile { schema: SCHEMA, components: BTreeMap::new(), addons: BTreeMap::new(), releases: BTreeMap::new() };
    Ok(vec![
        ("addons.yaml", render(&CatalogFile { addons, ..file.clone() }, &left_out.addons)?),
        ("components.yaml", render(&CatalogFile { components, ..file.clone() }, &[])?),
        ("releases.yaml", render(&CatalogFile { releases, ..file }, &left_out.releases)?),
    ])
}

/// What the facts do not pin, in words, for the top of the files.
#[derive(Default)]
struct LeftOut {
    addons: Vec<String>,
    releases: Vec<String>,
}

fn render(file: &CatalogFile, left_out: &[String]) -> anyhow::Result<String> {
    let mut text = String::from(
        "# Made by `cargo run -p kbundle --example catalog -- import FACTS manifests/catalog`. Do not edit: a check compares it.\n",
    );
    if !left_out.is_empty() {
        text.push_str("# Left out:\n");
        for line in left_out {
            writeln!(text, "# - {line}")?;
        }
    }
    text.push_str(&serde_yaml::to_string(file)?);
    Ok(text)
}

fn releases(
    facts: &Facts,
    addons: &BTreeMap<String, Addon>,
    left_out: &mut Vec<String>,
) -> anyhow::Result<BTreeMap<KubeVersion, Release>> {
    let mut releases = BTreeMap::new();
    for version in &facts.kubernetes.versions {
        // etcd runs as a system service from its own release archive.
        let images: Vec<_> = version.images.iter().filter(|image| image.image != "registry.k8s.io/etcd").collect();
        let unpinned: Vec<_> =
            images.iter().filter(|image| image.digest.is_none()).map(|image| image.reference()).collect();
        if !unpinned.is_empty() {
            left_out.push(format!("Kubernetes {}: no digest for {}", version.version, unpinned.join(", ")));
            continue;
        }
        let images = images.into_iter().map(release_image).collect::<anyhow::Result<_>>()?;
        let release = Release {
            components: component_versions(facts, version)?,
            images,
            addons: addon_versions(facts, addons, &version.version, left_out)?,
        };
        releases.insert(version.version.parse()?, release);
    }
    Ok(releases)
}

fn component_versions(facts: &Facts, version: &KubernetesVersion) -> anyhow::Result<BTreeMap<String, String>> {
    let pairing = facts.pairing(&version.version)?;
    let mut versions = BTreeMap::new();
    for (name, paired_name, ..) in RUNTIME {
        let family = runtime_component(facts, name)?;
        // kubeadm's own pin is the etcd that the release was tested with: `3.5.4-0` is 3.5.4.
        let kubeadm_pin = version.kubeadm_pins.etcd.split('-').next().filter(|_| name == "etcd");
        let paired = pairing.version_of(paired_name);
        let known = |wanted: &&str| pinned_version(family, wanted).is_some();
        let chosen = kubeadm_pin.filter(known).or(paired.filter(known)).with_context(|| {
            format!("no pinned {name} for Kubernetes {}: kubeadm {kubeadm_pin:?}, paired {paired:?}", version.version)
        })?;
        versions.insert(name.to_owned(), chosen.to_owned());
    }
    for name in KUBERNETES {
        versions.insert(name.to_owned(), version.version.clone());
    }
    Ok(versions)
}

fn runtime_component<'a>(facts: &'a Facts, name: &str) -> anyhow::Result<&'a RuntimeComponent> {
    let mut components = facts.runtime.components.iter();
    components.find(|component| component.name == name).with_context(|| format!("no facts about {name}"))
}

/// The version, if it is pinned for both architectures.
fn pinned_version<'a>(family: &'a RuntimeComponent, version: &str) -> Option<&'a RuntimeVersion> {
    family.versions.iter().find(|known| {
        known.version == version && known.sha256.contains_key("amd64") && known.sha256.contains_key("arm64")
    })
}

fn release_image(fact: &ImageFact) -> anyhow::Result<CatalogImage> {
    let roles: &[Role] = match fact.image.rsplit('/').next() {
        Some("kube-apiserver" | "kube-controller-manager" | "kube-scheduler") => &[Role::ControlPlane],
        _ => POD_HOSTS,
    };
    image(fact, roles, Some(KUBERNETES_LICENCE.to_owned()))
}

fn image(fact: &ImageFact, roles: &[Role], licence: Option<String>) -> anyhow::Result<CatalogImage> {
    let reference = fact.reference();
    let digest = fact.digest.as_deref().with_context(|| format!("no digest for {reference}"))?;
    Ok(CatalogImage {
        reference: reference.parse()?,
        digest: Some(digest.parse()?),
        licence,
        roles: roles.iter().copied().collect(),
    })
}

/// The add-on versions that go with a release: the paired one if it is pinned, or else the newest that the project says it
/// tested with the minor; of a static pod, the newest pinned one.
fn addon_versions(
    facts: &Facts,
    addons: &BTreeMap<String, Addon>,
    version: &str,
    left_out: &mut Vec<String>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let pairing = facts.pairing(version)?;
    let mut versions = BTreeMap::new();
    for fact in facts.addons.addons.iter().filter(|fact| addons.contains_key(&fact.name)) {
        let pinned = &addons[&fact.name].versions;
        let paired = pairing.version_of(&fact.name.replace('-', "_")).filter(|paired| pinned.contains_key(*paired));
        let tested = || {
            let mut tested: Vec<&str> = fact
                .versions
                .iter()
                .filter(|known| {
                    known
                        .kubernetes_tested
                        .iter()
                        .chain(&known.kubernetes_supported)
                        .any(|minor| *minor == pairing.kubernetes)
                })
                .map(|known| known.version.trim_start_matches('v'))
                .filter(|known| pinned.contains_key(*known))
                .collect();
            tested.sort_by_key(|version| numbers(version));
            tested.pop()
        };
        // A static pod depends on little of Kubernetes, and its project says nothing of tested versions.
        let newest = || pinned.keys().map(String::as_str).max_by_key(|version| numbers(version));
        let chosen = if fact.kind == STATIC_POD { newest() } else { paired.or_else(tested) };
        match chosen {
            Some(chosen) => drop(versions.insert(fact.name.clone(), chosen.to_owned())),
            None => left_out
                .push(format!("{} for Kubernetes {version}: no pinned version is paired or tested with it", fact.name)),
        }
    }
    Ok(versions)
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or_default()).collect()
}

fn components(
    facts: &Facts,
    releases: &BTreeMap<KubeVersion, Release>,
) -> anyhow::Result<BTreeMap<String, ComponentFamily>> {
    let used =
        |name: &str| -> BTreeSet<&String> { releases.values().map(|release| &release.components[name]).collect() };
    let mut components = BTreeMap::new();
    for (name, _, kind, roles) in RUNTIME {
        let fact = runtime_component(facts, name)?;
        let mut versions = BTreeMap::new();
        for version in used(name) {
            let pinned = pinned_version(fact, version).with_context(|| format!("{name} {version} is not pinned"))?;
            let platforms = platforms(&fact.url, version, name, &pinned.sha256)?;
            versions.insert(version.clone(), ComponentVersion { pinned_by: Some(pinned.source.clone()), platforms });
        }
        let family = ComponentFamily {
            kind,
            licence: Some(fact.licence.clone()),
            project: Some(fact.project.clone()),
            roles: roles.iter().copied().collect(),
            versions,
        };
        components.insert(name.to_owned(), family);
    }
    for name in KUBERNETES {
        components.insert(name.to_owned(), kubernetes_component(facts, name, &used(name))?);
    }
    Ok(components)
}

fn kubernetes_component(facts: &Facts, name: &str, used: &BTreeSet<&String>) -> anyhow::Result<ComponentFamily> {
    let mut versions = BTreeMap::new();
    for fact in facts.kubernetes.versions.iter().filter(|fact| used.contains(&fact.version)) {
        let pins: BTreeMap<_, _> = fact
            .binaries
            .iter()
            .filter_map(|(arch, binaries)| Some((arch.clone(), binaries.get(name)?.clone())))
            .collect();
        let platforms = platforms(&facts.kubernetes.urls.binary, &fact.version, name, &pins)?;
        let pinned_by = Some(fact.binaries_source.join("; "));
        versions.insert(fact.version.clone(), ComponentVersion { pinned_by, platforms });
    }
    Ok(ComponentFamily {
        kind: ComponentKind::Binary,
        licence: Some(KUBERNETES_LICENCE.to_owned()),
        project: Some(KUBERNETES_PROJECT.to_owned()),
        roles: POD_HOSTS.iter().copied().collect(),
        versions,
    })
}

fn platforms(
    pattern: &str,
    version: &str,
    name: &str,
    pins: &BTreeMap<String, String>,
) -> anyhow::Result<BTreeMap<Platform, Download>> {
    pins.iter()
        .map(|(arch, sha256)| {
            let url = pattern.replace("{version}", version).replace("{arch}", arch).replace("{name}", name);
            anyhow::ensure!(!url.contains('{'), "{pattern} has a place that nothing fills");
            Ok((format!("linux/{arch}").parse()?, Download { url, sha256: Some(sha256.parse()?), sha256_url: None }))
        })
        .collect()
}

fn addons(facts: &Facts, left_out: &mut Vec<String>) -> anyhow::Result<BTreeMap<String, Addon>> {
    let mut addons = BTreeMap::new();
    for fact in &facts.addons.addons {
        let kind = match fact.kind.as_str() {
            "cni" => AddonKind::Cni,
            "addon" | STATIC_POD => AddonKind::Addon,
            other => {
                left_out.push(format!("{}: it is a {other}, not applied from a manifest", fact.name));
                continue;
            }
        };
        let mut versions = BTreeMap::new();
        for version in &fact.versions {
            let read = if fact.kind == STATIC_POD { static_pod_version } else { addon_version };
            match read(fact, version)? {
                Ok(files) => drop(versions.insert(version.version.trim_start_matches('v').to_owned(), files)),
                Err(reason) => left_out.push(format!("{} {}: {reason}", fact.name, version.version)),
            }
        }
        if !versions.is_empty() {
            let text = |value: &serde_yaml::Value| value.as_str().map(str::to_owned);
            addons.insert(
                fact.name.clone(),
                Addon { kind, licence: text(&fact.licence), project: text(&fact.project), versions },
            );
        }
    }
    Ok(addons)
}

/// The images of what kinstall runs as a static pod on control planes, or why they cannot be pinned.
fn static_pod_version(fact: &AddonFact, version: &AddonVersionFact) -> anyhow::Result<Result<AddonVersion, String>> {
    let unpinned: Vec<_> =
        version.images.iter().filter(|image| image.digest.is_none()).map(ImageFact::reference).collect();
    if version.images.is_empty() || !unpinned.is_empty() {
        return Ok(Err(format!("no digest for {}", unpinned.join(", "))));
    }
    let licence = fact.licence.as_str().map(str::to_owned);
    Ok(Ok(AddonVersion {
        pinned_by: version.images.iter().find_map(|image| Some(image.evidence.as_ref()?.as_str()?.to_owned())),
        manifests: Vec::new(),
        images: version
            .images
            .iter()
            .map(|fact| image(fact, &[Role::ControlPlane], licence.clone()))
            .collect::<anyhow::Result<_>>()?,
    }))
}

/// The manifest that installs the whole add-on with its images, or why it cannot be pinned.
fn addon_version(fact: &AddonFact, version: &AddonVersionFact) -> anyhow::Result<Result<AddonVersion, String>> {
    // The first manifest is the one that stands alone; others of a version are variants of it.
    let Some(manifest) = version.manifests.first() else { return Ok(Err("no manifest".to_owned())) };
    let Some(sha256) = &manifest.sha256 else { return Ok(Err("no digest for its manifest".to_owned())) };
    let unpinned: Vec<_> =
        manifest.images.iter().filter(|image| image.digest.is_none()).map(ImageFact::reference).collect();
    if manifest.images.is_empty() || !unpinned.is_empty() {
        let what = if unpinned.is_empty() {
            "its images are not listed".to_owned()
        } else {
            format!("no digest for {}", unpinned.join(", "))
        };
        return Ok(Err(what));
    }
    let name = manifest.path.rsplit('/').next().unwrap_or_default().to_owned();
    let licence = fact.licence.as_str().map(str::to_owned);
    Ok(Ok(AddonVersion {
        pinned_by: Some(format!("git blob of {} at {}", manifest.path, version.version)),
        manifests: vec![ManifestFile { name, url: manifest.url.clone(), sha256: Some(sha256.parse()?) }],
        images: manifest
            .images
            .iter()
            .map(|fact| image(fact, POD_HOSTS, licence.clone()))
            .collect::<anyhow::Result<_>>()?,
    }))
}
