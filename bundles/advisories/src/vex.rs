//! OpenVEX documents: statements that a vulnerability does not affect a product, with the reason.
//!
//! Source: github.com/openvex/spec, 0.2.0.

use kbundle_format::Digest;
use packageurl::PackageUrl;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::subject::Package;

/// What a statement says of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The flaw does not matter for it.
    NotAffected,
    /// It does.
    Affected,
    /// It has the fix, whatever its version says.
    Fixed,
    /// Nobody knows yet.
    UnderInvestigation,
}

impl Status {
    /// The status in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAffected => "not affected",
            Self::Affected => "affected",
            Self::Fixed => "fixed",
            Self::UnderInvestigation => "under investigation",
        }
    }
}

/// Why bytes are not VEX document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VexError {
    /// It is not JSON, or does not have the right shape.
    #[error("it is not an OpenVEX document")]
    Syntax {
        /// serde's error.
        source: serde_json::Error,
    },
    /// It is a document of another kind.
    #[error("it has the context `{context}`; expected one that begins with {CONTEXT}")]
    Context {
        /// The context that it names.
        context: String,
    },
    /// A statement that the specification does not allow.
    #[error("statement {number} {reason}")]
    Statement {
        /// The statement's number, counted from 1.
        number: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

const CONTEXT: &str = "https://openvex.dev/ns";

/// A document.
#[derive(Clone, Debug, Deserialize)]
pub struct Document {
    #[serde(rename = "@context")]
    context: String,
    #[serde(default)]
    timestamp: Option<String>,
    statements: Vec<Statement>,
}

#[derive(Clone, Debug, Deserialize)]
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

/// A vulnerability: an object with a name, or in older documents only the name.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Vulnerability {
    Name(String),
    Named {
        name: String,
        #[serde(default)]
        aliases: Vec<String>,
    },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Product {
    Id(String),
    Identified(Identified),
}

#[derive(Clone, Debug, Deserialize)]
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

#[derive(Clone, Debug, Default, Deserialize)]
struct Identifiers {
    #[serde(default)]
    purl: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Hashes {
    #[serde(rename = "sha-256", default)]
    sha256: Option<String>,
}

/// An answer of a document about one finding in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status that the document states.
    pub status: Status,
    /// The reason.
    pub reason: String,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// [`VexError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, VexError> {
        let document: Self = serde_json::from_slice(bytes).map_err(|source| VexError::Syntax { source })?;
        if !document.context.starts_with(CONTEXT) {
            return Err(VexError::Context { context: document.context });
        }
        for (statement, number) in document.statements.iter().zip(1..) {
            let fault = |reason| Err(VexError::Statement { number, reason });
            let is_explained = statement.justification.is_some() || statement.impact.is_some();
            if statement.status == Status::NotAffected && !is_explained {
                return fault("says `not_affected` without a justification or an impact statement");
            }
            if statement.products.is_empty() {
                return fault("names no product");
            }
        }
        Ok(document)
    }
}

/// The last answer in `documents` about the vulnerability with these `names` in `package` at `place`.
pub fn answer(documents: &[Document], names: &[&str], package: &Package, place: &crate::Place) -> Option<Answer> {
    let statements = documents.iter().flat_map(|document| {
        document
            .statements
            .iter()
            .map(|statement| (statement.timestamp.as_ref().or(document.timestamp.as_ref()), statement))
    });
    let fitting = statements.filter(|(_, statement)| {
        statement.vulnerability.is_any_of(names)
            && statement.products.iter().any(|product| product.covers(package, place))
    });
    // Of two statements with the same time, the later one in the file counts.
    let (_, last) =
        fitting.max_by_key(|(moment, _)| moment.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok()))?;
    let reason = [&last.justification, &last.impact].into_iter().flatten().cloned().collect::<Vec<_>>();
    Some(Answer { status: last.status, reason: reason.join(": ") })
}

impl Vulnerability {
    fn is_any_of(&self, names: &[&str]) -> bool {
        match self {
            Self::Name(name) => names.contains(&name.as_str()),
            Self::Named { name, aliases } => {
                names.contains(&name.as_str()) || aliases.iter().any(|alias| names.contains(&alias.as_str()))
            }
        }
    }
}

impl Product {
    /// Whether the product is the package itself, or the image or file that contains the package.
    fn covers(&self, package: &Package, place: &crate::Place) -> bool {
        self.is(&package.purl) || self.is_place(place) && self.has_subcomponent(package)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let (id, purl) = match self {
            Self::Id(id) => (Some(id.as_str()), None),
            Self::Identified(product) => (product.id.as_deref(), product.identifiers.purl.as_deref()),
        };
        id.into_iter().chain(purl)
    }

    fn is(&self, purl: &str) -> bool {
        self.names().any(|stated| covers(stated, purl))
    }

    fn is_place(&self, place: &crate::Place) -> bool {
        let hash = match self {
            Self::Identified(product) => product.hashes.sha256.as_deref(),
            Self::Id(_) => None,
        };
        hash.is_some_and(|hash| Digest::from_hex(hash).is_ok_and(|digest| digest == place.digest))
            || self.names().any(|name| name == place.name)
            || place.purl.as_deref().is_some_and(|purl| self.is(purl))
    }

    /// A product without subcomponents includes everything in it.
    fn has_subcomponent(&self, package: &Package) -> bool {
        match self {
            Self::Id(_) => true,
            Self::Identified(product) => {
                product.subcomponents.is_empty() || product.subcomponents.iter().any(|part| part.is(&package.purl))
            }
        }
    }
}

/// Whether the package URL `stated` matches the one that was `found`: parts that it leaves out may have any value.
#[must_use]
pub fn covers(stated: &str, found: &str) -> bool {
    let (Ok(stated), Ok(found)) = (stated.parse::<PackageUrl<'_>>(), found.parse::<PackageUrl<'_>>()) else {
        return false;
    };
    stated.ty() == found.ty()
        && stated.namespace() == found.namespace()
        && stated.name() == found.name()
        && stated.version().is_none_or(|version| Some(version) == found.version())
        && stated.qualifiers().iter().all(|(name, value)| found.qualifiers().get(name) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_url_covers_what_it_does_not_contradict() {
        let found = "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12";
        for stated in
            ["pkg:deb/debian/libc6", "pkg:deb/debian/libc6@2.36-9", "pkg:deb/debian/libc6@2.36-9?arch=amd64", found]
        {
            assert!(covers(stated, found), "{stated}");
        }
        for stated in ["pkg:deb/libc6", "pkg:deb/debian/libc6@2.36-8", "pkg:deb/debian/libc6?arch=arm64", "libc6"] {
            assert!(!covers(stated, found), "{stated}");
        }
    }

    #[test]
    fn documents_that_say_nothing_usable_are_refused() {
        let parse = |text: &str| Document::parse(text.as_bytes()).unwrap_err().to_string();
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
