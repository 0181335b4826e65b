//! A site's own rules in Rego. They get what was read of a bundle, and list what they deny and what they warn about.
//!
//! A rule is an element of `deny` or `warn` in the package `kbundle`: a text, or an object with `message` and, where it is about one thing,
//! `subject`. `docs/audit-input.md` describes `input`. The interpreter reads no clock, no file and no network, and has [`TIME_LIMIT`].

use std::num::NonZeroU32;
use std::time::Duration;

use kbundle_format::Digest;
use kbundle_format::audit_record::Looked;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};
use serde::Deserialize;

use super::input::Input;
use super::{Breach, Checked, Evidence, Outcome, Policy, Rule};

/// How long all rules together may take.
pub const TIME_LIMIT: Duration = Duration::from_mins(1);
/// How many steps the interpreter takes between two checks of the time.
const STEPS: NonZeroU32 = NonZeroU32::new(1000).expect("not zero");
const PACKAGE: &str = "data.kbundle";

/// Rules that were read, and that the interpreter understands.
#[derive(Clone, Debug)]
pub struct Rego {
    engine: Engine,
    files: Vec<Looked>,
}

/// The kind of a set of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Deny,
    Warn,
}

impl Set {
    fn path(self) -> String {
        match self {
            Self::Deny => format!("{PACKAGE}.deny"),
            Self::Warn => format!("{PACKAGE}.warn"),
        }
    }
}

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegoError {
    /// The file is not valid Rego.
    #[error("{file} is not Rego that can be used: {reason}")]
    Parse {
        /// The file.
        file: String,
        /// The interpreter's message, with the line.
        reason: String,
    },
    /// No file has rules in the package `kbundle`.
    #[error("{files} has no set `deny` or `warn` in the package `kbundle`")]
    NoRule {
        /// The files.
        files: String,
    },
    /// A rule failed, or took too long.
    #[error("`{rule}` cannot be evaluated: {reason}")]
    Evaluate {
        /// The set.
        rule: String,
        /// The interpreter's message.
        reason: String,
    },
    /// A rule returned something other than a set of messages.
    #[error("`{rule}` gives {found}, which is neither a text nor an object with a text `message`")]
    Element {
        /// The set.
        rule: String,
        /// The element.
        found: String,
    },
}

/// An element of a set.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Text(String),
    Object {
        message: String,
        #[serde(default)]
        subject: Option<String>,
    },
}

impl Rego {
    /// The rules of these files, each with its name and its text.
    ///
    /// # Errors
    /// [`RegoError::Parse`], or [`RegoError::NoRule`] when no file has rules in the package.
    pub fn new(texts: Vec<(String, String)>) -> Result<Self, RegoError> {
        let mut engine = Engine::new();
        engine.set_execution_timer_config(ExecutionTimerConfig { limit: TIME_LIMIT, check_interval: STEPS });
        let mut files = Vec::new();
        for (name, text) in texts {
            files.push(Looked { name: name.clone(), digest: Digest::of(text.as_bytes()) });
            let added = engine.add_policy(name.clone(), text);
            added.map_err(|error| RegoError::Parse { file: name, reason: error.to_string() })?;
        }
        if engine.get_packages().is_ok_and(|packages| packages.iter().any(|package| package == PACKAGE)) {
            Ok(Self { engine, files })
        } else {
            Err(RegoError::NoRule { files: names(&files) })
        }
    }

    /// The files, by digest.
    #[must_use]
    pub fn files(&self) -> &[Looked] {
        &self.files
    }

