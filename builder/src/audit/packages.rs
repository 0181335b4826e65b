//! Rules about packages: licences, forbidden packages, and packages that are too old.

use std::collections::BTreeMap;

use kbundle_advisories::{Order, covers, place};
use kbundle_sbom::cyclonedx::{Component, Kind, LicenceChoice};
use kbundle_sbom::licence::is_satisfied;

use super::policy::{Choice, Licences, Lowest, Packages};
use super::{Breach, Checked, Evidence, Looked, Policy, Rule};

/// The rules of the policy, in the order of reports.
pub fn check(policy: &Policy, evidence: &Evidence<'_>) -> Vec<Checked> {
    let found = all(evidence);
    let checked = [
        policy.licences.as_ref().map(|rule| licences(rule, &found)),
        policy.packages.as_ref().map(|rule| packages(rule, &found)),
    ];
    checked.into_iter().flatten().collect()
}

/// A package, or a file itself, with the images and files that have it.
struct Found<'a> {
    component: &'a Component,
    places: Vec<Looked>,
}

fn all<'a>(evidence: &Evidence<'a>) -> BTreeMap<String, Found<'a>> {
    let mut all: BTreeMap<String, Found<'a>> = BTreeMap::new();
    for subject in &evidence.bom.components {
        let looked = Looked::from(place(subject));
        for component in std::iter::once(subject).chain(&subject.components) {
            if component.kind == Kind::OperatingSystem || component.kind == Kind::Container {
                continue;
            }
            let name = if component.kind == Kind::Library { name(component) } else { looked.name.clone() };
            let found = all.entry(name).or_insert(Found { component, places: Vec::new() });
            if !found.places.contains(&looked) {
                found.places.push(looked.clone());
            }
        }
    }
    all
}

fn name(component: &Component) -> String {
    let version = component.version.as_deref().unwrap_or("without a version");
    component.purl.clone().unwrap_or_else(|| format!("{} {version}", component.full_name()))
}

fn breach(name: &str, found: &Found<'_>, what: String) -> Breach {
    let mut breach = Breach::of(name, found.places.clone(), what);
    breach.items.push(found.component.full_name());
    breach.purl.clone_from(&found.component.purl);
    breach
}

fn licences(rule: &Licences, all: &BTreeMap<String, Found<'_>>) -> Checked {
    let breaches: Vec<_> =
        all.iter().filter_map(|(name, found)| Some(breach(name, found, unlicensed(rule, found.component)?))).collect();
    let mut expected = Vec::new();
    if !rule.allow.is_empty() {
        expected.push(format!("only {}", rule.allow.join(", ")));
    }
    if !rule.deny.is_empty() {
        expected.push(format!("not {}", rule.deny.join(", ")));
    }
    if rule.unstated == Choice::Refuse {
        expected.push("a licence for each".to_owned());
    }
    if rule.not_spdx == Choice::Refuse {
        expected.push("SPDX expressions".to_owned());
    }
    Checked::new(Rule::Licences, expected.join("; "), format!("{} packages and files", all.len()), breaches)
}

/// Why the licence of a package is not taken.
fn unlicensed(rule: &Licences, component: &Component) -> Option<String> {
    if component.licenses.is_empty() {
        return (rule.unstated == Choice::Refuse).then(|| "no licence is stated".to_owned());
    }
    let is_listed = |list: &[String], name: &str| list.iter().any(|listed| listed == name);
    let allowed = |name: &str| (rule.allow.is_empty() || is_listed(&rule.allow, name)) && !is_listed(&rule.deny, name);
    component.licenses.iter().find_map(|licence| match licence {
        LicenceChoice::Expression { expression } => {
            (is_satisfied(expression, &allowed) != Some(true)).then(|| expression.clone())
        }
        LicenceChoice::Named { license } if is_listed(&rule.deny, &license.name) => Some(license.name.clone()),
        LicenceChoice::Named { license } if is_listed(&rule.allow, &license.name) => None,
        LicenceChoice::Named { license } => {
            (rule.not_spdx == Choice::Refuse).then(|| format!("`{}` is not an SPDX expression", license.name))
        }
    })
}

fn packages(rule: &Packages, all: &BTreeMap<String, Found<'_>>) -> Checked {
    let mut breaches = Vec::new();
    for (name, found) in all.iter().filter(|(_, found)| found.component.kind == Kind::Library) {
        let Some(purl) = found.component.purl.as_deref() else { continue };
        if let Some(forbidden) = rule.forbidden.iter().find(|forbidden| covers(forbidden, purl)) {
            breaches.push(breach(name, found, format!("it is forbidden as {forbidden}")));
        }
        let lowest = rule.lowest.iter().filter(|lowest| covers(&lowest.package, purl));
        breaches.extend(lowest.filter_map(|lowest| Some(breach(name, found, too_low(found.component, lowest)?))));
    }
    let lowest = rule.lowest.iter().map(|Lowest { package, version }| format!("{package} from {version} on"));
    let forbidden = rule.forbidden.iter().map(|purl| format!("no {purl}"));
    let expected = forbidden.chain(lowest).collect::<Vec<_>>().join("; ");
    Checked::new(Rule::Packages, expected, format!("{} packages and files", all.len()), breaches)
}

fn too_low(component: &Component, lowest: &Lowest) -> Option<String> {
    let Some(version) = component.version.as_deref() else {
        return Some("its version is not known".to_owned());
    };
    let order = component.ecosystem().and_then(Order::of_purl_type);
    match order.and_then(|order| order.compare(version, &lowest.version)) {
        Some(order) if order.is_lt() => Some(format!("version {version}")),
        Some(_) => None,
        None => Some(format!("version {version}, which cannot be compared with {}", lowest.version)),
    }
}
