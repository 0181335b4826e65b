//! Reads YAML files of users, and reports all of their errors, each with line and column.
//!
//! serde stops at the first error. So a text that it refuses is read again from a separate tree, which skips each error that was found,
//! until no more are found. Only the first reading decides whether a text is valid.

mod reader;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use reader::Reader;
use tree::{Content, Node};

/// Most errors that are reported for one file.
const MAX_FINDINGS: usize = 50;

/// A place in a text file; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// The key or the item, such as `hosts[2].address`; empty where it is the file as a whole.
    pub place: String,
    /// What is wrong with what is there, and what to write instead.
    pub message: String,
    /// Where that stands.
    #[serde(flatten)]
    pub position: Option<Position>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "{position}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// All errors in a file; at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Findings(pub Vec<Finding>);

/// Reads a value from YAML.
///
/// ```
/// #[derive(Debug, serde::Deserialize)]
/// #[serde(deny_unknown_fields, default)]
/// struct Network { cidr: String, mtu: u16 }
/// # impl Default for Network { fn default() -> Self { Self { cidr: String::new(), mtu: 1500 } } }
///
/// let error = kbundle_cli::yaml::read::<Network>("cdir: 10.0.0.0/8\nmtu: large\n").unwrap_err();
/// assert_eq!(error.to_string(), "\
/// line 1, column 1: unknown field `cdir`; did you mean `cidr`?
/// line 2, column 6: mtu: expected u16, found string \"large\"");
/// ```
///
/// # Errors
/// All errors in the text.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Findings> {
    serde_yaml::from_str(text).map_err(|error| Findings(read_past_mistakes::<T>(text, &error).0))
}

/// Reads as much as possible of a text with errors. Returns the errors, and the value without the parts that contain them, if that is still
/// a value.
///
/// A text without errors gives the whole value.
#[must_use]
pub fn read_what_is_good<T: DeserializeOwned>(text: &str) -> (Vec<Finding>, Option<T>) {
    match serde_yaml::from_str(text) {
        Ok(value) => (Vec::new(), Some(value)),
        Err(error) => read_past_mistakes(text, &error),
    }
}

fn read_past_mistakes<T: DeserializeOwned>(text: &str, error: &serde_yaml::Error) -> (Vec<Finding>, Option<T>) {
    let mut findings = Vec::new();
    let value = tree::parse(text).and_then(|root| collect(&root, &mut findings));
    if findings.is_empty() {
        // The text is not YAML, or is something that the two readers treat differently.
        let position = error.location().map(|at| Position { line: at.line(), column: at.column() });
        findings.push(Finding { place: String::new(), message: without_location(error), position });
        return (findings, None);
    }
    findings.sort_by_key(|finding| finding.position);
    (findings, value)
}

/// The parser's message without the position, which is reported in front of it.
fn without_location(error: &serde_yaml::Error) -> String {
    let text = error.to_string();
    let end = error.location().map(|at| format!(" at line {} column {}", at.line(), at.column()));
    end.and_then(|end| text.strip_suffix(&end)).unwrap_or(&text).to_owned()
}

fn collect<T: DeserializeOwned>(root: &Node, findings: &mut Vec<Finding>) -> Option<T> {
    let mut passed_over = BTreeSet::new();
    while findings.len() < MAX_FINDINGS {
        let flaw = match T::deserialize(Reader { node: root, passed_over: &passed_over }) {
            Ok(value) => return Some(value),
            Err(flaw) => flaw,
        };
        let node = flaw.node.and_then(|id| find(root, id)).unwrap_or(root);
        if !(flaw.is_absence && has_gap(node, &passed_over)) {
            findings.push(Finding {
                place: node.place.clone(),
                message: named(&node.place, &flaw.message),
                position: Some(node.position),
            });
        }
        if node.id == root.id || !passed_over.insert(node.id) {
            return None;
        }
    }
    None
}

/// The message with the place in front of it, unless the message names the place itself.
fn named(place: &str, message: &str) -> String {
    let is_named = message.starts_with("unknown field");
    let place = if is_named { place.rsplit_once('.').map_or("", |(above, _)| above) } else { place };
    if place.is_empty() { message.to_owned() } else { format!("{place}: {message}") }
}

fn children(node: &Node) -> Vec<&Node> {
    match &node.content {
        Content::Scalar { .. } => Vec::new(),
        Content::Sequence(items) => items.iter().collect(),
        Content::Mapping(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
    }
}

fn find(node: &Node, id: usize) -> Option<&Node> {
    if node.id == id { Some(node) } else { children(node).into_iter().find_map(|child| find(child, id)) }
}

fn has_gap(node: &Node, passed_over: &BTreeSet<usize>) -> bool {
    children(node).into_iter().any(|child| passed_over.contains(&child.id))
}

/// The positions of a file's values, by their paths from the root.
#[derive(Debug, Default)]
pub struct Positions(BTreeMap<String, Position>);

impl Positions {
    /// The positions in a text; empty if it is not YAML.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut found = BTreeMap::new();
        if let Some(root) = tree::parse(text) {
            tree::positions(&root, &mut found);
        }
        Self(found)
    }

    /// The position of the value at `place`, such as `hosts[2].address`, or of the value that would contain it.
    #[must_use]
    pub fn find(&self, mut place: &str) -> Option<Position> {
        loop {
            if let Some(position) = self.0.get(place) {
                return Some(*position);
            }
            place = &place[..place.rfind(['.', '['])?];
        }
    }
}

#[cfg(test)]
mod tests;
