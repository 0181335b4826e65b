//! Why a description cannot be used.

use super::{Problem, SCHEMA, locate};

/// Why `cluster.yaml` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not YAML, or not of the file's shape; the cause names line, column and key.
    #[error("the configuration cannot be read")]
    Syntax {
        /// The parser's words.
        source: serde_yaml::Error,
    },
    /// A version that this program does not know.
    #[error("the configuration has schema {found}, this program knows {SCHEMA}")]
    Schema {
        /// The version in the file.
        found: u32,
    },
    /// Well formed, and yet no cluster.
    #[error("{}", lines(problems))]
    Invalid {
        /// Everything that is wrong, at least one.
        problems: Vec<Problem>,
    },
}

impl ConfigError {
    /// The same error with the lines of `text`, which it is about.
    #[must_use]
    pub fn located(self, text: &str) -> Self {
        let Self::Invalid { mut problems } = self else { return self };
        for problem in &mut problems {
            problem.line = locate::line(text, &problem.place);
        }
        Self::Invalid { problems }
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
