//! Shared by the readers of an inventory: its variables, remarks and problems.

use super::data::Variable;
use super::groups::Groups;
use super::template::Filled;
use super::value::Value;
use crate::import::{Remarks, Resolver, SourceLine};

/// An inventory being read.
pub(super) struct Reading<'a> {
    pub groups: &'a Groups<'a>,
    pub resolver: Resolver<'a>,
    pub remarks: &'a mut Remarks,
    pub problems: &'a mut Remarks,
}

/// A variable's text.
pub(super) struct FoundText {
    pub text: String,
    pub place: SourceLine,
}

impl Reading<'_> {
    /// The value of a variable for a host. A template that only Ansible can fill in is refused, and so is an encrypted value.
    pub(super) fn value(&mut self, host: usize, name: &str) -> Option<Variable> {
        let (variable, filled) = self.groups.variable(host, name)?;
        if filled == Filled::NeedsAnsible {
            let message = format!("`{name}` is a template that only Ansible can fill in; write the value itself");
            self.problems.add(&variable.place, message);
            return None;
        }
        if variable.value == Value::Vault {
            let message = format!("`{name}` is encrypted by `ansible-vault`; write the value itself");
            self.problems.add(&variable.place, message);
            return None;
        }
        Some(variable)
    }

    /// Whether a variable was refused because of its template.
    pub(super) fn needs_ansible(&self, host: usize, name: &str) -> bool {
        let found = self.groups.variable(host, name);
        found.is_some_and(|(variable, filled)| filled == Filled::NeedsAnsible || variable.value == Value::Vault)
    }

    /// The text of the first of these variables that a host has. Empty ones count as absent, as in Ansible.
    pub(super) fn text(&mut self, host: usize, names: &[&str]) -> Option<FoundText> {
        let name =
            names.iter().find(|name| self.groups.written(host, name).is_some_and(|found| !found.value.is_empty()))?;
        let Variable { value, place } = self.value(host, name)?;
        let text = value.filled_text();
        if text.is_none() && !value.is_empty() {
            self.problems.add(&place, format!("`{name}` is not a text"));
        }
        Some(FoundText { text: text?, place })
    }
}
