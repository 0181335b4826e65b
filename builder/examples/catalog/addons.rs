//! Add-ons: which version suits which minor version of Kubernetes, and which files and images it consists of.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use kbundle::catalog::{Addon, AddonKind, AddonVersion, CatalogImage, ManifestFile};
use kbundle_format::Role;

use crate::facts::{AddonFact, AddonVersionFact, Facts, ImageFact, Pairing, numbers};
use crate::image::{POD_HOSTS, image};

/// The kind, in the facts, of programs that kinstall runs as a static pod on control planes.
const STATIC_POD: &str = "control-plane-vip";
/// The load balancer that kinstall runs as a static pod on workers: its name in the facts, and in the catalog.
const LOAD_BALANCER: (&str, &str) = ("node-local-apiserver-lb", "haproxy");

/// The add-ons of the catalog.
#[derive(Default)]
pub struct Addons {
    /// Every add-on in the versions that a release uses.
    pub found: BTreeMap<String, Addon>,
    /// The version by minor version of Kubernetes, and then by add-on.
    chosen: BTreeMap<String, BTreeMap<String, String>>,
    /// Remarks for people about what they may miss.
    pub left_out: Vec<String>,
    /// Remarks for people about what has no digest.
    pub unpinned: Vec<String>,
}

/// Versions that may be chosen, each with its facts.
type Candidates<'a> = BTreeMap<String, (AddonVersion, &'a AddonVersionFact)>;

impl Addons {
    /// Chooses the version of each add-on that suits each of these minor versions.
    pub fn choose(facts: &Facts, minors: &[&Pairing]) -> anyhow::Result<Self> {
        let mut addons = Self::default();
        for fact in &facts.addons.addons {
            let kind = match fact.kind.as_str() {
                _ if fact.name == LOAD_BALANCER.0 => {
                    addons.choose_load_balancer(fact, minors)?;
                    continue;
                }
                "cni" => AddonKind::Cni,
                "addon" | STATIC_POD => AddonKind::Addon,
                other => {
                    addons.left_out.push(format!("{}: it is a {other}, not applied from a manifest", fact.name));
                    continue;
                }
            };
            addons.choose_versions(fact, kind, minors)?;
        }
        addons.note_unpinned();
        Ok(addons)
    }

    /// The version of each add-on that suits a minor version.
    pub fn of_minor(&self, minor: &str) -> BTreeMap<String, String> {
        self.chosen.get(minor).cloned().unwrap_or_default()
    }

    fn choose_versions(&mut self, fact: &AddonFact, kind: AddonKind, minors: &[&Pairing]) -> anyhow::Result<()> {
        let mut candidates = Candidates::new();
        for version in &fact.versions {
            match addon_version(fact, version)? {
                Ok(files) => drop(candidates.insert(version.number().to_owned(), (files, version))),
                Err(reason) => self.left_out.push(format!("{} {}: {reason}", fact.name, version.version)),
            }
        }
        if candidates.is_empty() {
            return Ok(());
        }
        let mut versions = BTreeMap::new();
        let mut without = BTreeSet::new();
        for pairing in minors {
            let minor = &pairing.kubernetes;
            if let Some(chosen) = best(fact, &candidates, pairing) {
                versions.insert(chosen.to_owned(), candidates[chosen].0.clone());
                self.chosen.entry(minor.clone()).or_default().insert(fact.name.clone(), chosen.to_owned());
            } else {
                without.insert(format!("{} for Kubernetes {minor}: no version is paired or tested with it", fact.name));
            }
        }
        if !versions.is_empty() {
            self.left_out.extend(without);
        }
        self.add(&fact.name, kind, (text(&fact.licence), text(&fact.project)), versions);
        Ok(())
    }

    /// `HAProxy` comes in the version of the pairing. Its project tests no version of Kubernetes, and the pairing names the image's tag.
    fn choose_load_balancer(&mut self, fact: &AddonFact, minors: &[&Pairing]) -> anyhow::Result<()> {
        let (_, name) = LOAD_BALANCER;
        let of_name = |value: &serde_yaml::Value| value.get(name).and_then(text);
        // The text in brackets is not part of the SPDX expression.
        let licence = of_name(&fact.licence).and_then(|words| Some(words.split(" (").next()?.to_owned()));
        let mut versions = BTreeMap::new();
        for pairing in minors {
            let tag = pairing.version_of(name).with_context(|| format!("no {name} for {}", pairing.kubernetes))?;
            let known = fact.images_by_minor.iter().map(|images| &images.haproxy);
            let known = known.into_iter().find(|image| image.tag.as_deref() == Some(tag));
            let known = known.with_context(|| format!("no image of {name} {tag}"))?;
            let images = vec![image(known, &[Role::Worker], licence.clone())?];
            versions.insert(tag.to_owned(), AddonVersion { pinned_by: None, manifests: Vec::new(), images });
            self.chosen.entry(pairing.kubernetes.clone()).or_default().insert(name.to_owned(), tag.to_owned());
        }
        self.add(name, AddonKind::LoadBalancer, (licence, of_name(&fact.project)), versions);
        Ok(())
    }

