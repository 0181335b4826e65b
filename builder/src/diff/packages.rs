//! Differences between packages and licences.

use std::collections::{BTreeMap, BTreeSet};

use kbundle_sbom::cyclonedx::{Component, Kind, PATH, PLATFORM};

use super::{Difference, Side, Topic, both};

/// Components by image or file.
fn subjects<'a>(side: &'a Side<'_>) -> BTreeMap<String, Vec<&'a Component>> {
    let mut subjects: BTreeMap<String, Vec<&Component>> = BTreeMap::new();
    for component in side.bom.iter().flat_map(|bom| &bom.components) {
        let platform = component.property(PLATFORM).map(|platform| format!(" {platform}")).unwrap_or_default();
        // An image keeps its name when its tag changes; a file its path.
        let name = match (component.kind, component.property(PATH)) {
            (Kind::Container, _) | (_, None) => format!("{}{platform}", component.name),
            (_, Some(path)) => path.to_owned(),
        };
        subjects.entry(name).or_default().push(component);
    }
    subjects
}

/// The versions of each package of these components, by ecosystem and name.
fn versions(components: &[&Component]) -> BTreeMap<String, BTreeSet<String>> {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in components.iter().flat_map(|component| &component.components) {
        let version = package.version.clone().unwrap_or_else(|| "without a version".to_owned());
        versions.entry(package_name(package)).or_default().insert(version);
    }
    versions
}

fn package_name(package: &Component) -> String {
    match (package.kind, package.ecosystem()) {
        (Kind::OperatingSystem, _) => format!("{} (operating system)", package.name),
        (_, Some(ecosystem)) => format!("{} ({ecosystem})", package.full_name()),
        (_, None) => package.full_name(),
    }
}

pub fn packages(old: &Side<'_>, new: &Side<'_>) -> Vec<Difference> {
    let (theirs, ours) = (subjects(old), subjects(new));
    let mut differences = Vec::new();
    for (subject, old, new) in both(&theirs, &ours) {
        // Something on only one side is a difference of images or files, not of each of its packages.
        let (Some(old), Some(new)) = (old, new) else { continue };
        let (theirs, ours) = (versions(old), versions(new));
        let text = |versions: Option<&BTreeSet<String>>| {
            versions.map(|versions| versions.iter().cloned().collect::<Vec<_>>().join(", "))
        };
        let found = both(&theirs, &ours)
            .filter_map(|(name, old, new)| Difference::of_versions(Topic::Packages, name, text(old), text(new)));
        differences.extend(found.map(|difference| difference.within(subject)));
    }
    differences
}

/// Licences that only one side has, and files and packages whose licence differs.
pub fn licences(old: &Side<'_>, new: &Side<'_>) -> Vec<Difference> {
    let (theirs, ours) = (by_licence(old), by_licence(new));
    let examples = |names: Option<&BTreeSet<String>>| names.map(example);
    let whole = both(&theirs, &ours)
        .filter(|(_, old, new)| old.is_none() || new.is_none())
        .filter_map(|(licence, old, new)| Difference::between(Topic::Licences, licence, examples(old), examples(new)));
    let (theirs, ours) = (by_name(old), by_name(new));
    let text = |licences: &BTreeSet<String>| Some(licences.iter().cloned().collect::<Vec<_>>().join(", "));
    let each = both(&theirs, &ours)
        .filter_map(|(name, old, new)| Difference::between(Topic::Licences, name, text(old?), text(new?)));
    whole.chain(each).collect()
}

fn example(names: &BTreeSet<String>) -> String {
    let first = names.first().map(String::as_str).unwrap_or_default();
    match names.len() {
        0 | 1 => first.to_owned(),
        count => format!("{first} and {} more", count - 1),
    }
}

/// All files and packages that have a licence, each with the licence.
fn licensed<'a>(side: &'a Side<'_>) -> impl Iterator<Item = (String, String)> + use<'a> {
    let components = side.bom.iter().flat_map(|bom| &bom.components);
    let all = components.flat_map(|component| {
        std::iter::once((component, component.name.clone()))
            .chain(component.components.iter().map(|package| (package, package_name(package))))
    });
    all.filter_map(|(component, name)| Some((name, component.licence()?)))
}

fn by_licence(side: &Side<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let mut licences: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, licence) in licensed(side) {
        licences.entry(licence).or_default().insert(name);
    }
    licences
}

fn by_name(side: &Side<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, licence) in licensed(side) {
        names.entry(name).or_default().insert(licence);
    }
    names
}
