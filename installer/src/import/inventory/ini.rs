//! Ansible's INI dialect: sections of hosts, of child groups and of variables.
//!
//! Source: `plugins/inventory/ini.py` of ansible-core 2.19. Comments begin with `#` or `;`; a host's line is split as Python's `shlex`
//! does, its first word may hold ranges and a port; a variable's line is split at its first `=`; values that are Python literals are read
//! as such.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::data::{Data, MOST_HOSTS, Variable};
use super::words::{Comments, split};
use super::{literal, pattern};
use crate::import::{Remarks, SourceLine};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Hosts,
    Children,
    Variables,
}

struct Reader<'a> {
    data: &'a mut Data,
    /// Groups that are named before their own section: the line, and the groups that have them as a child.
    pending: BTreeMap<String, (SourceLine, Vec<usize>)>,
}

/// Reads all lines into `data`. Reports an error in a line and continues with the next.
pub(super) fn read(text: &str, file: &Arc<str>, data: &mut Data, problems: &mut Remarks) {
    let mut reader = Reader { data, pending: BTreeMap::new() };
    // Lines before the first section belong to no group.
    let mut state = Some(("ungrouped".to_owned(), Section::Hosts));
    let lines = text.lines().map(str::trim);
    for (line, text) in (1..).zip(lines).filter(|(_, text)| !text.is_empty() && !text.starts_with(['#', ';'])) {
        let place = SourceLine { file: file.clone(), line };
        let result = match (header(text), &state) {
            (Ok(Some((group, section))), _) => {
                state = Some((group.to_owned(), section));
                reader.begin(group, section, &place)
            }
            (Err(problem), _) => {
                // The lines that follow belong to no known section.
                state = None;
                Err(problem)
            }
            (Ok(None), Some((group, section))) => reader.line(group, *section, text, &place),
            (Ok(None), None) => Ok(()),
        };
        if let Err(problem) = result {
            problems.add(&place, problem);
        }
    }
    for (group, (place, parents)) in reader.pending {
        let problem = if parents.is_empty() {
            format!("group `{group}` has variables and no hosts; add `[{group}]`, even if it is empty")
        } else {
            format!("group `{group}` has no section of its own; add `[{group}]`, even if it is empty")
        };
        problems.add(&place, problem);
    }
}

/// Reads `[group]`, `[group:children]` or `[group:vars]`; `None` if the line is not a section.
fn header(text: &str) -> Result<Option<(&str, Section)>, String> {
    if !text.starts_with('[') {
        return Ok(None);
    }
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
        None | Some("hosts") => Ok(Some((group, Section::Hosts))),
        Some("children") => Ok(Some((group, Section::Children))),
        Some("vars") => Ok(Some((group, Section::Variables))),
        Some(other) => Err(format!("a section `:{other}` is not known; there are `:children` and `:vars`")),
    }
}

impl Reader<'_> {
    fn begin(&mut self, group: &str, section: Section, place: &SourceLine) -> Result<(), String> {
        let is_new = self.data.group(group).is_none();
        let index = self.data.add_group(group)?;
        if section == Section::Variables {
            if is_new && !self.pending.contains_key(group) {
                self.pending.insert(group.to_owned(), (place.clone(), Vec::new()));
            }
            return Ok(());
        }
        let parents = self.pending.remove(group).map_or_else(Vec::new, |(_, parents)| parents);
        parents.into_iter().try_for_each(|parent| self.data.add_child(parent, index))
    }

    fn line(&mut self, group: &str, section: Section, text: &str, place: &SourceLine) -> Result<(), String> {
        match section {
            Section::Hosts => self.hosts(group, text, place),
            Section::Children => self.child(group, text, place),
            Section::Variables => {
                let (name, value) = text.split_once('=').ok_or("a variable is written `name=value`")?;
                let value = literal::value(value.trim(), place.line);
                self.data.set_variable(group, name.trim(), Variable { value, place: place.clone() });
                Ok(())
            }
        }
    }

    fn child(&mut self, group: &str, text: &str, place: &SourceLine) -> Result<(), String> {
        let child = text.split('#').next().unwrap_or_default().trim();
        if child.is_empty() || child.contains([':', ']']) || child.contains(char::is_whitespace) {
            return Err("a child is the name of a group alone".to_owned());
        }
        let parent = self.data.add_group(group)?;
        match (self.pending.get_mut(child), self.data.group(child)) {
            (Some((_, parents)), _) => parents.push(parent),
            (None, Some(child)) => self.data.add_child(parent, child)?,
            (None, None) => {
                self.pending.insert(child.to_owned(), (place.clone(), vec![parent]));
            }
        }
        Ok(())
    }

    fn hosts(&mut self, group: &str, text: &str, place: &SourceLine) -> Result<(), String> {
        let words = split(text, Comments::Skipped)?;
        let Some((first, rest)) = words.split_first() else { return Ok(()) };
        let (names, port) = pattern::expand(first, MOST_HOSTS)?;
        let assignments = rest.iter().map(|word| {
            let (name, value) = word.split_once('=').ok_or("a host's variable is written `name=value`")?;
            Ok((name, Variable { value: literal::value(value, place.line), place: place.clone() }))
        });
        let assignments = assignments.collect::<Result<Vec<_>, &str>>()?;
        let group = self.data.add_group(group)?;
        for name in names {
            self.data.add_host(&name, group, port, place)?;
            for (variable, value) in &assignments {
                self.data.set_variable(&name, variable, value.clone());
            }
        }
        Ok(())
    }
}
