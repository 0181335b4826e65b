//! YAML documents of other tools, read key by key, so that the keys that no reader asked for can be listed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use super::{Remarks, Resolver, Settings, SourceLine, resolve};
use crate::config::{DnsName, Ssh};
use crate::import::inventory::value::{Node, Value};

/// One document.
pub(super) struct Document(Node);

/// The documents of a file.
pub(super) struct Documents(pub(super) Vec<Document>);

impl Documents {
    pub(super) fn of(nodes: Vec<Node>) -> Self {
        Self(nodes.into_iter().map(Document).collect())
    }
}

impl Document {
    pub(super) fn api_version(&self) -> Option<&str> {
        self.text_of("apiVersion")
    }

    pub(super) fn kind(&self) -> Option<&str> {
        self.text_of("kind")
    }

    fn text_of(&self, key: &str) -> Option<&str> {
        if let Value::Text(text) = &self.0.value.get(key)?.value { Some(text) } else { None }
    }

    pub(super) fn section(&self) -> Section<'_> {
        Section { path: String::new(), node: Some(&self.0), asked: RefCell::default() }
    }
}

/// A mapping of a document, or one that is absent.
pub(super) struct Section<'a> {
    path: String,
    node: Option<&'a Node>,
    asked: RefCell<BTreeSet<String>>,
}

/// The shared state of readers of documents.
pub(super) struct Reader<'a> {
    pub resolver: Resolver<'a>,
    pub remarks: Remarks,
    pub problems: Remarks,
    pub settings: Settings,
    /// Keys that are left out, by reason.
    left: BTreeMap<&'static str, (BTreeSet<String>, BTreeSet<usize>)>,
}

pub(super) const NO_SETTING: &str = "kinstall does not import this field";
pub(super) const VERSION: &str = "the bundle decides the version of Kubernetes; build it with `--k8s VERSION`";