    fn add(
        &mut self,
        name: &str,
        kind: AddonKind,
        (licence, project): (Option<String>, Option<String>),
        versions: BTreeMap<String, AddonVersion>,
    ) {
        if versions.is_empty() {
            return self.left_out.push(format!("{name}: no version goes with a Kubernetes of this catalog"));
        }
        self.found.insert(name.to_owned(), Addon { kind, licence, project, after: BTreeSet::new(), versions });
    }

    fn note_unpinned(&mut self) {
        for (name, addon) in &self.found {
            for (version, files) in &addon.versions {
                let unpinned = unpinned(files);
                if !unpinned.is_empty() {
                    self.unpinned.push(format!("{name} {version}: {}", unpinned.join(", ")));
                }
            }
        }
    }
}

/// The version that suits a minor version: one that the project says it tested with it; if the project names no minor versions for any
/// version, the paired one. Among those, first a completely pinned one, then the paired one, then the newest.
fn best<'a>(fact: &AddonFact, candidates: &'a Candidates<'_>, pairing: &Pairing) -> Option<&'a str> {
    let paired = pairing.version_of(&fact.name.replace('-', "_"));
    let fits = |(number, (_, version)): &(&String, &(AddonVersion, &AddonVersionFact))| {
        // A static pod depends little on Kubernetes, and its project does not say which versions it tested.
        let is_paired = fact.kind == STATIC_POD || paired == Some(number.as_str());
        fact.supports(version, &pairing.kubernetes).unwrap_or(is_paired)
    };
    let rank = |(number, (files, _)): &(&String, &(AddonVersion, &AddonVersionFact))| {
        let is_paired = fact.kind != STATIC_POD && paired == Some(number.as_str());
        (unpinned(files).is_empty(), is_paired, numbers(number))
    };
    candidates.iter().filter(fits).max_by_key(rank).map(|(number, _)| number.as_str())
}

/// The addresses and references that have no pin.
fn unpinned(files: &AddonVersion) -> Vec<String> {
    let manifests = files.manifests.iter().filter(|manifest| manifest.sha256.is_none());
    let images = files.images.iter().filter(|image| image.digest.is_none());
    manifests.map(|manifest| manifest.url.clone()).chain(images.map(|image| image.reference.to_string())).collect()
}

/// The files and images of a version, or the reason why a bundle cannot carry it.
fn addon_version(fact: &AddonFact, version: &AddonVersionFact) -> anyhow::Result<Result<AddonVersion, String>> {
    // The first manifest is complete in itself; a version's others are variants of it.
    let manifest = version.manifests.first();
    if manifest.is_none() && fact.kind != STATIC_POD {
        return Ok(Err("no manifest".to_owned()));
    }
    let of_manifest = manifest.map(|manifest| &manifest.images).filter(|images| !images.is_empty());
    let images = of_manifest.unwrap_or(&version.images);
    if images.is_empty() {
        return Ok(Err("its images are not listed".to_owned()));
    }
    let roles = if fact.kind == STATIC_POD { &[Role::ControlPlane][..] } else { POD_HOSTS };
    let images = catalog_images(images, roles, text(&fact.licence).as_ref())?;
    let mut files = AddonVersion { pinned_by: evidence(version), manifests: Vec::new(), images };
    if let Some(manifest) = manifest {
        let sha256 = manifest.sha256.as_deref().map(str::parse).transpose()?;
        files.pinned_by = sha256.map(|_| format!("git blob of {} at {}", manifest.path, version.version));
        let name = manifest.url.rsplit('/').next().unwrap_or_default().to_owned();
        files.manifests.push(ManifestFile { name, url: manifest.url.clone(), sha256 });
    }
    Ok(Ok(files))
}

/// Images of an add-on, under its licence. Images of Docker's library are from other projects, whose licence the facts do not have.
fn catalog_images(facts: &[ImageFact], roles: &[Role], licence: Option<&String>) -> anyhow::Result<Vec<CatalogImage>> {
    let licence_of = |fact: &ImageFact| licence.filter(|_| !fact.image.starts_with("docker.io/library/")).cloned();
    facts.iter().map(|fact| image(fact, roles, licence_of(fact))).collect()
}

/// Where the digest of a static pod's image was found.
fn evidence(version: &AddonVersionFact) -> Option<String> {
    version.images.iter().find_map(|image| Some(image.evidence.as_ref()?.as_str()?.to_owned()))
}

fn text(value: &serde_yaml::Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
