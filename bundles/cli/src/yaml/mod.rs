//! YAML files of users: read, and where they are wrong, everything that is, each with its line and column.
//!
//! serde stops at the first mistake. So a text that it refuses is read again from a tree of its own, past each mistake that was found,
//! until nothing more is. Whether a text is good is decided by the first reading alone.

mod reader;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use reader::Reader;
use tree::{Content, Node};

/// The most mistakes that are told of one file.
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

/// Everything that is wrong with a file; at least one thing.
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
/// Everything that is wrong with the text.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Findings> {
    serde_yaml::from_str(text).map_err(|error| Findings(read_past_mistakes::<T>(text, &error).0))
}

/// Reads what can be read of a text that is wrong: its mistakes, and the value without what they are in, where that still makes one.
///
/// A text without a mistake gives the whole value.
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
        // What is not YAML, and what the two readers take differently.
        let position = error.location().map(|at| Position { line: at.line(), column: at.column() });
        findings.push(Finding { place: String::new(), message: without_location(error), position });
        return (findings, None);
    }
    findings.sort_by_key(|finding| finding.position);
    (findings, value)
}

/// The parser's words; the position is told before them.
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

/// The message with the place before it, where it does not name that itself.
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

/// Where the values of a file stand, by their way from the root.
#[derive(Debug, Default)]
pub struct Positions(BTreeMap<String, Position>);

impl Positions {
    /// Of a text; of one that is not YAML there are none.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut found = BTreeMap::new();
        if let Some(root) = tree::parse(text) {
            tree::positions(&root, &mut found);
        }
        Self(found)
    }

    /// Of the value at `place`, such as `hosts[2].address`, or of what it would stand in.
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
