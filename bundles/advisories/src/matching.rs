//! Finds the advisories that concern given packages.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kbundle_sbom::Bom;

use crate::finding::{Excluded, Finding};
use crate::record::Record;
use crate::severity::Severity;
use crate::subject::{Package, Uncompared, packages};
use crate::vex::{self, Document, Status};

/// Receives records one by one and keeps those that concern the packages of one document.
pub struct Matching {
    packages: Vec<Package>,
    uncompared: Vec<Uncompared>,
    /// Packages by ecosystem and name.
    index: HashMap<(String, String), Vec<usize>>,
    hits: BTreeMap<usize, Vec<Hit>>,
}

/// A record about a package.
#[derive(Clone, Debug)]
struct Hit {
    id: String,
    names: BTreeSet<String>,
    summary: String,
    severity: Option<Severity>,
    fixed_in: Option<String>,
}

/// The result of matching.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The worst first, then by name.
    pub findings: Vec<Finding>,
    /// Ecosystems of packages that were compared, with the number of packages.
    pub compared: BTreeMap<String, usize>,
    /// Packages that could not be compared.
    pub uncompared: Vec<Uncompared>,
}

impl Matching {
    /// A matching for the packages of `bom`.
    #[must_use]
    pub fn new(bom: &Bom) -> Self {
        let (packages, uncompared) = packages(bom);
        let mut index: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, package) in packages.iter().enumerate() {
            index.entry((package.ecosystem.clone(), package.name.clone())).or_default().push(at);
        }
        Self { packages, uncompared, index, hits: BTreeMap::new() }
    }

    /// Compares one record with the packages.
    pub fn see(&mut self, record: &Record) {
        for affected in &record.affected {
            let key = (affected.ecosystem.clone(), affected.name.clone());
            for at in self.index.get(&key).into_iter().flatten() {
                let package = &self.packages[*at];
                if !affected.has(package.order, &package.version) {
                    continue;
                }
                let hit = Hit {
                    id: record.id.clone(),
                    names: record.aliases.iter().chain([&record.id]).cloned().collect(),
                    summary: record.summary.clone(),
                    severity: affected.severity.or(record.severity),
                    fixed_in: affected.fix(package.order, &package.version).map(str::to_owned),
                };
                self.hits.entry(*at).or_default().push(hit);
            }
        }
    }

    /// The result, after the statements in `documents` of VEX were applied.
    #[must_use]
    pub fn finish(self, documents: &[Document]) -> Findings {
        let mut findings = Vec::new();
        for (at, hits) in self.hits {
            let package = &self.packages[at];
            findings.extend(merged(hits).into_iter().map(|flaw| finding(package, &flaw, documents)));
        }
        findings.sort_by(|a, b| (b.severity, &a.id, &a.purl).cmp(&(a.severity, &b.id, &b.purl)));
        let mut compared: BTreeMap<String, usize> = BTreeMap::new();
        for package in &self.packages {
            *compared.entry(package.ecosystem.clone()).or_default() += 1;
        }
        Findings { findings, compared, uncompared: self.uncompared }
    }
}

/// Groups the hits of one package by vulnerability: hits that share a name are the same one.
fn merged(hits: Vec<Hit>) -> Vec<Vec<Hit>> {
    let mut flaws: Vec<Vec<Hit>> = Vec::new();
    for hit in hits {
        let shares = |flaw: &mut Vec<Hit>| flaw.iter().any(|other| !other.names.is_disjoint(&hit.names));
        let mut same: Vec<Hit> = flaws.extract_if(.., shares).flatten().collect();
        same.push(hit);
        flaws.push(same);
    }
    flaws
}

fn finding(package: &Package, hits: &[Hit], documents: &[Document]) -> Finding {
    let names: BTreeSet<&String> = hits.iter().flat_map(|hit| &hit.names).collect();
    let mut cves = names.iter().filter(|name| name.starts_with("CVE-"));
    // A record about several CVEs keeps its own name.
    let id = match (cves.next(), cves.next()) {
        (Some(cve), None) => (*cve).clone(),
        _ => hits.iter().map(|hit| &hit.id).min().cloned().unwrap_or_default(),
    };
    let asked: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    let (mut places, mut excluded) = (Vec::new(), Vec::new());
    for place in &package.places {
        match vex::answer(documents, &asked, package, place) {
            Some(answer) if matches!(answer.status, Status::NotAffected | Status::Fixed) => {
                excluded.push(Excluded { place: place.clone(), status: answer.status, reason: answer.reason });
            }
            _ => places.push(place.clone()),
        }
    }
    let fixed_in: BTreeSet<&String> = hits.iter().filter_map(|hit| hit.fixed_in.as_ref()).collect();
    Finding {
        id,
        summary: hits
            .iter()
            .map(|hit| hit.summary.as_str())
            .find(|text| !text.is_empty())
            .unwrap_or_default()
            .to_owned(),
        severity: hits.iter().filter_map(|hit| hit.severity).max(),
        package: package.name.clone(),
        version: package.version.clone(),
        purl: package.purl.clone(),
        fixed_in: fixed_in.into_iter().cloned().collect(),
        names: names.into_iter().cloned().collect(),
        places,
        excluded,
    }
}

#[cfg(test)]
mod tests;
