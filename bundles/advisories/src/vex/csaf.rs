//! CSAF documents of the profile VEX. Source: docs.oasis-open.org/csaf/csaf/v2.0, sections 3.2 and 4.5, and the mandatory tests 6.1 that are named
//! below.
//!
//! A product is known by its package URL, by SHA-256 digests of its files, or by a generic URI that is an image's reference or a file's path in the
//! bundle. CPEs, serial numbers and the like are not compared. What cannot be compared takes no finding out.

mod tree;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use time::OffsetDateTime;

use self::tree::{ProductTree, Products};
use super::product::Product;
use super::{Document, Statement, Status, VexError, moment};
use crate::limits::{MAX_PRODUCT_REFERENCES, MAX_TEXT_CHARS};
use crate::text::one_line;

const VERSION: &str = "2.0";
const PROFILE: &str = "csaf_vex";
/// Where products of one document with several statuses mean the same package, the last of these counts: when in doubt, affected.
const RANKS: [Status; 4] = [Status::NotAffected, Status::Fixed, Status::UnderInvestigation, Status::Affected];

#[derive(Deserialize)]
struct Csaf {
    document: About,
    #[serde(default)]
    product_tree: ProductTree,
    #[serde(default)]
    vulnerabilities: Vec<Vulnerability>,
}

#[derive(Deserialize)]
struct About {
    category: String,
    csaf_version: String,
    tracking: Tracking,
}

#[derive(Deserialize)]
struct Tracking {
    status: String,
    current_release_date: String,
}

#[derive(Deserialize)]
struct Vulnerability {
    cve: Option<String>,
    #[serde(default)]
    ids: Vec<Id>,
    #[serde(default)]
    product_status: ProductStatus,
    #[serde(default)]
    flags: Vec<Flag>,
    #[serde(default)]
    threats: Vec<Threat>,
}

#[derive(Deserialize)]
struct Id {
    text: String,
}

/// `recommended` is left out: it says nothing about the flaw.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ProductStatus {
    first_affected: Vec<String>,
    first_fixed: Vec<String>,
    fixed: Vec<String>,
    known_affected: Vec<String>,
    known_not_affected: Vec<String>,
    last_affected: Vec<String>,
    under_investigation: Vec<String>,
}

/// A justification.
#[derive(Deserialize)]
struct Flag {
    label: String,
    #[serde(flatten)]
    of: Scope,
}

/// An impact statement, where that is its category.
#[derive(Deserialize)]
struct Threat {
    category: String,
    details: String,
    #[serde(flatten)]
    of: Scope,
}

/// The products that something is said about.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Scope {
    product_ids: Vec<String>,
    group_ids: Vec<String>,
}

/// How many more references are followed: groups that are named often would make a small document a large one.
struct Budget(usize);

impl Budget {
    fn take(&mut self, references: usize) -> Result<(), VexError> {
        let limit = MAX_PRODUCT_REFERENCES;
        self.0 = self.0.checked_sub(references).ok_or(VexError::TooMuch { limit })?;
        Ok(())
    }
}

/// Reads a document.
pub fn parse(bytes: &[u8]) -> Result<Document, VexError> {
    let syntax = |source| VexError::Syntax { form: "a CSAF", source };
    let csaf: Csaf = serde_json::from_slice(bytes).map_err(syntax)?;
    csaf.document.check()?;
    let moment = moment(&csaf.document.tracking.current_release_date);
    let mut budget = Budget(MAX_PRODUCT_REFERENCES);
    let products = csaf.product_tree.products(&mut budget)?;
    let mut document = Document { statements: Vec::new(), unidentified: 0 };
    for (vulnerability, number) in csaf.vulnerabilities.into_iter().zip(1..) {
        if vulnerability.names().is_empty() {
            // Test 6.1.27.8.
            return Err(VexError::Statement { number, reason: "has neither `cve` nor `ids`" });
        }
        vulnerability.read(&products, moment, &mut budget, &mut document)?;
    }
    Ok(document)
}

