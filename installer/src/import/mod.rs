//! Imports other tools' descriptions of clusters as a cluster.yaml.
//!
//! The flow: a file → its [`Form`] → that form's reader → [`Imported`]: hosts, settings and remarks. Nothing is dropped in silence: a
//! setting without a meaning here gets a remark, and a setting that kinstall cannot fulfil is refused. All refusals are reported together,
//! with their lines. Values of unknown settings are never shown, since some are secrets.

mod document;
mod form;
pub mod inventory;
mod k0sctl;
pub(crate) mod kubeadm;
mod kubekey;
mod remarks;
mod settings;

use std::net::{IpAddr, Ipv4Addr};

use crate::config::{ClusterSpec, ConfigError, HostSpec, Ssh};

pub use form::{Form, read};
pub use remarks::{Remark, SourceLine};
pub use settings::Settings;

pub(crate) use remarks::Remarks;

/// The parts of another tool's file that concern kinstall.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The hosts, control planes first.
    pub hosts: Vec<HostSpec>,
    /// How all of them are reached.
    pub ssh: Ssh,
    /// All other settings of the cluster.
    pub settings: Settings,
    /// What was left out, or understood in a way that is not obvious.
    pub remarks: Vec<Remark>,
}

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file or folder cannot be read.
    #[error("cannot read it")]
    Read {
        /// The system's words, with the path.
        #[from]
        source: std::io::Error,
    },
    /// The file's content cannot be taken over.
    #[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Problems {
        /// Everything that is wrong, at least one, in the order of lines.
        problems: Vec<Remark>,
    },
    /// kubeadm's configuration cannot be taken over.
    #[error(transparent)]
    Kubeadm(#[from] kubeadm::KubeadmError),
}

/// Finds the addresses of a name, for an entry that needs an address but has only a name.
pub type Resolver<'a> = &'a dyn Fn(&str) -> Vec<IpAddr>;

impl Imported {
    /// `spec` with these hosts; it must have none. SSH settings of `spec` fill those that the import lacks.
    #[must_use]
    pub fn with_hosts(&self, spec: ClusterSpec) -> ClusterSpec {
        ClusterSpec { hosts: self.hosts.clone(), ssh: self.ssh.or(&spec.ssh), ..spec }
    }

    /// The whole cluster. The text of a cluster.yaml in `beside` overrides the import.
    pub fn spec(&self, beside: Option<&str>) -> Result<ClusterSpec, ConfigError> {
        let settings = self.settings.clone();
        Ok(self.with_hosts(beside.map_or_else(|| settings.clone().into_spec(), |text| settings.clone().below(text))?))
    }
}

/// The one IPv4 address of a name at which other hosts can reach it.
pub(crate) fn resolve(name: &str, resolver: Resolver<'_>) -> Option<Ipv4Addr> {
    let mut found = resolver(name).into_iter().filter_map(|address| match address {
        IpAddr::V4(address) if !address.is_loopback() && !address.is_unspecified() => Some(address),
        _ => None,
    });
    found.next()
}

/// Removes the SSH settings that all hosts share from the hosts, and returns them.
pub(crate) fn take_common(hosts: &mut [HostSpec]) -> Ssh {
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
    // A jump and its key belong together.
    let same_way = hosts
        .windows(2)
        .all(|pair| (&pair[0].ssh.jump, &pair[0].ssh.jump_key) == (&pair[1].ssh.jump, &pair[1].ssh.jump_key));
    Ssh {
        port: common(hosts, |ssh| &mut ssh.port),
        user: common(hosts, |ssh| &mut ssh.user),
        key: common(hosts, |ssh| &mut ssh.key),
        jump: same_way.then(|| common(hosts, |ssh| &mut ssh.jump)).flatten(),
        jump_key: same_way.then(|| common(hosts, |ssh| &mut ssh.jump_key)).flatten(),
        known_hosts: common(hosts, |ssh| &mut ssh.known_hosts),
        sudo: common(hosts, |ssh| &mut ssh.sudo),
        ..Ssh::default()
    }
}

#[cfg(test)]
mod tests;
