//! What the processes of the bundle's programs have in memory. A process keeps the file that it was started from, even if another file is
//! at that path since.

use std::collections::{BTreeMap, HashMap};

use kbundle_format::Digest;

use super::{Finding, Group};
use crate::host::{FileIdentity, Host, HostError, Process};

/// Libraries that every program with dynamic linking loads (ld.so(8)).
pub(super) const PRELOAD: &str = "/etc/ld.so.preload";
/// Variables by which one program loads others' libraries (ld.so(8)).
const VARIABLES: [&str; 3] = ["LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH"];
/// Where containerd lets its shims and runc look for libraries (its plugin `opt`, `plugins/opt/path_unix.go`). The directory is empty
/// unless somebody puts a library there.
const CONTAINERD_LIBRARIES: &str = "/opt/containerd/lib";
/// The ending of `/proc/PID/exe` after the file was removed or replaced.
const DELETED: &str = " (deleted)";

/// Whether libraries are put into programs.
pub(super) fn preload(host: &Host) -> anyhow::Result<Vec<Finding>> {
    let text = host.read_text(PRELOAD)?.unwrap_or_default();
    let libraries = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = (!libraries.is_empty()).then_some(libraries);
    Ok(vec![Finding::compared(Group::Processes, PRELOAD, "no libraries", found)])
}

/// Compares each process of this host that was started from a program's path with the bundle's content for that program.
pub(super) fn look(host: &Host, approved: &BTreeMap<String, Digest>) -> anyhow::Result<Vec<Finding>> {
    let mut digests = HashMap::new();
    let mut findings = Vec::new();
    for process in host.processes()? {
        let Some(program) = process.program()? else { continue };
        let program = program.to_string_lossy();
        let path = program.strip_suffix(DELETED).unwrap_or(&program);
        let Some(&expected) = approved.get(path) else { continue };
        // In a container or a host inside of this one, the same path is another file.
        if !process.shares_root_with(host)? {
            continue;
        }
        let subject = format!("{path}, process {}", process.id);
        if let Some(found) = digest(&process, &mut digests)? {
            let deleted = if path == program { "" } else { ", of a file that was removed or replaced" };
            let found = (found != expected).then(|| format!("{found}{deleted}"));
            findings.push(Finding::compared(Group::Processes, &subject, &expected.to_string(), found));
        }
        for name in VARIABLES {
            if let Some(value) = process.variable(name)?
                && !is_containerds(host, name, &value)?
            {
                let found = format!("{name}={value}");
                findings.push(Finding::drifted(Group::Processes, &subject, format!("no {name}"), found));
            }
        }
    }
    Ok(findings)
}

/// Whether containerd set the variable, and to a folder without libraries.
fn is_containerds(host: &Host, name: &str, value: &str) -> anyhow::Result<bool> {
    let mut folders = value.split(':').filter(|folder| !folder.is_empty());
    let is_its = name == "LD_LIBRARY_PATH" && folders.all(|folder| folder == CONTAINERD_LIBRARIES);
    Ok(is_its && host.names_in(CONTAINERD_LIBRARIES)?.is_empty())
}

/// The digest of the program of a process. Many processes run the same file, which is read once.
fn digest(process: &Process, known: &mut HashMap<FileIdentity, Digest>) -> Result<Option<Digest>, HostError> {
    let Some(identity) = process.program_identity()? else { return Ok(None) };
    if let Some(digest) = known.get(&identity) {
        return Ok(Some(*digest));
    }
    let digest = process.program_digest()?;
    known.extend(digest.map(|digest| (identity, digest)));
    Ok(digest)
}
