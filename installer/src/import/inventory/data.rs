//! Hosts and groups as Ansible keeps them. A file is entered line by line; the effects of nested groups are computed last
//! ([`Data::finish`]).
//!
//! Source: `inventory/data.py`, `group.py` and `host.py` of ansible-core 2.19.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::value::Value;
use crate::import::{Remarks, SourceLine};

/// Far more than Kubernetes supports. The limit keeps a range from filling the memory.
pub(super) const MOST_HOSTS: usize = 10_000;
const MOST_GROUPS: usize = 1_000;
const MOST_MEMBERSHIPS: usize = 100_000;

/// The index of the group `all`, which every host is in.
pub(super) const ALL: usize = 0;
/// The index of the group `ungrouped`: hosts that are in no other group.
const UNGROUPED: usize = 1;

/// A variable's value, and the line that sets it.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub value: Value,
    pub place: SourceLine,
}

pub(super) type Variables = BTreeMap<String, Variable>;

/// A host, with the variables on its own lines.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub name: String,
    /// The line that names it first.
    pub place: SourceLine,
    pub variables: Variables,
    /// The groups that name it, by index.
    groups: BTreeSet<usize>,
}

/// A group, with the content of its own sections.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub name: String,
    pub variables: Variables,
    /// Indices, in the order of the file.
    hosts: Vec<usize>,
    children: Vec<usize>,
    parents: BTreeSet<usize>,
    /// `ansible_group_priority`.
    priority: i64,
    /// Its depth below `all`, by the longest path.
    depth: usize,
}

/// An inventory's hosts and groups.
#[derive(Clone, Debug)]
pub(super) struct Data {
    pub hosts: Vec<Host>,
    pub groups: Vec<Group>,
    host_index: BTreeMap<String, usize>,
    group_index: BTreeMap<String, usize>,
    memberships: usize,
}

impl Data {
    pub(super) fn new() -> Self {
        let mut data = Self {
            hosts: Vec::new(),
            groups: Vec::new(),
            host_index: BTreeMap::new(),
            group_index: BTreeMap::new(),
            memberships: 0,
        };
        for name in ["all", "ungrouped"] {
            data.push_group(name);
        }
        data.groups[ALL].children.push(UNGROUPED);
        data.groups[UNGROUPED].parents.insert(ALL);
        data
    }

    pub(super) fn group(&self, name: &str) -> Option<usize> {
        self.group_index.get(name).copied()
    }

    pub(super) fn host(&self, name: &str) -> Option<usize> {
        self.host_index.get(name).copied()
    }

    fn push_group(&mut self, name: &str) -> usize {
        self.group_index.insert(name.to_owned(), self.groups.len());
        self.groups.push(Group {
            name: name.to_owned(),
            variables: Variables::new(),
            hosts: Vec::new(),
            children: Vec::new(),
            parents: BTreeSet::new(),
            priority: 1,
            depth: 0,
        });
        self.groups.len() - 1
    }

    /// The index of a group. Adds the group if it is new.
    pub(super) fn add_group(&mut self, name: &str) -> Result<usize, String> {
        if let Some(known) = self.group(name) {
            return Ok(known);
        }
        if self.groups.len() >= MOST_GROUPS {
            return Err(format!("there are more than {MOST_GROUPS} groups"));
        }
        Ok(self.push_group(name))
    }

    /// Adds a host to a group. The port counts only if the host is new.
    pub(super) fn add_host(
        &mut self,
        name: &str,
        group: usize,
        port: Option<i64>,
        place: &SourceLine,
    ) -> Result<(), String> {
        let host = match self.host(name) {
            Some(known) => known,
            None if self.hosts.len() >= MOST_HOSTS => return Err(format!("there are more than {MOST_HOSTS} hosts")),
            None => {
                self.host_index.insert(name.to_owned(), self.hosts.len());
                let port = port.map(|port| Variable { value: Value::Int(port.into()), place: place.clone() });
                let variables = port.map(|port| ("ansible_port".to_owned(), port)).into_iter().collect();
                let groups = BTreeSet::new();
                self.hosts.push(Host { name: name.to_owned(), place: place.clone(), variables, groups });
                self.hosts.len() - 1
            }
        };
        self.memberships += 1;
        if self.memberships > MOST_MEMBERSHIPS {
            return Err(format!("the groups have more than {MOST_MEMBERSHIPS} members together"));
        }
        if self.hosts[host].groups.insert(group) {
            self.groups[group].hosts.push(host);
        }
        Ok(())
    }

