//! Ansible's INI dialect: sections of hosts, of child groups and of variables.
//!
//! As Ansible's `plugins/inventory/ini.py` reads it: comments begin with `#` or `;`; a host's line is split as a shell would, its
//! first word may hold ranges and a port; a variable's line is split at its first `=`.

use std::collections::BTreeMap;

use super::Remarks;
use super::pattern;

/// More than Kubernetes carries by far; a limit so that a range cannot fill the memory.
pub(super) const MOST_HOSTS: usize = 10_000;
const MOST_GROUPS: usize = 1_000;
const MOST_MEMBERSHIPS: usize = 100_000;

/// A variable's value, and the line that it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub text: String,
    pub line: usize,
}

pub(super) type Variables = BTreeMap<String, Value>;

/// An inventory as it is written.
#[derive(Debug, Default)]
pub(super) struct File {
    pub hosts: Vec<Host>,
    pub groups: BTreeMap<String, Group>,
    by_name: BTreeMap<String, usize>,
    memberships: usize,
}

/// A host, with the variables on its own lines.
#[derive(Debug)]
pub(super) struct Host {
    pub name: String,
    /// Where it is first named.
    pub line: usize,
    pub variables: Variables,
}

/// A group, with what its own sections say.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Where it begins; 0 for one that is only spoken of.
    pub line: usize,
    /// Indices into [`File::hosts`].
    pub hosts: Vec<usize>,
    /// Names of groups, and the lines that they are on.
    pub children: Vec<(String, usize)>,
    pub variables: Variables,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Hosts,
    Children,
    Variables,
}

/// Reads all lines; what is wrong with one is told, and the next is read.
pub(super) fn read(text: &str, problems: &mut Remarks) -> File {
    let mut file = File::default();
    if let Some(line) = yaml(text) {
        problems.add(line, "this is an inventory in YAML; only the INI form (inventory.ini) is read, with the same groups and variables");
        return file;
    }
    // What stands before the first section belongs to no group.
    let mut place = Some(("ungrouped".to_owned(), Section::Hosts));
    let lines = text.lines().map(str::trim);
    for (line, text) in (1..).zip(lines).filter(|(_, text)| !text.is_empty() && !text.starts_with(['#', ';'])) {
        let result = if text.starts_with('[') {
            header(text)
                .and_then(|(group, section)| file.begin(group, section, line))
                .map(|begun| place = Some(begun))
                .inspect_err(|_| {
                    // What follows belongs to nothing known.
                    place = None;
                })
        } else {
            match &place {
                Some((group, section)) => file.line(group, *section, text, line),
                None => Ok(()),
            }
        };
        if let Err(problem) = result {
            problems.add(line, problem);
        }
    }
    file
}

/// The line that Kubespray's inventories in YAML begin with.
fn yaml(text: &str) -> Option<usize> {
    let first = (1..).zip(text.lines()).find(|(_, line)| !line.trim().is_empty() && !line.starts_with(['#', '-']));
    first.filter(|(_, line)| line.trim_end() == "all:").map(|(line, _)| line)
}

/// Reads `[group]`, `[group:children]` or `[group:vars]`.
fn header(text: &str) -> Result<(&str, Section), String> {
    let inner = text[1..].split_once(']').filter(|(_, rest)| {
        let rest = rest.trim_start();
        rest.is_empty() || rest.starts_with('#')
    });
    let Some((inner, _)) = inner else { return Err("a section is written `[group]`".to_owned()) };
    let (group, kind) = inner.split_once(':').map_or((inner, None), |(group, kind)| (group, Some(kind)));
    if group.is_empty() || group.contains(char::is_whitespace) {
        return Err("a section needs the name of a group, without spaces".to_owned());
    }
    match kind {
        None => Ok((group, Section::Hosts)),
        Some("children") => Ok((group, Section::Children)),
        Some("vars") => Ok((group, Section::Variables)),
        Some(other) => Err(format!("a section `:{other}` is not known; there are `:children` and `:vars`")),
    }
}

