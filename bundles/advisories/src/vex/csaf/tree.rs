//! The products of a CSAF document: branches, names and relationships, each product with what it can be compared by.

use std::collections::BTreeMap;
use std::sync::Arc;

use kbundle_format::Digest;
use packageurl::PackageUrl;
use serde::Deserialize;

use super::super::VexError;
use super::super::product::{Product, Thing};
use super::Budget;
use crate::text::one_line;

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ProductTree {
    branches: Vec<Branch>,
    full_product_names: Vec<FullName>,
    relationships: Vec<Relationship>,
    product_groups: Vec<Group>,
}

/// A step on the way to a product, or the last of them. serde bounds how deep they lie in each other.
#[derive(Deserialize)]
struct Branch {
    category: String,
    name: String,
    #[serde(default)]
    branches: Vec<Branch>,
    product: Option<FullName>,
}

#[derive(Deserialize)]
struct FullName {
    product_id: String,
    #[serde(default)]
    product_identification_helper: Helper,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Helper {
    purl: Option<String>,
    hashes: Vec<FileHashes>,
    x_generic_uris: Vec<Uri>,
}

#[derive(Deserialize)]
struct FileHashes {
    file_hashes: Vec<FileHash>,
}

#[derive(Deserialize)]
struct FileHash {
    algorithm: String,
    value: String,
}

#[derive(Deserialize)]
struct Uri {
    uri: String,
}

/// A product that is a part of, or lies on, another one.
#[derive(Deserialize)]
struct Relationship {
    category: String,
    full_product_name: FullName,
    product_reference: String,
    relates_to_product_reference: String,
}

#[derive(Deserialize)]
struct Group {
    group_id: String,
    product_ids: Vec<String>,
}

/// All products by their names within the document.
pub struct Products {
    products: BTreeMap<String, Product>,
    groups: BTreeMap<String, Vec<String>>,
}

/// What the branches above a product say of its version.
#[derive(Clone, Copy, Default)]
enum Version<'a> {
    #[default]
    Unsaid,
    Is(&'a str),
    /// One of a range: no single version can be compared.
    InRange,
}

impl Products {
    /// The product that the document calls `id` (test 6.1.1).
    pub fn get(&self, id: &str) -> Result<&Product, VexError> {
        self.products.get(id).ok_or_else(|| fault(id, "is not in the product tree"))
    }

    /// The names of the products of a group.
    pub fn group(&self, id: &str) -> Result<&[String], VexError> {
        let group = self.groups.get(id).map(Vec::as_slice);
        group.ok_or_else(|| fault(id, "is named as a group, and is none of the product tree"))
    }

    /// Takes a product, whose name nothing else may have (test 6.1.2).
    fn add(&mut self, id: String, product: Product) -> Result<(), VexError> {
        if self.products.contains_key(&id) {
            return Err(fault(&id, "is defined twice"));
        }
        self.products.insert(id, product);
        Ok(())
    }

    fn add_branch<'a>(&mut self, branch: &'a Branch, above: Version<'a>) -> Result<(), VexError> {
        let version = match branch.category.as_str() {
            "product_version" => Version::Is(&branch.name),
            "product_version_range" => Version::InRange,
            _ => above,
        };
        if let Some(product) = &branch.product {
            self.add(product.product_id.clone(), product.read(version))?;
        }
        branch.branches.iter().try_for_each(|below| self.add_branch(below, version))
    }

    /// A part of one thing is compared as such. A part of a part is not: a list of packages has only the outer and the inner.
    fn add_relationship(&mut self, relationship: Relationship) -> Result<(), VexError> {
        let part = self.get(&relationship.product_reference)?.clone();
        let whole = self.get(&relationship.relates_to_product_reference)?.clone();
        let product = match (relationship.category.as_str(), part, whole) {
            (
                "default_component_of" | "external_component_of" | "optional_component_of" | "installed_on",
                Product::Thing(part, _),
                Product::Thing(whole, _),
            ) => Product::Within { part, whole },
            _ => unidentified(),
        };
        self.add(relationship.full_product_name.product_id, product)
    }

    /// A relationship may name products of relationships behind it. Those are parts of parts, and compared with nothing.
    fn add_relationships(&mut self, relationships: Vec<Relationship>) -> Result<(), VexError> {
        let mut later = Vec::new();
        for relationship in relationships {
            let is_known = |id: &String| self.products.contains_key(id);
            if is_known(&relationship.product_reference) && is_known(&relationship.relates_to_product_reference) {
                self.add_relationship(relationship)?;
            } else {
                later.push(relationship);
            }
        }
        for relationship in &later {
            self.add(relationship.full_product_name.product_id.clone(), unidentified())?;
        }
        for relationship in &later {
            self.get(&relationship.product_reference)?;
            self.get(&relationship.relates_to_product_reference)?;
        }
        Ok(())
    }
}

impl ProductTree {
    /// Reads all products.
    pub fn products(self, budget: &mut Budget) -> Result<Products, VexError> {
        let mut products = Products { products: BTreeMap::new(), groups: BTreeMap::new() };
        for branch in &self.branches {
            products.add_branch(branch, Version::Unsaid)?;
        }
        for name in &self.full_product_names {
            products.add(name.product_id.clone(), name.read(Version::Unsaid))?;
        }
        products.add_relationships(self.relationships)?;
        for Group { group_id, product_ids } in self.product_groups {
            budget.take(product_ids.len())?;
            if products.groups.insert(group_id.clone(), product_ids).is_some() {
                return Err(fault(&group_id, "is defined twice"));
            }
        }
        Ok(products)
    }
}

impl FullName {
    fn read(&self, version: Version<'_>) -> Product {
        let helper = &self.product_identification_helper;
        let mut thing = Thing::default();
        if let Some(purl) = &helper.purl
            && let Ok(parsed) = purl.parse::<PackageUrl<'_>>()
        {
            match version {
                Version::Is(version) if parsed.version().is_none() => {
                    thing.names.push(purl.clone());
                    thing.version = Some(version.to_owned());
                }
                // Without a version of its own it would stand for all of them.
                Version::InRange if parsed.version().is_none() => {}
                _ => thing.names.push(purl.clone()),
            }
        }
        thing.names.extend(helper.x_generic_uris.iter().map(|uri| uri.uri.clone()));
        let hashes = helper.hashes.iter().flat_map(|hashes| &hashes.file_hashes);
        let sha256 = hashes.filter(|hash| hash.algorithm.eq_ignore_ascii_case("sha256"));
        thing.digests = sha256.filter_map(|hash| Digest::from_hex(&hash.value.to_ascii_lowercase()).ok()).collect();
        Product::Thing(Arc::new(thing), Vec::new())
    }
}

/// A product that nothing is compared with.
fn unidentified() -> Product {
    Product::Thing(Arc::default(), Vec::new())
}

fn fault(id: &str, reason: &'static str) -> VexError {
    VexError::Product { id: one_line(id), reason }
}
