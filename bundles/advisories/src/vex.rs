//! VEX: statements that a flaw does not matter for a product, and why. Documents of all forms become [`Statement`]s, and those are asked.

mod csaf;
mod error;
mod openvex;
mod product;

use packageurl::PackageUrl;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use self::error::VexError;
use self::product::Product;
use crate::subject::{Package, Place};

/// What a statement says of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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

/// A document, whatever its form was.
#[derive(Clone, Debug)]
pub struct Document {
    statements: Vec<Statement>,
    unidentified: usize,
}

/// A statement about one flaw and some products.
#[derive(Clone, Debug)]
struct Statement {
    /// Names of the flaw.
    names: Vec<String>,
    products: Vec<Product>,
    status: Status,
    /// Why, one line.
    reason: String,
    moment: Option<OffsetDateTime>,
}

/// An answer of a document about one finding in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status that the document states.
    pub status: Status,
    /// The reason.
    pub reason: String,
}

/// What tells the forms from each other.
#[derive(Deserialize)]
struct Form {
    #[serde(rename = "@context", default)]
    context: Option<serde_json::Value>,
    #[serde(default)]
    document: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a document of OpenVEX or CSAF.
    ///
    /// # Errors
    /// [`VexError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, VexError> {
        let form: Form = serde_json::from_slice(bytes).map_err(|source| VexError::Unknown { source: Some(source) })?;
        match form {
            Form { context: Some(_), .. } => openvex::parse(bytes),
            Form { document: Some(_), .. } => csaf::parse(bytes),
            Form { .. } => Err(VexError::Unknown { source: None }),
        }
    }

    /// How many products of its statements have neither a package URL nor another mark that packages, images and files are compared by.
    #[must_use]
    pub fn unidentified(&self) -> usize {
        self.unidentified
    }
}

/// The last answer of `documents` about the flaw called `names` in `package`, as `place` has it.
pub fn answer(documents: &[Document], names: &[&str], package: &Package, place: &Place) -> Option<Answer> {
    let statements = documents.iter().flat_map(|document| &document.statements);
    let fitting = statements.filter(|statement| {
        statement.names.iter().any(|name| names.contains(&name.as_str()))
            && statement.products.iter().any(|product| product.covers(package, place))
    });
    // Of two of one moment, the later in the file counts.
    let last = fitting.max_by_key(|statement| statement.moment)?;
    Some(Answer { status: last.status, reason: last.reason.clone() })
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

/// A moment of RFC 3339; `None` where it is none.
fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
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
    fn documents_of_no_known_form_are_refused() {
        for text in ["", "{}", "[]", r#"{"vulnerabilities":[]}"#, "{\"document\":"] {
            let error = Document::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), "it is neither an OpenVEX nor a CSAF document", "{text}");
        }
        assert!(Document::parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