impl File {
    fn begin(&mut self, group: &str, section: Section, line: usize) -> Result<(String, Section), String> {
        if self.groups.len() >= MOST_GROUPS && !self.groups.contains_key(group) {
            return Err(format!("there are more than {MOST_GROUPS} groups"));
        }
        let entry = self.groups.entry(group.to_owned()).or_default();
        if section != Section::Variables && entry.line == 0 {
            entry.line = line;
        }
        Ok((group.to_owned(), section))
    }

    fn line(&mut self, group: &str, section: Section, text: &str, line: usize) -> Result<(), String> {
        match section {
            Section::Hosts => self.hosts_line(group, text, line),
            Section::Children => {
                let child = text.split('#').next().unwrap_or_default().trim();
                if child.contains([' ', '\t', ':', '=']) {
                    return Err("a child is the name of a group alone".to_owned());
                }
                self.groups.entry(group.to_owned()).or_default().children.push((child.to_owned(), line));
                Ok(())
            }
            Section::Variables => {
                let (name, value) = text.split_once('=').ok_or("a variable is written `name=value`")?;
                let value = Value { text: literal(value.trim()).to_owned(), line };
                self.groups.entry(group.to_owned()).or_default().variables.insert(name.trim().to_owned(), value);
                Ok(())
            }
        }
    }

    fn hosts_line(&mut self, group: &str, text: &str, line: usize) -> Result<(), String> {
        let words = shlex::split(text).ok_or("a quotation mark is not closed")?;
        let Some((first, rest)) = words.split_first() else { return Ok(()) };
        let mut variables = Variables::new();
        let (names, port) = pattern::expand(first, MOST_HOSTS)?;
        if let Some(port) = port {
            variables.insert("ansible_port".to_owned(), Value { text: port, line });
        }
        for word in rest {
            let (name, value) = word.split_once('=').ok_or("a host's variable is written `name=value`")?;
            variables.insert(name.to_owned(), Value { text: literal(value).to_owned(), line });
        }
        self.memberships += names.len();
        if self.memberships > MOST_MEMBERSHIPS {
            return Err(format!("the groups have more than {MOST_MEMBERSHIPS} members together"));
        }
        for name in names {
            let host = self.host(name, line)?;
            self.hosts[host].variables.extend(variables.clone());
            self.groups.entry(group.to_owned()).or_default().hosts.push(host);
        }
        Ok(())
    }

    /// The index of a host, which is new or not.
    fn host(&mut self, name: String, line: usize) -> Result<usize, String> {
        if let Some(&known) = self.by_name.get(&name) {
            return Ok(known);
        }
        if self.hosts.len() >= MOST_HOSTS {
            return Err(format!("there are more than {MOST_HOSTS} hosts"));
        }
        self.by_name.insert(name.clone(), self.hosts.len());
        self.hosts.push(Host { name, line, variables: Variables::new() });
        Ok(self.hosts.len() - 1)
    }

    /// Every variable as it is written, on hosts and in groups.
    pub(super) fn assignments(&self) -> impl Iterator<Item = (&String, &Value)> {
        let hosts = self.hosts.iter().flat_map(|host| &host.variables);
        hosts.chain(self.groups.values().flat_map(|group| &group.variables))
    }
}

/// The text of a Python literal, which Ansible takes values for where it can: without quotation marks, and numbers and truth
/// values without a comment.
fn literal(text: &str) -> &str {
    let ends = |rest: &str| rest.trim_start().is_empty() || rest.trim_start().starts_with('#');
    for quote in ['\'', '"'] {
        let quoted = text.strip_prefix(quote).and_then(|rest| rest.split_once(quote));
        if let Some((inner, _)) = quoted.filter(|(_, rest)| ends(rest)) {
            return inner;
        }
    }
    match text.split_once('#') {
        Some((value, _)) if value.trim().parse::<i64>().is_ok() || ["True", "False"].contains(&value.trim()) => {
            value.trim()
        }
        _ => text,
    }
}
