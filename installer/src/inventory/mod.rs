//! Kubespray's `inventory.ini`, taken as the hosts of a cluster.
//!
//! The flow: text → [`file`], Ansible's INI dialect as it is written → [`groups`], which host belongs where and which variables
//! hold for it → [`hosts`], what Kubespray means by them. Nothing is dropped in silence: what has no meaning here is remarked
//! upon, and what kinstall cannot do as asked is refused, all at once and with lines. Values of unknown variables are never
//! shown, since some are secrets.

mod file;
mod groups;
mod hosts;
mod pattern;
mod ssh_arguments;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::{ClusterSpec, HostSpec, Ssh};

/// What an inventory says that concerns kinstall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The hosts, control planes first, in the order of their groups.
    pub hosts: Vec<HostSpec>,
    /// How all of them are reached.
    pub ssh: Ssh,
    /// What was left out, and what was understood in a way that is not plain.
    pub remarks: Vec<Remark>,
}

/// Something about lines of an inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The lines, counted from 1; none where it is about what is not there.
    pub lines: BTreeSet<usize>,
    /// What is to be said.
    pub message: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let shown: Vec<_> = self.lines.iter().take(SHOWN).map(ToString::to_string).collect();
        match self.lines.len() {
            0 => f.write_str(&self.message),
            1 => write!(f, "line {}: {}", shown[0], self.message),
            2..=SHOWN => write!(f, "lines {}: {}", shown.join(", "), self.message),
            all => write!(f, "lines {} and {} more: {}", shown.join(", "), all - SHOWN, self.message),
        }
    }
}

/// Why an inventory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct InventoryError {
    /// Everything that is wrong, at least one, in the order of lines.
    pub problems: Vec<Remark>,
}

impl Inventory {
    /// Reads an inventory's text.
    pub fn parse(text: &str) -> Result<Self, InventoryError> {
        let mut problems = Remarks::default();
        let file = file::read(text, &mut problems);
        let groups = groups::resolve(&file, &mut problems);
        problems.none()?;
        let mut remarks = Remarks::default();
        let mut hosts = hosts::read(&file, &groups, &mut remarks, &mut problems);
        if hosts.is_empty() {
            problems.add_missing("no host is in group kube_control_plane, etcd or kube_node");
        }
        problems.none()?;
        let ssh = take_common(&mut hosts);
        Ok(Self { hosts, ssh, remarks: remarks.sorted() })
    }

    /// Makes these the hosts of `spec`, which has none. What the inventory does not say of SSH is as `spec` says.
    #[must_use]
    pub fn into_spec(self, spec: ClusterSpec) -> ClusterSpec {
        ClusterSpec { hosts: self.hosts, ssh: self.ssh.or(&spec.ssh), ..spec }
    }
}

/// Takes out of the hosts how all of them are reached.
fn take_common(hosts: &mut [HostSpec]) -> Ssh {
    fn common<T: Clone + PartialEq>(hosts: &mut [HostSpec], of: fn(&mut Ssh) -> &mut Option<T>) -> Option<T> {
        let first = hosts.first_mut().and_then(|host| of(&mut host.ssh).clone())?;
        if hosts.iter_mut().any(|host| of(&mut host.ssh).as_ref() != Some(&first)) {
            return None;
        }
        for host in hosts {
            *of(&mut host.ssh) = None;
        }
        Some(first)
    }
    Ssh {
        port: common(hosts, |ssh| &mut ssh.port),
        user: common(hosts, |ssh| &mut ssh.user),
        key: common(hosts, |ssh| &mut ssh.key),
        jump: common(hosts, |ssh| &mut ssh.jump),
        sudo: common(hosts, |ssh| &mut ssh.sudo),
        ..Ssh::default()
    }
}

/// Remarks being gathered: the same one of several lines is made once.
#[derive(Default)]
struct Remarks(BTreeMap<String, BTreeSet<usize>>);

impl Remarks {
    fn add(&mut self, line: usize, message: impl Into<String>) {
        self.0.entry(message.into()).or_default().insert(line);
    }

    /// Remarks upon what is not there.
    fn add_missing(&mut self, message: impl Into<String>) {
        self.0.entry(message.into()).or_default();
    }

    /// By their first lines.
    fn sorted(self) -> Vec<Remark> {
        let mut remarks: Vec<_> = self.0.into_iter().map(|(message, lines)| Remark { lines, message }).collect();
        remarks.sort_by_key(|remark| remark.lines.first().copied());
        remarks
    }

    /// Takes them as problems: fails if there are any.
    fn none(&mut self) -> Result<(), InventoryError> {
        let problems = std::mem::take(self).sorted();
        if problems.is_empty() { Ok(()) } else { Err(InventoryError { problems }) }
    }
}

#[cfg(test)]
mod tests;
