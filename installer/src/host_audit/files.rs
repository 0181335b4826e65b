//! Files: the bundle's binaries by content, mode and owner, and who may write to the files of kinstall.

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::Digest;

use super::{Finding, Group};
use crate::etcd_layout;
use crate::host::{Change, Host, HostError, Owner};
use crate::kubeadm;
use crate::steps::programs::approved::MODE;

/// Directories with private keys, passwords and credentials.
const SECRET_DIRECTORIES: [&str; 4] =
    [kubeadm::DIRECTORY, kubeadm::PKI, etcd_layout::PKI_DIRECTORY, "/var/lib/kubelet/pki"];
/// The endings of secret files: keys, kubeconfigs, a certificate with its key.
const SECRET_ENDINGS: [&str; 3] = [".key", ".conf", ".pem"];
/// Permission bits of group and others.
const OTHERS: u32 = 0o077;
/// Permission bits by which group and others may write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Compares each program's file with the bundle.
pub(super) fn programs(host: &Host, approved: &BTreeMap<String, Digest>) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (path, expected) in approved {
        let found = match host.digest(path)? {
            None => Some("no such file".to_owned()),
            Some((found, _)) if found != *expected => Some(found.to_string()),
            Some((_, mode)) if mode != MODE => Some(format!("mode {mode:04o}")),
            Some(_) => foreign_owner(host, path, &[Owner::ROOT])?,
        };
        let expected = format!("{expected}, mode {MODE:04o}, of root");
        findings.push(Finding::compared(Group::Programs, path, &expected, found));
    }
    Ok(findings)
}

/// Checks who may write to each file that kinstall wrote. The files in `of_site` are compared by the step that puts them in place.
pub(super) fn access(host: &Host, of_site: &BTreeSet<&str>) -> anyhow::Result<Vec<Finding>> {
    let owners = own_users(host)?;
    let mut paths = BTreeSet::new();
    for change in host.ledger().changes() {
        if let Change::CreatedFile { path } | Change::ReplacedFile { path, .. } = change {
            paths.insert(path.as_str());
        }
    }
    let mut findings = Vec::new();
    for path in paths.difference(of_site) {
        // Some files exist only during a step. The steps check the files that have to exist.
        let Some(mode) = host.permissions(path)? else { continue };
        let found = if mode & WRITABLE_BY_OTHERS == 0 {
            foreign_owner(host, path, &owners)?
        } else {
            Some(format!("mode {mode:04o}"))
        };
        findings.push(Finding::compared(Group::Files, *path, "only root and kinstall's own users may write it", found));
    }
    Ok(findings)
}

/// Checks who may read keys and kubeconfigs, whoever wrote them.
pub(super) fn secrets(host: &Host) -> anyhow::Result<Vec<Finding>> {
    let owners = own_users(host)?;
    let mut findings = Vec::new();
    for directory in SECRET_DIRECTORIES {
        let names = host.names_in(directory)?;
        for name in names.iter().filter(|name| SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending))) {
            let path = format!("{directory}/{name}");
            let Some(mode) = host.permissions(&path)? else { continue };
            let found = if mode & OTHERS == 0 {
                foreign_owner(host, &path, &owners)?
            } else {
                Some(format!("mode {mode:04o}"))
            };
            findings.push(Finding::compared(Group::Files, path, "only its owner may read it", found));
        }
    }
    Ok(findings)
}

/// Root, and the users that kinstall made.
fn own_users(host: &Host) -> Result<Vec<Owner>, HostError> {
    let mut owners = vec![Owner::ROOT];
    for change in host.ledger().changes() {
        if let Change::SystemUser { name } = change {
            owners.extend(host.user(name)?);
        }
    }
    Ok(owners)
}

fn foreign_owner(host: &Host, path: &str, allowed: &[Owner]) -> Result<Option<String>, HostError> {
    let found = host.owner(path)?;
    let is_foreign = |owner: &Owner| !allowed.iter().any(|allowed| allowed.user == owner.user);
    Ok(found.filter(is_foreign).map(|owner| format!("it belongs to user {}, group {}", owner.user, owner.group)))
}
