//! Files and packages in a list of packages, by licence.

use std::collections::{BTreeMap, BTreeSet};

use kbundle_advisories::place;
use kbundle_sbom::Bom;
use kbundle_sbom::cyclonedx::{Component, Kind, LicenceChoice};
use schemars::JsonSchema;
use serde::Serialize;

/// The licences in a list of packages.
pub struct Licences {
    pub stated: Vec<Licence>,
    pub unstated: Vec<Item>,
    pub not_read: Vec<String>,
}

/// A licence, and what has it.
#[derive(Serialize, JsonSchema)]
pub struct Licence {
    /// An SPDX expression, or another name as it was stated.
    pub name: String,
    /// It is an SPDX expression.
    pub spdx: bool,
    pub items: Vec<Item>,
}

/// A file or a package.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// `file`, `image`, or the type in the package URL, such as `deb` or `golang`.
    pub kind: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// Where the licence was told, or where the item is if none was.
    pub places: BTreeSet<Told>,
}

/// Where a licence was told.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Told {
    /// `bundle.json`, an image with its platform, or a file's path in the bundle.
    pub subject: String,
    /// The path within the image or archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Packages with the same key are the same: ecosystem, name and version.
type Key = (String, String, Option<String>);

/// The licences in `bom`.
pub fn of(bom: &Bom) -> Licences {
    let mut by_licence: BTreeMap<(String, bool), BTreeMap<Key, Item>> = BTreeMap::new();
    let mut unstated = BTreeMap::new();
    let mut not_read = Vec::new();
    for subject in &bom.components {
        let name = place(subject).name;
        not_read.extend(subject.not_read().map(|reason| format!("{name}: {reason}")));
        let packages = subject.components.iter().filter(|component| component.kind == Kind::Library);
        for component in std::iter::once(subject).chain(packages) {
            if component.licenses.is_empty() {
                add(&mut unstated, component, &name);
            }
            for licence in &component.licenses {
                add(by_licence.entry(named(licence)).or_default(), component, &name);
            }
        }
    }
    let items = |items: BTreeMap<Key, Item>| items.into_values().collect();
    let licences = by_licence.into_iter().map(|((name, spdx), found)| Licence { name, spdx, items: items(found) });
    Licences { stated: licences.collect(), unstated: items(unstated), not_read }
}

fn named(licence: &LicenceChoice) -> (String, bool) {
    match licence {
        LicenceChoice::Expression { expression } => (expression.clone(), true),
        LicenceChoice::Named { license } => (license.name.clone(), false),
    }
}

fn add(items: &mut BTreeMap<Key, Item>, component: &Component, subject: &str) {
    let kind = match component.kind {
        Kind::Library => component.ecosystem().unwrap_or("unknown"),
        Kind::Container => "image",
        Kind::Application | Kind::File | Kind::OperatingSystem => "file",
    };
    let name = if kind == "image" || kind == "file" { subject.to_owned() } else { component.full_name() };
    let item = items.entry((kind.to_owned(), name.clone(), component.version.clone())).or_insert_with(|| Item {
        kind: kind.to_owned(),
        name,
        version: component.version.clone(),
        purl: component.purl.clone(),
        places: BTreeSet::new(),
    });
    item.places.extend(told(component, subject));
}

/// Where the licence of a component was found.
fn told(component: &Component, subject: &str) -> Vec<Told> {
    if component.kind != Kind::Library {
        return vec![Told { subject: "bundle.json".to_owned(), path: None }];
    }
    let within = |path: &str| Told { subject: subject.to_owned(), path: Some(path.to_owned()) };
    // dpkg's database has no licences.
    if component.ecosystem() == Some("deb") && !component.licenses.is_empty() {
        return vec![within(&format!("usr/share/doc/{}/copyright", component.name))];
    }
    let occurrences = component.evidence.iter().flat_map(|evidence| &evidence.occurrences);
    occurrences.map(|occurrence| within(&occurrence.location)).collect()
}
