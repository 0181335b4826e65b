//! How a command fails: the error chain, the hint for the user, and the exit code.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

use anyhow::anyhow;
use console::Style;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::output::{self, OutputFormat, SCHEMA};

/// What a failure means for the caller. It decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Something went wrong; part of the work may be done. Exit code 1.
    Failed,
    /// The command line or a file that it names is wrong. Exit code 2.
    Usage,
    /// Refused, and nothing was changed. Exit code 3.
    Refused,
    /// Ended by SIGINT, as Ctrl-C sends it. Exit code 130, as shells report it.
    Interrupted,
    /// Ended by SIGTERM. Exit code 143, as shells report it.
    Terminated,
}

impl Kind {
    /// The exit code of the program.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// The kind of an error about a file that the user named: a path to no file, or to one that is not text, is wrong use of the command
    /// line; everything else is a failure.
    #[must_use]
    pub fn of_file(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidData => Self::Usage,
            _ => Self::Failed,
        }
    }
}

/// An error with its kind and advice. It is displayed like the error that it wraps.
#[derive(Debug)]
struct Advised {
    advice: Advice,
    error: anyhow::Error,
}

/// The facts about an error besides its text.
#[derive(Debug, Default)]
struct Advice {
    kind: Option<Kind>,
    hint: Option<String>,
    details: Map<String, Value>,
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

/// Adds kind and advice to an error. Of several, the outermost counts.
pub trait Advise<T> {
    /// Refused: nothing was changed.
    fn refused(self) -> anyhow::Result<T>;
    /// Wrong use: the user wrote something wrong.
    fn usage(self) -> anyhow::Result<T>;
    /// Adds the hint what to do next.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
    /// Adds the fields of `value`, a struct or map, to the JSON document of the failure. Text output does not show them.
    fn details(self, value: &impl Serialize) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Advise<T> for Result<T, E> {
    fn refused(self) -> anyhow::Result<T> {
        self.map_err(|error| advised(error, Advice { kind: Some(Kind::Refused), ..Advice::default() }))
    }

    fn usage(self) -> anyhow::Result<T> {
        self.map_err(|error| advised(error, Advice { kind: Some(Kind::Usage), ..Advice::default() }))
    }

    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| advised(error, Advice { hint: Some(hint.into()), ..Advice::default() }))
    }

    fn details(self, value: &impl Serialize) -> anyhow::Result<T> {
        self.map_err(|error| match serde_json::to_value(value) {
            Ok(Value::Object(details)) => advised(error, Advice { details, ..Advice::default() }),
            Ok(_) => error.into(),
            Err(unwritable) => error.into().context(format!("cannot write the details as JSON: {unwritable}")),
        })
    }
}

fn advised(error: impl Into<anyhow::Error>, advice: Advice) -> anyhow::Error {
    Advised { advice, error: error.into() }.into()
}

/// An error type that knows its own kind and hint. [`Explained::explained`] takes them along.
pub trait Explain: Error + Send + Sync + 'static {
    /// The kind of the failure.
    fn kind(&self) -> Kind;
    /// What to do next, if that is known.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Takes kind and hint from the error's own type.
pub trait Explained<T> {
    /// The same error with its kind and hint.
    fn explained(self) -> anyhow::Result<T>;
}

impl<T, E: Explain> Explained<T> for Result<T, E> {
    fn explained(self) -> anyhow::Result<T> {
        self.map_err(explained)
    }
}

/// The same error with the kind and hint of its type.
pub fn explained(error: impl Explain) -> anyhow::Error {
    let advice = Advice { kind: Some(error.kind()), hint: error.hint(), ..Advice::default() };
    advised(error, advice)
}

/// An error about a file that the user named.
impl Explain for io::Error {
    fn kind(&self) -> Kind {
        Kind::of_file(self)
    }
}

/// The error of a wrong command line: what is wrong, and what to do instead.
pub fn usage(what: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    said(Kind::Usage, what, hint)
}

/// The error of a command that refuses and changes nothing: what was refused and why, and what to do instead.
pub fn refused(what: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    said(Kind::Refused, what, hint)
}

fn said(kind: Kind, what: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    let advice = Advice { kind: Some(kind), hint: Some(hint.into()), ..Advice::default() };
    advised(anyhow!(what.into()), advice)
}

/// The `Advised` of a chain, outermost first; each may wrap another one, which `chain` alone does not reach.
fn advice(error: &anyhow::Error) -> Vec<&Advice> {
    let mut found = Vec::new();
    let mut rest = Some(error);
    while let Some(error) = rest {
        rest = error.chain().find_map(|cause| cause.downcast_ref::<Advised>()).map(|advised| {
            found.push(&advised.advice);
            &advised.error
        });
    }
    found
}

/// The kind of a failure.
#[must_use]
pub fn kind(error: &anyhow::Error) -> Kind {
    advice(error).iter().find_map(|advice| advice.kind).unwrap_or(Kind::Failed)
}