    /// What a set says about `input`; `None` if there is no such set.
    fn said(&self, set: Set, input: &Value) -> Result<Option<Vec<Said>>, RegoError> {
        let rule = set.path();
        let mut engine = self.engine.clone();
        engine.set_input(input.clone());
        let failed = |reason: String| RegoError::Evaluate { rule: rule.clone(), reason };
        let results = engine.eval_query(rule.clone(), false).map_err(|error| failed(error.to_string()))?;
        let Some(value) = results.result.first().and_then(|result| result.expressions.first()) else { return Ok(None) };
        let value = serde_json::to_value(&value.value).map_err(|error| failed(error.to_string()))?;
        let wrong = |found: &serde_json::Value| RegoError::Element { rule: rule.clone(), found: found.to_string() };
        let elements = value.as_array().ok_or_else(|| wrong(&value))?;
        elements
            .iter()
            .map(|element| Said::deserialize(element).map_err(|_| wrong(element)))
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

fn names(files: &[Looked]) -> String {
    files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The rules of the policy, in the order of reports.
///
/// # Errors
/// [`RegoError`]: a rule that fails says nothing about the bundle.
pub fn check(policy: &Policy, evidence: &Evidence<'_>) -> Result<Vec<Checked>, RegoError> {
    let Some(rego) = &policy.rego else { return Ok(Vec::new()) };
    let failed =
        |error: &dyn std::fmt::Display| RegoError::Evaluate { rule: PACKAGE.to_owned(), reason: error.to_string() };
    let input = serde_json::to_value(Input::of(evidence)).map_err(|error| failed(&error))?;
    let input = Value::from(input);
    let mut checked = Vec::new();
    for set in [Set::Deny, Set::Warn] {
        let Some(said) = rego.said(set, &input)? else { continue };
        let breaches = said.into_iter().map(|said| breach(said, evidence)).collect();
        let (expected, broken) = match set {
            Set::Deny => (format!("nothing that {} denies", names(&rego.files)), Outcome::Refused),
            Set::Warn => (format!("nothing that {} warns of", names(&rego.files)), Outcome::Warned),
        };
        checked.push(Checked { broken, ..Checked::new(Rule::Rego, expected, "nothing", breaches) });
    }
    if checked.is_empty() { Err(RegoError::NoRule { files: names(&rego.files) }) } else { Ok(checked) }
}

fn breach(said: Said, evidence: &Evidence<'_>) -> Breach {
    let (message, subject) = match said {
        Said::Text(message) => (message, None),
        Said::Object { message, subject } => (message, subject),
    };
    let subject = subject.unwrap_or_else(|| "bundle".to_owned());
    let mut breach = Breach::of(subject.clone(), looked(&subject, evidence), message.clone());
    breach.items.push(message);
    breach
}

/// The evidence for the subject of a rule: an image, an entry, or else the list.
fn looked(subject: &str, evidence: &Evidence<'_>) -> Vec<Looked> {
    let list = evidence.list;
    let images = list.images.iter().filter(|image| {
        let name = image.reference.to_string();
        subject == name || subject == format!("{name} ({})", image.platform)
    });
    let mut looked: Vec<_> = images
        .map(|image| Looked { name: format!("{} ({})", image.reference, image.platform), digest: image.manifest })
        .collect();
    looked.extend(list.entry(subject).map(|entry| Looked { name: subject.to_owned(), digest: entry.digest }));
    if looked.is_empty() { evidence.of_list() } else { looked }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rego(text: &str) -> Result<Rego, RegoError> {
        Rego::new(vec![("a.rego".to_owned(), format!("package kbundle\n{text}"))])
    }

    fn said(text: &str, set: Set) -> Result<Vec<String>, RegoError> {
        let said = rego(text)?.said(set, &Value::from(serde_json::json!({ "n": 3 })))?.unwrap_or_default();
        let text = |said| match said {
            Said::Text(message) => message,
            Said::Object { message, subject } => format!("{}: {message}", subject.unwrap_or_default()),
        };
        Ok(said.into_iter().map(text).collect())
    }

    #[test]
    fn sets_of_texts_and_objects_are_what_rules_say() {
        let text = "deny contains \"three\" if input.n == 3\ndeny contains \"four\" if input.n == 4\nwarn contains {\"subject\": \"a\", \"message\": m} if m := sprintf(\"n is %d\", [input.n])\n";
        assert_eq!(said(text, Set::Deny).unwrap(), ["three"]);
        assert_eq!(said(text, Set::Warn).unwrap(), ["a: n is 3"]);
    }

    #[test]
    fn what_is_not_a_rule_is_refused() {
        let error = rego("deny contains").unwrap_err().to_string();
        assert!(error.contains("a.rego is not Rego that can be used"), "{error}");
        let other = Rego::new(vec![("b.rego".to_owned(), "package other\ndeny contains \"a\"".to_owned())]);
        let error = other.unwrap_err().to_string();
        assert!(error.contains("b.rego has no set `deny` or `warn` in the package `kbundle`"), "{error}");
        assert!(rego("allow := true\n").unwrap().said(Set::Deny, &Value::new_object()).unwrap().is_none());
    }

    #[test]
    fn a_rule_that_fails_is_not_an_answer() {
        for (text, part) in [
            ("deny := 7\n", "gives 7"),
            ("deny contains {\"text\": 1}\n", "neither a text nor an object"),
            ("deny contains x if x := to_number(\"three\")\n", "cannot be evaluated"),
            ("deny contains \"a\" if 1 / 0 == 1\n", "cannot be evaluated"),
        ] {
            let error = said(text, Set::Deny).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_rule_that_takes_too_long_ends() {
        let mut rules = rego("deny contains \"a\" if { some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i * j == 0 }\n").unwrap();
        let limit = Duration::from_millis(1);
        rules.engine.set_execution_timer_config(ExecutionTimerConfig { limit, check_interval: STEPS });
        let error = rules.said(Set::Deny, &Value::new_object()).map(drop).unwrap_err().to_string();
        assert!(error.contains("cannot be evaluated"), "{error}");
    }
}
