//! The variables of a host, from its own lines, its groups and the files beside the inventory.
//!
//! Ansible's order (`VARIABLE_PRECEDENCE` and `vars/manager.py` of ansible-core 2.19): `all` in the inventory, the other groups
//! in it, `group_vars/all`, `group_vars` of the other groups, the host in the inventory, `host_vars`. What comes later wins.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::data::{ALL, Data, Group, Variable, Variables};
use super::files::{Kind, VariableFiles};
use super::template::{self, Filled};
use super::value::Value;

/// An inventory's hosts with all their variables.
pub(super) struct Groups<'a> {
    pub data: &'a Data,
    /// Variables from files, of each group and of each host.
    group_files: Vec<Variables>,
    host_files: Vec<Variables>,
    /// The groups of each host without `all`. The last one wins.
    order: Vec<Vec<usize>>,
    /// Variables that templates refer to.
    used: RefCell<BTreeSet<String>>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(data: &'a Data, files: &mut VariableFiles<'_>) -> Self {
        // Ansible reads no files of a group without hosts.
        let of_group = |(index, group): (usize, &Group)| {
            if data.members(index).is_empty() { Variables::new() } else { files.load(Kind::Group, &group.name) }
        };
        let group_files = data.groups.iter().enumerate().map(of_group).collect();
        let host_files = data.hosts.iter().map(|host| files.load(Kind::Host, &host.name)).collect();
        let order = (0..data.hosts.len()).map(|host| data.groups_of(host)).collect();
        Self { data, group_files, host_files, order, used: RefCell::default() }
    }

    /// The hosts in any of these groups, each once.
    pub(super) fn members(&self, names: &[&str]) -> Vec<usize> {
        let mut found = Vec::new();
        for group in names.iter().filter_map(|name| self.data.group(name)) {
            let members = self.data.members(group);
            found.extend(members.into_iter().filter(|host| !found.contains(host)).collect::<Vec<_>>());
        }
        found
    }

    /// The value of `name` for a host, as it is written.
    pub(super) fn written(&self, host: usize, name: &str) -> Option<&Variable> {
        let own = [&self.host_files[host], &self.data.hosts[host].variables];
        let groups = self.order[host].iter().rev();
        let of_files = groups.clone().map(|&group| &self.group_files[group]);
        let of_inventory = groups.map(|&group| &self.data.groups[group].variables);
        let layers = own.into_iter().chain(of_files).chain([&self.group_files[ALL]]).chain(of_inventory);
        layers.chain([&self.data.groups[ALL].variables]).find_map(|variables| variables.get(name))
    }

    /// The value of `name` for a host, with templates of other variables filled in.
    pub(super) fn variable(&self, host: usize, name: &str) -> Option<(Variable, Filled)> {
        let variable = self.written(host, name)?;
        let known = |name: &str| match name {
            "inventory_hostname" => Some(Value::Text(self.data.hosts[host].name.clone())),
            "inventory_hostname_short" => {
                self.data.hosts[host].name.split('.').next().map(|short| Value::Text(short.to_owned()))
            }
            _ => {
                self.used.borrow_mut().insert(name.to_owned());
                self.written(host, name).map(|variable| variable.value.clone())
            }
        };
        let (value, filled) = template::fill(&variable.value, &known);
        Some((Variable { value, place: variable.place.clone() }, filled))
    }

    /// Whether a template of a variable that was read refers to this one.
    pub(super) fn was_used(&self, name: &str) -> bool {
        self.used.borrow().contains(name)
    }

    /// Every variable as it is written, on hosts, in groups and in files.
    pub(super) fn assignments(&self) -> BTreeMap<&String, Vec<&Variable>> {
        let inventory = self.data.groups.iter().map(|group| &group.variables);
        let inventory = inventory.chain(self.data.hosts.iter().map(|host| &host.variables));
        let mut all: BTreeMap<&String, Vec<&Variable>> = BTreeMap::new();
        for (name, variable) in inventory.chain(&self.group_files).chain(&self.host_files).flatten() {
            all.entry(name).or_default().push(variable);
        }
        all
    }
}
