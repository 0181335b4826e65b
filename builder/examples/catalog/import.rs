//! Makes catalog files from facts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Context as _;
use kbundle::catalog::{
    CatalogFile, CatalogImage, ComponentFamily, ComponentKind, ComponentVersion, Download, Release, SCHEMA,
};
use kbundle_format::{KubeVersion, Platform, Role};

use crate::addons::Addons;
use crate::facts::{Facts, ImageFact, KubernetesVersion, RuntimeComponent, RuntimeVersion};
use crate::image::{POD_HOSTS, image};

/// For each component: the catalog's name, the facts' name in pairings, the kind of its file, and the hosts that need it.
const RUNTIME: [(&str, &str, ComponentKind, &[Role]); 6] = [
    ("containerd", "containerd", ComponentKind::Archive, POD_HOSTS),
    ("runc", "runc", ComponentKind::Binary, POD_HOSTS),
    ("cni-plugins", "cni_plugins", ComponentKind::Archive, POD_HOSTS),
    ("crictl", "crictl", ComponentKind::Archive, POD_HOSTS),
    // A system service; hosts that are control plane and etcd member have both roles.
    ("etcd", "etcd", ComponentKind::Archive, &[Role::Etcd]),
    // A bundle has helm if it has charts.
    ("helm", "helm", ComponentKind::Archive, &[Role::ControlPlane]),
];

/// Kubernetes' own programs.
const KUBERNETES: [&str; 3] = ["kubelet", "kubeadm", "kubectl"];

const KUBERNETES_LICENCE: &str = "Apache-2.0";
const KUBERNETES_PROJECT: &str = "https://github.com/kubernetes/kubernetes";

/// Every file of the catalog with its text.
pub fn files(facts: &Facts) -> anyhow::Result<Vec<(&'static str, String)>> {
    let (versions, releases_left_out) = complete_versions(facts);
    let minors = versions.iter().map(|version| facts.pairing(&version.version)).collect::<anyhow::Result<Vec<_>>>()?;
    let addons = Addons::choose(facts, &minors)?;
    let releases = releases(facts, &versions, &addons)?;
    let components = components(facts, &releases)?;
    let file =
        CatalogFile { schema: SCHEMA, components: BTreeMap::new(), addons: BTreeMap::new(), releases: BTreeMap::new() };
    let addons_head = [("Left out", &addons.left_out), ("Pinned at the first build", &addons.unpinned)];
    let addons = CatalogFile { addons: addons.found, ..file.clone() };
    Ok(vec![
        ("addons.yaml", render(&addons, &addons_head)?),
        ("components.yaml", render(&CatalogFile { components, ..file.clone() }, &[])?),
        ("releases.yaml", render(&CatalogFile { releases, ..file }, &[("Left out", &releases_left_out)])?),
    ])
}

/// The text of a catalog file. Its top lists what a reader would not expect: headings, each with its lines.
fn render(file: &CatalogFile, head: &[(&str, &Vec<String>)]) -> anyhow::Result<String> {
    let mut text = String::from(
        "# Made by `cargo run -p kbundle --example catalog -- import FACTS manifests/catalog`. Do not edit: a check compares it.\n",
    );
    for (heading, lines) in head.iter().filter(|(_, lines)| !lines.is_empty()) {
        writeln!(text, "# {heading}:")?;
        for line in *lines {
            writeln!(text, "# - {line}")?;
        }
    }
    text.push_str(&serde_yaml::to_string(file)?);
    Ok(text)
}

/// The Kubernetes versions whose images all have a digest, and what is missing in the others.
fn complete_versions(facts: &Facts) -> (Vec<&KubernetesVersion>, Vec<String>) {
    let mut left_out = Vec::new();
    let complete = facts.kubernetes.versions.iter().filter(|version| {
        let unpinned: Vec<_> =
            carried_images(version).filter(|image| image.digest.is_none()).map(ImageFact::reference).collect();
        if !unpinned.is_empty() {
            left_out.push(format!("Kubernetes {}: no digest for {}", version.version, unpinned.join(", ")));
        }
        unpinned.is_empty()
    });
    (complete.collect(), left_out)
}

/// etcd runs as a system service from its own release archive.
fn carried_images(version: &KubernetesVersion) -> impl Iterator<Item = &ImageFact> {
    version.images.iter().filter(|image| image.image != "registry.k8s.io/etcd")
}

fn releases(
    facts: &Facts,
    versions: &[&KubernetesVersion],
    addons: &Addons,
) -> anyhow::Result<BTreeMap<KubeVersion, Release>> {
    let mut releases = BTreeMap::new();
    for version in versions {
        let release = Release {
            components: component_versions(facts, version)?,
            images: carried_images(version).map(release_image).collect::<anyhow::Result<_>>()?,
            addons: addons.of_minor(&facts.pairing(&version.version)?.kubernetes),
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