impl<'a> Section<'a> {
    /// The path of a key, without the numbers of lists.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn line(&self) -> usize {
        self.node.map_or(0, |node| node.line)
    }

    pub(super) fn is_given(&self) -> bool {
        self.node.is_some_and(|node| !node.value.is_empty())
    }

    /// A key's value, if it is there and not empty.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.node?.value.get(key).filter(|node| !node.value.is_empty())
    }

    pub(super) fn section(&self, key: &str) -> Section<'a> {
        Section { path: self.path(key), node: self.get(key), asked: RefCell::default() }
    }

    pub(super) fn sections(&self, key: &str) -> Vec<Section<'a>> {
        let items = self.get(key).and_then(|node| node.value.items()).unwrap_or_default();
        let path = format!("{}[]", self.path(key));
        items.iter().map(|node| Section { path: path.clone(), node: Some(node), asked: RefCell::default() }).collect()
    }

    /// The texts of a list, or of a single value.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        let Some(node) = self.get(key) else { return Vec::new() };
        match node.value.items() {
            Some(items) => items.iter().filter_map(|node| node.value.filled_text()).collect(),
            None => node.value.filled_text().into_iter().collect(),
        }
    }

    pub(super) fn truth(&self, key: &str) -> Option<bool> {
        self.get(key)?.value.truth()
    }

    /// The keys that no reader asked for.
    fn rest(&self) -> Vec<(String, usize)> {
        let entries = self.node.and_then(|node| node.value.entries()).unwrap_or_default();
        let asked = self.asked.borrow();
        let rest = entries.iter().filter(|(key, node)| !asked.contains(key) && !node.value.is_empty());
        rest.map(|(key, node)| (self.path(key), node.line)).collect()
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(resolver: Resolver<'a>) -> Self {
        Self {
            resolver,
            remarks: Remarks::default(),
            problems: Remarks::default(),
            settings: Settings::default(),
            left: BTreeMap::new(),
        }
    }

    pub(super) fn remark(&mut self, line: usize, message: impl Into<String>) {
        self.remarks.add(&SourceLine { file: "".into(), line }, message);
    }

    pub(super) fn problem(&mut self, line: usize, message: impl Into<String>) {
        self.problems.add(&SourceLine { file: "".into(), line }, message);
    }

    /// Leaves out a key that is there.
    pub(super) fn leave(&mut self, section: &Section<'_>, key: &str, reason: &'static str) {
        if let Some(node) = section.get(key).filter(|node| node.value != Value::Bool(false)) {
            let (keys, lines) = self.left.entry(reason).or_default();
            keys.insert(format!("`{}`", section.path(key)));
            lines.insert(node.line);
        }
    }

    /// Leaves out every key that no reader asked for.
    pub(super) fn leave_rest(&mut self, section: &Section<'_>) {
        for (path, line) in section.rest() {
            let (keys, lines) = self.left.entry(NO_SETTING).or_default();
            keys.insert(format!("`{path}`"));
            lines.insert(line);
        }
    }

    /// Reports what was left out. It has to be called last.
    pub(super) fn tell_what_is_left(&mut self) {
        for (reason, (keys, lines)) in std::mem::take(&mut self.left) {
            let keys: Vec<_> = keys.into_iter().collect();
            let message = format!("left out: {}: {reason}", keys.join(", "));
            for line in lines {
                self.remark(line, message.as_str());
            }
        }
    }

    /// A key's text. A text that only the other tool can complete from its environment is refused.
    pub(super) fn text(&mut self, section: &Section<'_>, key: &str) -> Option<String> {
        let node = section.get(key)?;
        let text = node.value.filled_text();
        match &text {
            None => self.problem(node.line, format!("`{}` is not a text", section.path(key))),
            Some(text) if text.contains('$') || text.contains("{{") => {
                let message =
                    format!("`{}` is filled in from elsewhere, `{text}`; write the value itself", section.path(key));
                self.problem(node.line, message);
                return None;
            }
            Some(_) => {}
        }
        text
    }

    pub(super) fn number(&mut self, section: &Section<'_>, key: &str) -> Option<u16> {
        let node = section.get(key)?;
        let number = node.value.integer().and_then(|number| u16::try_from(number).ok());
        if number.is_none() {
            self.problem(node.line, format!("`{}` is not a number between 0 and 65535", section.path(key)));
        }
        number
    }

    /// Sets `target` to a key's text, which has to parse as a `T`.
    pub(super) fn set<T: FromStr<Err: Display> + serde::Serialize>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        target: &str,
    ) {
        let Some(text) = self.text(section, key) else { return };
        match text.parse::<T>() {
            Ok(value) => self.settings.set(target, value),
            Err(error) => {
                let line = section.get(key).map_or(0, |node| node.line);
                self.problem(line, format!("`{}`: {error}", section.path(key)));
            }
        }
    }

    /// An IPv4 address, or the address that a name resolves to.
    pub(super) fn address(&mut self, text: &str, line: usize) -> Option<std::net::Ipv4Addr> {
        if let Ok(address) = text.parse() {
            return Some(address);
        }
        let found = resolve(text, self.resolver);
        if let Some(address) = found {
            self.remark(line, format!("`{text}` has the address that its name resolves to here, {address}"));
        } else {
            self.problem(line, format!("`{text}` is not an IPv4 address, and resolves to none here"));
        }
        found
    }

    /// A node's name, made from the text that names the host.
    pub(super) fn node_name(&mut self, text: &str, line: usize) -> Option<DnsName> {
        let name = if text.parse::<std::net::Ipv4Addr>().is_ok() {
            let message = "a node cannot be named as an address: hosts without a name are called `node-` and their address with `-`";
            self.remark(line, message);
            format!("node-{}", text.replace('.', "-"))
        } else {
            text.to_owned()
        };
        let parsed = name.parse();
        if parsed.is_err() {
            self.problem(line, format!("`{name}` cannot name a node; lowercase letters, digits, `-` and `.` can"));
        }
        parsed.ok()
    }
}

/// The jump host, as `ssh -J` takes it.
pub(super) fn jump(ssh: &Ssh) -> Option<String> {
    let address = ssh.address.as_ref()?;
    let user = ssh.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
    let port = ssh.port.map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{user}{address}{port}"))
}
