//! How a command fails: the error chain, what the user can do about it, and the exit code.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// What a failure means for the host, which is what the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something went wrong; part of the work may be done. Exit code 1.
    Failed,
    /// The command line or a file of the user's makes no sense. Exit code 2.
    Usage,
    /// Refused, and nothing was changed. Exit code 3.
    Refused,
}

impl Kind {
    fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
        }
    }
}

/// An error with what it means and what to do next. Reads as the error that it wraps.
#[derive(Debug)]
struct Advised {
    kind: Option<Kind>,
    hint: Option<String>,
    error: anyhow::Error,
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Advised {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Adds what an error means to it.
pub trait Advise<T> {
    /// Refused: nothing was changed.
    fn refused(self) -> anyhow::Result<T>;
    /// The user wrote something that makes no sense.
    fn usage(self) -> anyhow::Result<T>;
    /// What to do next; of several hints the outermost is shown.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Advise<T> for Result<T, E> {
    fn refused(self) -> anyhow::Result<T> {
        self.map_err(|error| advised(error, Some(Kind::Refused), None))
    }

    fn usage(self) -> anyhow::Result<T> {
        self.map_err(|error| advised(error, Some(Kind::Usage), None))
    }

    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| advised(error, None, Some(hint.into())))
    }
}

fn advised(error: impl Into<anyhow::Error>, kind: Option<Kind>, hint: Option<String>) -> anyhow::Error {
    Advised { kind, hint, error: error.into() }.into()
}

/// The `Advised` of a chain, outermost first; each may wrap another that plain `chain` does not pass by.
fn advice(error: &anyhow::Error) -> Vec<&Advised> {
    let mut found = Vec::new();
    let mut rest = Some(error);
    while let Some(error) = rest {
        rest = error.chain().find_map(|cause| cause.downcast_ref::<Advised>()).map(|advised| {
            found.push(advised);
            &advised.error
        });
    }
    found
}

/// What a failure says, as it travels from a host to whoever leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Told {
    /// What failed.
    pub error: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
}

impl From<&anyhow::Error> for Told {
    fn from(error: &anyhow::Error) -> Self {
        let mut causes: Vec<String> = error.chain().map(ToString::to_string).collect();
        // A transparent error says the same as its cause.
        causes.dedup();
        let hint = advice(error).into_iter().find_map(|advised| advised.hint.clone());
        Self { error: causes.remove(0), causes, hint }
    }
}

/// The exit code of a failed command.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let kind = advice(error).iter().find_map(|advised| advised.kind).unwrap_or(Kind::Failed);
    kind.exit_code().into()
}

/// What a failed command says: the error, its causes, and the hint apart.
#[must_use]
pub fn message(error: &anyhow::Error) -> String {
    let Told { error, causes, hint } = Told::from(error);
    let mut told = vec![("error", error.as_str())];
    told.extend(causes.iter().map(|cause| ("  caused by", cause.as_str())));
    told.extend(hint.as_deref().map(|hint| ("hint", hint)));
    let line = |(label, text): (&str, &str)| format!("{label}: {}\n", text.trim_end().replace('\n', "\n    "));
    told.into_iter().map(line).collect::<Vec<_>>().concat()
}

/// Tells the user of a failure and gives the exit code.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    // Where even standard error is gone, the exit code is all that is left to say.
    let _ = io::stderr().write_all(message(error).as_bytes());
    exit_code(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    fn failed(result: anyhow::Result<()>) -> anyhow::Error {
        result.unwrap_err()
    }

    #[test]
    fn the_chain_is_told_once_with_the_hint_apart() {
        let inner = Err(anyhow!("no space left")).context("cannot write /etc/x");
        let error = failed(inner.refused().hint("make room").context("while setting up containerd"));
        insta::assert_snapshot!(message(&error), @"
        error: while setting up containerd
          caused by: cannot write /etc/x
          caused by: no space left
        hint: make room
        ");
        assert_eq!(exit_code(&error), ExitCode::from(3));
    }

    #[test]
    fn the_outermost_word_counts() {
        let error = failed(Err(anyhow!("a")).hint("inner").refused().hint("outer"));
        assert_eq!(exit_code(&error), ExitCode::from(3));
        assert!(message(&error).ends_with("hint: outer\n"));
        let error = failed(Err(anyhow!("a")).refused().context("b").usage());
        assert_eq!(exit_code(&error), ExitCode::from(2));
        assert_eq!(exit_code(&anyhow!("plain")), ExitCode::from(1));
    }
}