impl About {
    fn check(&self) -> Result<(), VexError> {
        let fault = |field, found: &str, expected| Err(VexError::Kind { field, found: one_line(found), expected });
        if self.csaf_version != VERSION {
            return fault("csaf_version", &self.csaf_version, VERSION);
        }
        if self.category != PROFILE {
            return fault("category", &self.category, PROFILE);
        }
        if self.tracking.status == "draft" {
            return fault("tracking.status", &self.tracking.status, "`final` or `interim`");
        }
        Ok(())
    }
}

impl Vulnerability {
    fn names(&self) -> Vec<String> {
        self.cve.iter().chain(self.ids.iter().map(|id| &id.text)).cloned().collect()
    }

    /// Adds what it says, a statement for each status and reason.
    fn read(
        &self,
        products: &Products,
        moment: Option<OffsetDateTime>,
        budget: &mut Budget,
        document: &mut Document,
    ) -> Result<(), VexError> {
        let reasons = self.reasons(products, budget)?;
        let mut said: BTreeMap<(usize, String), Vec<Product>> = BTreeMap::new();
        for (id, status) in self.statuses(budget)? {
            let product = products.get(id)?;
            if !product.is_identified() {
                document.unidentified += 1;
            }
            let reason = reasons.get(id).cloned().unwrap_or_default();
            // Test 6.1.27.9.
            if status == Status::NotAffected && reason.is_empty() {
                let reason = "is `known_not_affected` without a flag or an impact statement";
                return Err(VexError::Product { id: one_line(id), reason });
            }
            let rank = RANKS.iter().position(|ranked| *ranked == status).expect("every status has a rank");
            said.entry((rank, reason)).or_default().push(product.clone());
        }
        let names = self.names();
        document.statements.extend(said.into_iter().map(|((rank, reason), products)| Statement {
            names: names.clone(),
            products,
            status: RANKS[rank],
            reason,
            moment,
        }));
        Ok(())
    }

    /// The status of each product, which has one at most (test 6.1.6).
    fn statuses(&self, budget: &mut Budget) -> Result<BTreeMap<&str, Status>, VexError> {
        let lists = &self.product_status;
        let all = [
            (Status::Affected, &lists.known_affected),
            (Status::Affected, &lists.first_affected),
            (Status::Affected, &lists.last_affected),
            (Status::Fixed, &lists.fixed),
            (Status::Fixed, &lists.first_fixed),
            (Status::NotAffected, &lists.known_not_affected),
            (Status::UnderInvestigation, &lists.under_investigation),
        ];
        let mut statuses = BTreeMap::new();
        for (status, ids) in all {
            budget.take(ids.len())?;
            for id in ids {
                if statuses.insert(id.as_str(), status).is_some_and(|other| other != status) {
                    let reason = "has two statuses that contradict each other";
                    return Err(VexError::Product { id: one_line(id), reason });
                }
            }
        }
        Ok(statuses)
    }

    /// Justifications and impact statements, in one line for each product.
    fn reasons<'a>(
        &'a self,
        products: &'a Products,
        budget: &mut Budget,
    ) -> Result<BTreeMap<&'a str, String>, VexError> {
        let flags = self.flags.iter().map(|flag| (&flag.label, &flag.of));
        let impacts = self.threats.iter().filter(|threat| threat.category == "impact");
        let mut reasons: BTreeMap<&str, String> = BTreeMap::new();
        for (text, of) in flags.chain(impacts.map(|threat| (&threat.details, &threat.of))) {
            let text = one_line(text);
            for id in of.products(products, budget)? {
                let reason = reasons.entry(id).or_default();
                if reason.len() < MAX_TEXT_CHARS {
                    let divider = if reason.is_empty() { "" } else { ": " };
                    reason.push_str(divider);
                    reason.push_str(&text);
                }
            }
        }
        Ok(reasons)
    }
}

impl Scope {
    fn products<'a>(&'a self, products: &'a Products, budget: &mut Budget) -> Result<BTreeSet<&'a str>, VexError> {
        let mut ids: BTreeSet<&str> = self.product_ids.iter().map(String::as_str).collect();
        budget.take(self.product_ids.len())?;
        for group in &self.group_ids {
            let members = products.group(group)?;
            budget.take(members.len())?;
            ids.extend(members.iter().map(String::as_str));
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests;
