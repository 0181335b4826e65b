//! Whether a bundle has what every host of a cluster needs, before it is carried anywhere.

use std::collections::BTreeSet;

use kbundle_format::{Platform, Role};

use crate::config::{Architecture, ClusterSpec, HostSpec};
use crate::contents::BundleContents;
use crate::needs::{HostProfile, Mismatch, mismatches};

/// The result of a check.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Everything that is missing or contradictory, each once.
    pub unmet: Vec<Unmet>,
    /// Hosts whose architecture is not in cluster.yaml: for these the bundle was checked for each of its own platforms.
    pub unknown_architecture: Vec<String>,
}

/// Something that is missing or contradicts.
#[derive(Debug)]
pub struct Unmet {
    /// The kind of the mismatch.
    pub mismatch: Mismatch,
    /// The hosts that it concerns, by name; empty if the cluster is one host without a name.
    pub hosts: Vec<String>,
}

/// Compares a bundle with a cluster.
#[must_use]
pub fn check(spec: &ClusterSpec, contents: &BundleContents) -> Outcome {
    let mut outcome = Outcome::default();
    if spec.hosts.is_empty() {
        let roles = Role::ALL.into();
        for platform in &contents.platforms {
            let host = HostProfile { name: None, platform, roles: &roles, control_planes: 1 };
            outcome.add(mismatches(spec, contents, &host), None);
        }
        return outcome;
    }
    let control_planes = spec.hosts.iter().filter(|host| host.roles.contains(&Role::ControlPlane)).count();
    for (index, host) in spec.hosts.iter().enumerate() {
        let name = host.name.as_str();
        let platforms = match platforms(host, contents) {
            Ok(platforms) => platforms,
            Err(arch) => {
                let carried = contents.platforms.iter().map(|platform| platform.architecture().to_owned()).collect();
                outcome.add(vec![Mismatch::NoArchitecture { arch, carried, index }], Some(name));
                continue;
            }
        };
        if host.arch.is_none() {
            outcome.unknown_architecture.push(name.to_owned());
        }
        for platform in &platforms {
            let host = HostProfile { name: Some(name), platform, roles: &host.roles, control_planes };
            outcome.add(mismatches(spec, contents, &host), Some(name));
        }
    }
    outcome
}

/// The platforms that a host can have with this bundle, or the architecture that it lacks.
fn platforms(host: &HostSpec, contents: &BundleContents) -> Result<BTreeSet<Platform>, Architecture> {
    let Some(arch) = host.arch else { return Ok(contents.platforms.clone()) };
    let platform = arch.platform();
    if contents.platforms.contains(&platform) { Ok([platform].into()) } else { Err(arch) }
}

impl Outcome {
    /// Adds what was found for a host. A mismatch of several hosts is reported once.
    fn add(&mut self, found: Vec<Mismatch>, host: Option<&str>) {
        for mismatch in found {
            let said = mismatch.to_string();
            let hosts = host.map(str::to_owned);
            match self.unmet.iter_mut().find(|known| known.mismatch.to_string() == said) {
                Some(known) if known.hosts.last() == hosts.as_ref() => {}
                Some(known) => known.hosts.extend(hosts),
                None => self.unmet.push(Unmet { mismatch, hosts: hosts.into_iter().collect() }),
            }
        }
    }
}
