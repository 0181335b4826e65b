//! Which host belongs to which groups, and which variables hold for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Remarks;
use super::file::{File, Value};

/// Groups that are there without a section.
const BUILT_IN: [&str; 2] = ["all", "ungrouped"];

/// What follows from the nesting of groups.
pub(super) struct Groups<'a> {
    /// The hosts of each group, those of its children included, by index.
    members: BTreeMap<&'a str, Vec<usize>>,
    /// The variables that hold for each host.
    variables: Vec<BTreeMap<&'a str, &'a Value>>,
}

impl Groups<'_> {
    /// The hosts in any of `groups`, each once.
    pub(super) fn members(&self, groups: &[&str]) -> Vec<usize> {
        let mut seen = BTreeSet::new();
        let all = groups.iter().filter_map(|group| self.members.get(group)).flatten();
        all.copied().filter(|host| seen.insert(*host)).collect()
    }

    /// What `name` is for a host, of all that its own line and its groups say.
    pub(super) fn variable(&self, host: usize, name: &str) -> Option<&Value> {
        self.variables[host].get(name).copied()
    }
}

/// Follows the nesting. Where it makes no sense, `problems` gets more.
pub(super) fn resolve<'a>(file: &'a File, problems: &mut Remarks) -> Groups<'a> {
    let order = order(file, problems);
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &(group, _) in order.iter().rev() {
        let Some(found) = file.groups.get(group) else { continue };
        let children = found.children.iter().filter_map(|(child, _)| members.get(child.as_str()));
        let all = found.hosts.iter().chain(children.flatten());
        let mut seen = BTreeSet::new();
        let all = all.copied().filter(|host| seen.insert(*host)).collect();
        members.insert(group, all);
    }
    members.insert("all", (0..file.hosts.len()).collect());

    // Ansible's precedence: outer groups first, then inner ones, equally deep ones by name, the host's own line last.
    let mut by_depth = order;
    by_depth.sort_by_key(|&(group, depth)| (group != "all", depth, group));
    let mut variables = vec![BTreeMap::new(); file.hosts.len()];
    for (group, _) in by_depth {
        for &host in members.get(group).into_iter().flatten() {
            let given = file.groups.get(group).into_iter().flat_map(|group| &group.variables);
            variables[host].extend(given.map(|(name, value)| (name.as_str(), value)));
        }
    }
    for (variables, host) in variables.iter_mut().zip(&file.hosts) {
        variables.extend(host.variables.iter().map(|(name, value)| (name.as_str(), value)));
    }
    Groups { members, variables }
}

/// Every group before its children, with its depth below the outermost.
fn order<'a>(file: &'a File, problems: &mut Remarks) -> Vec<(&'a str, usize)> {
    let defined = |group: &str| BUILT_IN.contains(&group) || file.groups.get(group).is_some_and(|group| group.line > 0);
    let mut parents: BTreeMap<&str, usize> = file.groups.keys().map(|group| (group.as_str(), 0)).collect();
    for (name, group) in &file.groups {
        for (child, line) in &group.children {
            if defined(child) {
                *parents.entry(child).or_default() += 1;
            } else {
                problems.add(
                    *line,
                    format!("group `{child}` has no section of its own; add `[{child}]`, empty if need be"),
                );
            }
        }
        if let Some(variable) = group.variables.values().next().filter(|_| !defined(name)) {
            problems.add(
                variable.line,
                format!("group `{name}` has variables and no hosts; add `[{name}]`, empty if need be"),
            );
        }
    }
    let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ready: VecDeque<&str> =
        parents.iter().filter(|(_, parents)| **parents == 0).map(|(group, _)| *group).collect();
    let mut order = Vec::new();
    while let Some(group) = ready.pop_front() {
        let depth = depths.get(group).copied().unwrap_or_default();
        order.push((group, depth));
        for (child, _) in file.groups.get(group).into_iter().flat_map(|group| &group.children) {
            let Some(left) = parents.get_mut(child.as_str()) else { continue };
            let deepest = depths.entry(child).or_default();
            *deepest = (*deepest).max(depth + 1);
            *left -= 1;
            if *left == 0 {
                ready.push_back(child);
            }
        }
    }
    for (group, _) in parents.iter().filter(|(_, left)| **left > 0) {
        let line = file.groups.get(*group).map_or(0, |group| group.line);
        problems
            .add(line, format!("group `{group}` is, by way of its children, a child of itself, or below one that is"));
    }
    order
}
