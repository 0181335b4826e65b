//! Why a description cannot be used.

use kbundle_cli::yaml::{Finding, Findings};

use super::{Problem, SCHEMA};

/// Why `cluster.yaml` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not YAML, or not of the file's shape; the cause names lines, columns and keys.
    #[error("the configuration cannot be read")]
    Syntax {
        /// All errors.
        source: Findings,
    },
    /// A version that this program does not know.
    #[error("the configuration has schema {found}, this program knows {SCHEMA}")]
    Schema {
        /// The version in the file.
        found: u32,
    },
    /// Well formed, but not a possible cluster.
    #[error("{}", lines(problems))]
    Invalid {
        /// All errors, at least one.
        problems: Vec<Problem>,
    },
}

impl ConfigError {
    /// All errors. Errors from rules have no position yet.
    #[must_use]
    pub fn findings(self) -> Vec<Finding> {
        match self {
            Self::Syntax { source } => source.0,
            Self::Schema { .. } => {
                vec![Finding { place: "schema".to_owned(), message: self.to_string(), position: None }]
            }
            Self::Invalid { problems } => problems.into_iter().map(Finding::from).collect(),
        }
    }
}

impl From<Problem> for Finding {
    fn from(Problem { place, message }: Problem) -> Self {
        Self { place, message, position: None }
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
