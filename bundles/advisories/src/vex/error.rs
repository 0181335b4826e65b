//! Why bytes are not a VEX document that can be used.

/// Why bytes are not a VEX document that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VexError {
    /// Not JSON, or of no form that is known.
    #[error("it is neither an OpenVEX nor a CSAF document")]
    Unknown {
        /// serde's words, where it is not JSON.
        source: Option<serde_json::Error>,
    },
    /// JSON that is not of the shape.
    #[error("it is not {form} document")]
    Syntax {
        /// The form that it claims, with its article.
        form: &'static str,
        /// serde's words.
        source: serde_json::Error,
    },
    /// A document of another kind or version.
    #[error("its {field} is `{found}`; expected {expected}")]
    Kind {
        /// The field.
        field: &'static str,
        /// What it says.
        found: String,
        /// What can be used.
        expected: &'static str,
    },
    /// A statement that the specification does not allow.
    #[error("statement {number} {reason}")]
    Statement {
        /// From 1.
        number: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A product that the specification does not allow.
    #[error("product `{id}` {reason}")]
    Product {
        /// Its name within the document.
        id: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// More than is read.
    #[error("it has more than {limit} references to products")]
    TooMuch {
        /// How many are read.
        limit: usize,
    },
}
