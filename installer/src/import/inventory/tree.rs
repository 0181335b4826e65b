//! Inventories in YAML and JSON: groups that hold `hosts`, `vars` and `children`.
//!
//! Source: `plugins/inventory/yaml.py` of ansible-core 2.19.

use std::sync::Arc;

use super::data::{Data, MOST_HOSTS, Variable};
use super::pattern;
use super::value::{Node, Value};
use crate::import::{Remarks, SourceLine};

/// A limit on nested groups.
const DEEPEST: usize = 50;

struct Reader<'a> {
    data: &'a mut Data,
    file: &'a Arc<str>,
    remarks: &'a mut Remarks,
    problems: &'a mut Remarks,
}

/// Reads a file's groups into `data`. Reports an error in a group and continues with the next.
pub(super) fn read(whole: &Node, file: &Arc<str>, data: &mut Data, remarks: &mut Remarks, problems: &mut Remarks) {
    let mut reader = Reader { data, file, remarks, problems };
    if let Some(groups) = whole.value.entries() {
        for (name, group) in groups {
            reader.group(name, group, 0);
        }
    } else {
        reader.problem(whole.line, "an inventory in YAML is a mapping of groups, such as `all:`");
    }
}

impl Reader<'_> {
    fn place(&self, line: usize) -> SourceLine {
        SourceLine { file: self.file.clone(), line }
    }

    fn problem(&mut self, line: usize, message: impl Into<String>) {
        let place = self.place(line);
        self.problems.add(&place, message);
    }

    /// Reads a group and the groups below it; returns its index.
    fn group(&mut self, name: &str, node: &Node, depth: usize) -> Option<usize> {
        if name.is_empty() || depth > DEEPEST {
            self.problem(node.line, "a group has no name, or is nested too deeply");
            return None;
        }
        let entries = match &node.value {
            Value::Null => &[][..],
            Value::Map(entries) => entries,
            _ => {
                let place = self.place(node.line);
                self.remarks
                    .add(&place, format!("`{name}` is not a group, since it is not a mapping, and is left out"));
                return None;
            }
        };
        let index = self.data.add_group(name).map_err(|problem| self.problem(node.line, problem)).ok()?;
        for (key, section) in entries {
            match key.as_str() {
                "vars" => self.variables(name, section),
                "children" => self.children(index, section, depth),
                "hosts" => self.hosts(index, section),
                _ => {
                    let place = self.place(section.line);
                    let message = format!(
                        "`{key}` is left out; a group has `hosts`, `vars` and `children`, and `{key}` is none of them"
                    );
                    self.remarks.add(&place, message);
                }
            }
        }
        Some(index)
    }

    /// The entries of a section. A single name means an entry without a value.
    fn entries(&mut self, section: &Node) -> Vec<(String, Node)> {
        match &section.value {
            Value::Null => Vec::new(),
            Value::Map(entries) => entries.clone(),
            Value::Text(name) => vec![(name.clone(), Node { value: Value::Null, line: section.line })],
            _ => {
                self.problem(section.line, "`hosts`, `vars` and `children` are mappings, with `:` behind each name");
                Vec::new()
            }
        }
    }

    fn variables(&mut self, group: &str, section: &Node) {
        for (name, node) in self.entries(section) {
            let place = self.place(node.line);
            self.data.set_variable(group, &name, Variable { value: node.value, place });
        }
    }

    fn children(&mut self, parent: usize, section: &Node, depth: usize) {
        for (name, node) in self.entries(section) {
            if let Some(child) = self.group(&name, &node, depth + 1)
                && let Err(problem) = self.data.add_child(parent, child)
            {
                self.problem(node.line, problem);
            }
        }
    }

    fn hosts(&mut self, group: usize, section: &Node) {
        for (pattern, node) in self.entries(section) {
            if let Err(problem) = self.host(group, &pattern, &node) {
                self.problem(node.line, problem);
            }
        }
    }

    fn host(&mut self, group: usize, pattern: &str, node: &Node) -> Result<(), String> {
        let variables = match &node.value {
            Value::Map(entries) => &entries[..],
            other if other.is_empty() => &[],
            _ => return Err(format!("host `{pattern}` has a value that is not a mapping of variables")),
        };
        let (names, port) = pattern::expand(pattern, MOST_HOSTS)?;
        for name in names {
            self.data.add_host(&name, group, port, &self.place(node.line))?;
            for (variable, node) in variables {
                let variable_of_host = Variable { value: node.value.clone(), place: self.place(node.line) };
                self.data.set_variable(&name, variable, variable_of_host);
            }
        }
        Ok(())
    }
}
