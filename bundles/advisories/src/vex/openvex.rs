//! OpenVEX documents. Source: github.com/openvex/spec, 0.2.0.

use std::sync::Arc;

use kbundle_format::Digest;
use serde::Deserialize;

use super::product::{self, Thing};
use super::{Document, Status, VexError, moment};
use crate::text::one_line;

const CONTEXT: &str = "https://openvex.dev/ns";

#[derive(Deserialize)]
struct OpenVex {
    #[serde(rename = "@context")]
    context: String,
    #[serde(default)]
    timestamp: Option<String>,
    statements: Vec<Statement>,
}

#[derive(Deserialize)]
struct Statement {
    vulnerability: Vulnerability,
    #[serde(default)]
    products: Vec<Product>,
    status: Status,
    #[serde(default)]
    justification: Option<String>,
    #[serde(rename = "impact_statement", default)]
    impact: Option<String>,
    #[serde(default)]
    timestamp: Option<String>,
}

/// A flaw: a name, or in older documents nothing but that.
#[derive(Deserialize)]
#[serde(untagged)]
enum Vulnerability {
    Name(String),
    Named {
        name: String,
        #[serde(default)]
        aliases: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Product {
    Id(String),
    Identified(Identified),
}

#[derive(Deserialize)]
struct Identified {
    #[serde(rename = "@id", default)]
    id: Option<String>,
    #[serde(default)]
    identifiers: Identifiers,
    #[serde(default)]
    hashes: Hashes,
    #[serde(default)]
    subcomponents: Vec<Product>,
}

#[derive(Default, Deserialize)]
struct Identifiers {
    #[serde(default)]
    purl: Option<String>,
}

#[derive(Default, Deserialize)]
struct Hashes {
    #[serde(rename = "sha-256", default)]
    sha256: Option<String>,
}

/// Reads a document.
pub fn parse(bytes: &[u8]) -> Result<Document, VexError> {
    let syntax = |source| VexError::Syntax { form: "an OpenVEX", source };
    let read: OpenVex = serde_json::from_slice(bytes).map_err(syntax)?;
    if !read.context.starts_with(CONTEXT) {
        let expected = "one that begins with https://openvex.dev/ns";
        return Err(VexError::Kind { field: "@context", found: one_line(&read.context), expected });
    }
    let mut statements = Vec::new();
    for (statement, number) in read.statements.into_iter().zip(1..) {
        let fault = |reason| Err(VexError::Statement { number, reason });
        let is_explained = statement.justification.is_some() || statement.impact.is_some();
        if statement.status == Status::NotAffected && !is_explained {
            return fault("says `not_affected` without a justification or an impact statement");
        }
        if statement.products.is_empty() {
            return fault("names no product");
        }
        statements.push(statement.plain(read.timestamp.as_deref()));
    }
    let products = statements.iter().flat_map(|statement| &statement.products);
    let unidentified = products.filter(|product| !product.is_identified()).count();
    Ok(Document { statements, unidentified })
}

impl Statement {
    /// The document's moment counts for statements without one of their own.
    fn plain(self, of_document: Option<&str>) -> super::Statement {
        let names = match self.vulnerability {
            Vulnerability::Name(name) => vec![name],
            Vulnerability::Named { name, aliases } => [vec![name], aliases].concat(),
        };
        let reasons: Vec<_> =
            [&self.justification, &self.impact].into_iter().flatten().map(|text| one_line(text)).collect();
        super::Statement {
            names,
            products: self.products.into_iter().map(Product::plain).collect(),
            status: self.status,
            reason: reasons.join(": "),
            moment: self.timestamp.as_deref().or(of_document).and_then(moment),
        }
    }
}

impl Product {
    fn plain(self) -> product::Product {
        let (thing, subcomponents) = self.split();
        // What subcomponents have of their own is not asked.
        let parts = subcomponents.into_iter().map(|part| Arc::new(part.split().0)).collect();
        product::Product::Thing(Arc::new(thing), parts)
    }

    fn split(self) -> (Thing, Vec<Self>) {
        match self {
            Self::Id(id) => (Thing { names: vec![id], ..Thing::default() }, Vec::new()),
            Self::Identified(product) => {
                let names = product.id.into_iter().chain(product.identifiers.purl).collect();
                let digest = product.hashes.sha256.as_deref().and_then(|hex| Digest::from_hex(hex).ok());
                (Thing { names, digests: digest.into_iter().collect(), version: None }, product.subcomponents)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_that_say_nothing_usable_are_refused() {
        let parse = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(parse("{}"), "it is not an OpenVEX document");
        assert!(parse(r#"{"@context":"https://example.org","statements":[]}"#).contains("https://example.org"));
        let statement = |fields: &str| {
            parse(&format!(
                r#"{{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{{"vulnerability":{{"name":"CVE-1"}},{fields}}}]}}"#
            ))
        };
        assert!(statement(r#""products":["a"],"status":"not_affected""#).contains("statement 1 says `not_affected`"));
        assert!(statement(r#""status":"fixed""#).contains("names no product"));
        assert_eq!(statement(r#""products":["a"],"status":"harmless""#), "it is not an OpenVEX document");
    }
}
