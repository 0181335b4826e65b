//! Traits of a host, for the record of an audit, and for the comparison of hosts with each other.

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::{Digest, Platform, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::host::{Host, HostError};
use crate::inputs::Inputs;
use crate::kubeadm::{AUTHORITY_PATH, ENCRYPTION_PATH};

/// Directories that should be the same on all hosts of one role, whoever wrote their files.
const DIRECTORIES: [&str; 5] = [
    "/etc/containerd",
    "/etc/modules-load.d",
    "/etc/sysctl.d",
    "/etc/systemd/system/containerd.service.d",
    "/etc/systemd/system/kubelet.service.d",
];
/// Files that should be the same. Private keys are left out: each belongs to a public file in this list.
const FILES: [&str; 7] = [
    "/etc/ld.so.preload",
    "/etc/kubernetes/pki/front-proxy-ca.crt",
    "/etc/kubernetes/pki/sa.pub",
    AUTHORITY_PATH,
    ENCRYPTION_PATH,
    "/etc/systemd/system/containerd.service",
    "/etc/systemd/system/kubelet.service",
];

/// What a host says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostTraits {
    /// Its name as a node of the cluster.
    pub node: String,
    /// What it does in the cluster.
    pub roles: BTreeSet<Role>,
    /// Operating system and architecture.
    pub platform: Platform,
    /// The distribution, for people.
    pub distribution: String,
    /// As `uname -r`.
    pub kernel: String,
    /// `/etc/machine-id`; absent where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// Kernel settings that a cluster asks for, by dotted name.
    pub kernel_settings: BTreeMap<String, String>,
    /// Digests of files that hosts of one role have alike, by path.
    pub shared_files: BTreeMap<String, Digest>,
}

impl HostTraits {
    /// Reads them.
    pub(super) fn read(host: &Host, inputs: &Inputs<'_>) -> Result<Self, HostError> {
        let facts = inputs.facts;
        let settings = facts.kernel.sysctls.iter().map(|(name, found)| (name.clone(), found.value.clone()));
        Ok(Self {
            node: inputs.node_name(),
            roles: inputs.roles().clone(),
            platform: facts.platform.clone(),
            distribution: facts.os.pretty_name.clone(),
            kernel: facts.kernel.release.clone(),
            machine_id: facts.machine_id.clone(),
            kernel_settings: settings.collect(),
            shared_files: shared_files(host)?,
        })
    }
}

fn shared_files(host: &Host) -> Result<BTreeMap<String, Digest>, HostError> {
    let mut paths: Vec<_> = FILES.into_iter().map(str::to_owned).collect();
    for directory in DIRECTORIES {
        collect(host, directory, &mut paths)?;
    }
    let mut found = BTreeMap::new();
    for path in paths {
        if let Some((digest, _)) = host.digest(&path)? {
            found.insert(path, digest);
        }
    }
    Ok(found)
}

/// Everything below a directory. Links are left out: systemd's links lead to files that are read in their own place.
fn collect(host: &Host, directory: &str, paths: &mut Vec<String>) -> Result<(), HostError> {
    for name in host.names_in(directory)? {
        let path = format!("{directory}/{name}");
        if host.is_directory(&path) {
            collect(host, &path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}