    /// Sets a variable of the group with that name, or else of the host: if both exist, Ansible takes the group.
    pub(super) fn set_variable(&mut self, entity: &str, name: &str, variable: Variable) {
        let variables = if let Some(group) = self.group(entity) {
            let group = &mut self.groups[group];
            if name == "ansible_group_priority" {
                group.priority = variable.value.integer().unwrap_or(group.priority);
                return;
            }
            &mut group.variables
        } else if let Some(host) = self.host(entity) {
            &mut self.hosts[host].variables
        } else {
            return;
        };
        variables.insert(name.to_owned(), variable);
    }

    /// Makes a group the child of another.
    pub(super) fn add_child(&mut self, parent: usize, child: usize) -> Result<(), String> {
        if parent == child || self.ancestors(&[parent]).contains(&child) {
            return Err(format!("group `{}` is a child of itself, through its children", self.groups[child].name));
        }
        if self.groups[child].parents.insert(parent) {
            self.groups[parent].children.push(child);
        }
        Ok(())
    }

    /// The groups above these.
    fn ancestors(&self, groups: &[usize]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut ready: Vec<_> = groups.to_vec();
        while let Some(group) = ready.pop() {
            ready.extend(self.groups[group].parents.iter().filter(|parent| found.insert(**parent)));
        }
        found
    }

    /// Completes the groups after all files are read: every group is below `all`, and every host is in `all` or `ungrouped`.
    pub(super) fn finish(&mut self, problems: &mut Remarks) {
        if self.ancestors(&[ALL]).contains(&ALL) || !self.groups[ALL].parents.is_empty() {
            problems.add_whole("group `all` is a child of another group, and it is above all of them");
            return;
        }
        for group in 1..self.groups.len() {
            if self.groups[group].parents.is_empty() {
                self.groups[group].parents.insert(ALL);
                self.groups[ALL].children.push(group);
            }
        }
        for host in 0..self.hosts.len() {
            let groups: Vec<_> = self.hosts[host].groups.iter().copied().collect();
            let elsewhere =
                groups.iter().chain(&self.ancestors(&groups)).any(|group| ![ALL, UNGROUPED].contains(group));
            if elsewhere && self.hosts[host].groups.remove(&UNGROUPED) {
                self.groups[UNGROUPED].hosts.retain(|&other| other != host);
            } else if !elsewhere && !self.hosts[host].groups.contains(&UNGROUPED) {
                self.put_below_ungrouped(host, problems);
            }
        }
        self.measure_depths();
    }

    /// Ansible takes the name for a group if there is one.
    fn put_below_ungrouped(&mut self, host: usize, problems: &mut Remarks) {
        let Some(group) = self.group(&self.hosts[host].name) else {
            self.hosts[host].groups.insert(UNGROUPED);
            self.groups[UNGROUPED].hosts.push(host);
            return;
        };
        if let Err(problem) = self.add_child(UNGROUPED, group) {
            problems.add(&self.hosts[host].place, problem);
        }
    }

    fn measure_depths(&mut self) {
        let mut waiting: Vec<_> = self.groups.iter().map(|group| group.parents.len()).collect();
        let mut ready = VecDeque::from([ALL]);
        while let Some(group) = ready.pop_front() {
            let below = self.groups[group].depth + 1;
            for child in self.groups[group].children.clone() {
                self.groups[child].depth = self.groups[child].depth.max(below);
                waiting[child] -= 1;
                if waiting[child] == 0 {
                    ready.push_back(child);
                }
            }
        }
    }

    /// A group's hosts, its own first and then those of the groups below it.
    pub(super) fn members(&self, group: usize) -> Vec<usize> {
        let mut seen_groups = BTreeSet::from([group]);
        let mut seen = BTreeSet::new();
        let mut ready = VecDeque::from([group]);
        let mut members = Vec::new();
        while let Some(group) = ready.pop_front() {
            members.extend(self.groups[group].hosts.iter().filter(|host| seen.insert(**host)));
            ready.extend(self.groups[group].children.iter().filter(|child| seen_groups.insert(**child)));
        }
        members
    }

    /// The groups of a host without `all`, ordered by depth, priority and name. The last one wins.
    pub(super) fn groups_of(&self, host: usize) -> Vec<usize> {
        let own: Vec<_> = self.hosts[host].groups.iter().copied().collect();
        let mut groups = self.ancestors(&own);
        groups.extend(own);
        groups.remove(&ALL);
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|&group| (self.groups[group].depth, self.groups[group].priority, &self.groups[group].name));
        groups
    }
}
