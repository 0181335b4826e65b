//! Reads Kubespray's inventory as a cluster: hosts from Ansible's groups, and Kubespray's variables.
//!
//! The flow: files ([`files`]) → hosts and groups as Ansible keeps them ([`data`], filled by [`ini`] or [`tree`]) → the variables of each
//! host ([`groups`]) → what Kubespray means by them ([`hosts`], [`ssh`], [`variables`]). A test compares the first three with the real
//! `ansible-inventory` (`ci/ansible`).

mod data;
mod files;
mod groups;
mod hosts;
mod ini;
mod literal;
mod pattern;
mod reading;
mod ssh;
mod ssh_arguments;
mod stack;
mod template;
mod tree;
pub(crate) mod value;
mod variables;
mod words;
pub(crate) mod yaml;

use std::path::Path;

use data::Data;
use files::VariableFiles;
use groups::Groups;
use reading::Reading;

use crate::import::{ImportError, Imported, Remarks, Resolver, take_common};

pub use variables::{Fate, Row, fate, rows as variable_rows};

/// Reads an inventory: a file or a folder, with `group_vars` and `host_vars` beside it.
pub fn read(path: &Path, resolver: Resolver<'_>) -> Result<Imported, ImportError> {
    let mut notes = Notes::default();
    let mut data = Data::new();
    files::read(path, &mut data, &mut notes.remarks, &mut notes.problems)?;
    notes.imported(data, Some(path), resolver)
}

/// Reads an inventory's text, which has no files of variables beside it.
pub fn parse(text: &str, resolver: Resolver<'_>) -> Result<Imported, ImportError> {
    let mut notes = Notes::default();
    let mut data = Data::new();
    files::read_text(text, &mut data, &mut notes.remarks, &mut notes.problems);
    notes.imported(data, None, resolver)
}

/// What the readers report about an inventory.
#[derive(Default)]
struct Notes {
    remarks: Remarks,
    problems: Remarks,
}

impl Notes {
    fn imported(
        mut self,
        mut data: Data,
        path: Option<&Path>,
        resolver: Resolver<'_>,
    ) -> Result<Imported, ImportError> {
        data.finish(&mut self.problems);
        self.problems.none()?;
        let mut files = match path {
            Some(path) => VariableFiles::beside(path, &mut self.remarks, &mut self.problems),
            None => VariableFiles::none(&mut self.remarks, &mut self.problems),
        };
        let groups = Groups::new(&data, &mut files);
        let mut reading =
            Reading { groups: &groups, resolver, remarks: &mut self.remarks, problems: &mut self.problems };
        let mut hosts = hosts::read(&mut reading);
        let settings = variables::read(&mut reading);
        self.problems.none()?;
        let ssh = take_common(&mut hosts);
        Ok(Imported { hosts, ssh, settings, remarks: self.remarks.sorted() })
    }
}

/// The names that a pattern with ranges expands to.
pub(crate) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    pattern::expand(pattern, data::MOST_HOSTS).map(|(names, _)| names)
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