/// What a failure says, as it travels from a host to the kinstall that leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FailureReport {
    /// What failed.
    pub error: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
}

impl From<&anyhow::Error> for FailureReport {
    fn from(error: &anyhow::Error) -> Self {
        let mut causes: Vec<String> = error.chain().map(ToString::to_string).collect();
        // A transparent error repeats its cause's text.
        causes.dedup();
        let hint = advice(error).into_iter().find_map(|advice| advice.hint.clone());
        Self { error: causes.remove(0), causes, hint }
    }
}

impl FailureReport {
    /// The lines for people, with colored labels where standard error has colors.
    fn lines(&self, paint: impl Fn(&str, &Style) -> String) -> String {
        let (red, cyan) = (Style::new().for_stderr().red().bold(), Style::new().for_stderr().cyan().bold());
        let mut told = vec![(paint("error", &red), self.error.as_str())];
        told.extend(self.causes.iter().map(|cause| ("  caused by".to_owned(), cause.as_str())));
        told.extend(self.hint.as_deref().map(|hint| (paint("hint", &cyan), hint)));
        let line = |(label, text): (String, &str)| format!("{label}: {}\n", text.trim_end().replace('\n', "\n    "));
        told.into_iter().map(line).collect()
    }
}

/// The JSON document of a failure. A command may put further fields beside `error`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FailureDocument {
    schema: u32,
    #[serde(flatten)]
    #[schemars(skip)]
    details: Map<String, Value>,
    error: ErrorObject,
}

/// What failed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ErrorObject {
    kind: Kind,
    /// What failed.
    message: String,
    /// Why, outermost first.
    causes: Vec<String>,
    /// What to do next.
    hint: Option<String>,
    /// What the program exits with.
    exit_code: u8,
}

/// The document of a failed command with `--output json`: `schema`, the error's details, and `error` with kind, message, causes, hint and
/// exitCode.
#[must_use]
pub fn document(error: &anyhow::Error) -> FailureDocument {
    let kind = kind(error);
    let FailureReport { error: message, causes, hint } = FailureReport::from(error);
    let mut details = Map::new();
    // The outermost details count, so they come last.
    for advice in advice(error).into_iter().rev() {
        details.extend(advice.details.clone());
    }
    for own in ["schema", "error"] {
        details.remove(own);
    }
    let error = ErrorObject { kind, message, causes, hint, exit_code: kind.exit_code() };
    FailureDocument { schema: SCHEMA, details, error }
}

/// The text of a failed command: the error, its causes, and the hint apart.
#[must_use]
pub fn message(error: &anyhow::Error) -> String {
    FailureReport::from(error).lines(|label, _| label.to_owned())
}

/// Reports a failure to the user, as text on standard error or as a JSON document, and returns the exit code.
#[must_use]
pub fn report(error: &anyhow::Error, format: OutputFormat) -> ExitCode {
    let told = match format {
        OutputFormat::Text => {
            let painted = FailureReport::from(error).lines(|label, style| style.apply_to(label).to_string());
            output::warning(painted.trim_end())
        }
        OutputFormat::Json => output::failure(&document(error)),
    };
    // If the caller has closed the stream, the exit code is the only report.
    drop(told);
    kind(error).exit_code().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

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
        assert_eq!(kind(&error), Kind::Refused);
    }

    #[test]
    fn the_outermost_advice_counts() {
        let error = failed(Err(anyhow!("a")).hint("inner").refused().hint("outer"));
        assert_eq!(kind(&error), Kind::Refused);
        assert!(message(&error).ends_with("hint: outer\n"));
        let error = failed(Err(anyhow!("a")).refused().context("b").usage());
        assert_eq!(kind(&error), Kind::Usage);
        assert_eq!(kind(&anyhow!("plain")), Kind::Failed);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the medium is bad")]
    struct Bad;

    impl Explain for Bad {
        fn kind(&self) -> Kind {
            Kind::Refused
        }

        fn hint(&self) -> Option<String> {
            Some("copy it again".to_owned())
        }
    }

    #[test]
    fn an_error_type_brings_its_own_advice() {
        let error = failed(Err(Bad).explained().context("while reading"));
        assert_eq!(kind(&error), Kind::Refused);
        assert!(message(&error).ends_with("hint: copy it again\n"), "{}", message(&error));
    }

    #[test]
    fn the_json_document_has_the_details_beside_the_error() {
        let details = serde_json::json!({"verified": false, "schema": 7});
        let error = failed(Err(Bad).explained().details(&details).context("refused a.tar.zst"));
        insta::assert_json_snapshot!(document(&error), @r#"
        {
          "schema": 1,
          "verified": false,
          "error": {
            "kind": "refused",
            "message": "refused a.tar.zst",
            "causes": [
              "the medium is bad"
            ],
            "hint": "copy it again",
            "exitCode": 3
          }
        }
        "#);
    }
}
