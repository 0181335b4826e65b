//! Packages of a bundle's list of packages, each with the images and files that have it.

use std::collections::BTreeMap;

use kbundle_format::Digest;
use kbundle_format::audit_record::Looked;
use kbundle_sbom::Bom;
use kbundle_sbom::cyclonedx::{Component, Kind, PATH, PLATFORM, REFERENCE};
use packageurl::PackageUrl;
use schemars::JsonSchema;
use serde::Serialize;

use crate::ecosystem::Known;

/// An image or a file that has a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// An image's reference with its platform, or a file's path in the bundle.
    pub name: String,
    /// Of the image's manifest, or of the file.
    pub digest: Digest,
    /// Its package URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
}

impl From<Place> for Looked {
    fn from(place: Place) -> Self {
        Self { name: place.name, digest: place.digest }
    }
}

/// Packages that no advisory can be compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Uncompared {
    /// The type in their package URLs.
    pub ecosystem: String,
    /// Why.
    pub reason: &'static str,
    /// How many.
    pub packages: usize,
}

/// A package that can be compared with advisories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// OSV's name of the ecosystem, such as `Debian:12`.
    pub ecosystem: String,
    /// The order of its versions.
    pub order: crate::Order,
    /// Its name in advisories.
    pub name: String,
    /// The version to compare.
    pub version: String,
    /// Its package URL.
    pub purl: String,
    /// Images and files that contain it.
    pub places: Vec<Place>,
}

const KUBERNETES: &str = "k8s.io/kubernetes";
/// Go's version of a module that was built from a folder beside it: the real version is unknown.
const OF_A_FOLDER: &str = "v0.0.0";

/// The packages of a document, sorted, and how many can not be compared.
#[must_use]
pub fn packages(bom: &Bom) -> (Vec<Package>, Vec<Uncompared>) {
    let mut packages: BTreeMap<String, Package> = BTreeMap::new();
    let mut uncompared: BTreeMap<(String, &'static str), usize> = BTreeMap::new();
    for subject in &bom.components {
        let place = place(subject);
        for component in subject.components.iter().filter(|component| component.kind == Kind::Library) {
            match package(subject, component) {
                Ok(package) => {
                    let key = format!("{} {}", package.purl, package.version);
                    let places = &mut packages.entry(key).or_insert(package).places;
                    if !places.contains(&place) {
                        places.push(place.clone());
                    }
                }
                Err(reason) => {
                    let ecosystem = component.ecosystem().unwrap_or("unknown").to_owned();
                    *uncompared.entry((ecosystem, reason)).or_default() += 1;
                }
            }
        }
    }
    let uncompared = uncompared.into_iter();
    let uncompared = uncompared.map(|((ecosystem, reason), packages)| Uncompared { ecosystem, reason, packages });
    (packages.into_values().collect(), uncompared.collect())
}

/// An image or file of the document.
#[must_use]
pub fn place(subject: &Component) -> Place {
    let name = match (subject.property(REFERENCE), subject.property(PLATFORM)) {
        (Some(reference), Some(platform)) => format!("{reference} ({platform})"),
        (Some(reference), None) => reference.to_owned(),
        (None, _) => subject.property(PATH).unwrap_or(&subject.name).to_owned(),
    };
    let digest = subject.hashes.first().and_then(|hash| Digest::from_hex(&hash.content).ok());
    // In kbundle's documents, every image and file has a digest.
    Place { name, digest: digest.unwrap_or_else(|| Digest::of(&[])), purl: subject.purl.clone() }
}

fn package(subject: &Component, component: &Component) -> Result<Package, &'static str> {
    let text = component.purl.clone().ok_or("it has no package URL")?;
    let purl: PackageUrl<'_> = text.parse().map_err(|_| "its package URL cannot be read")?;
    let version = version(subject, component).ok_or("its version is not known")?.to_owned();
    let known = Known::of_purl(&purl, &version).ok_or("advisories of its ecosystem are not compared")?;
    if !known.ecosystem.order.reads(&known.version) {
        return Err("its version is none of its ecosystem");
    }
    let (ecosystem, order) = (known.ecosystem.key, known.ecosystem.order);
    Ok(Package { ecosystem, order, name: known.name, version: known.version, purl: text, places: Vec::new() })
}

/// The version of a package. A program does not state the version of its own source; for Kubernetes' images and for all files, the bundle's
/// list has it.
fn version<'a>(subject: &'a Component, component: &'a Component) -> Option<&'a str> {
    match component.version.as_deref() {
        Some(OF_A_FOLDER) if component.ecosystem() == Some("golang") => None,
        Some(version) => Some(version),
        None if subject.kind != Kind::Container || component.name == KUBERNETES => subject.version.as_deref(),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(purl: &str, name: &str, version: Option<&str>) -> Component {
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        Component { name, version, purl: Some(purl.to_owned()), ..Component::default() }
    }

    fn bom(subjects: Vec<Component>) -> Bom {
        Bom::new(&Digest::of(b""), None, Component::default(), subjects)
    }

    #[test]
    fn kubernetes_has_the_version_that_the_list_states() {
        let file = Component {
            kind: Kind::Application,
            name: "kubelet".to_owned(),
            version: Some("1.25.2".to_owned()),
            components: vec![
                library("pkg:golang/k8s.io/kubernetes", KUBERNETES, None),
                library("pkg:golang/k8s.io/api@v0.0.0", "k8s.io/api", Some("v0.0.0")),
                library("pkg:rpm/fedora/bash@5?distro=fedora-40", "bash", Some("5")),
            ],
            ..Component::default()
        };
        let image = Component {
            kind: Kind::Container,
            version: Some("v1".to_owned()),
            components: vec![library("pkg:golang/example.org/tool", "example.org/tool", None)],
            ..Component::default()
        };
        let (packages, uncompared) = packages(&bom(vec![file, image]));
        let found: Vec<_> = packages.iter().map(|package| (package.name.as_str(), package.version.as_str())).collect();
        assert_eq!(found, [(KUBERNETES, "1.25.2")]);
        let reasons: Vec<_> = uncompared.iter().map(|left| (left.ecosystem.as_str(), left.packages)).collect();
        assert_eq!(reasons, [("golang", 2), ("rpm", 1)]);
    }
}
