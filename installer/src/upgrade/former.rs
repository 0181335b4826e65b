//! What a host runs before an upgrade changes it: copies of its programs, its configuration and the static pods' manifests, kept below
//! [`unfinished::DIRECTORY`](super::unfinished::DIRECTORY) for a rollback.
//!
//! kinstall's own files are those of the ledger; kubeadm writes the others. Keys, certificates and kubeconfigs are left out: they may be
//! renewed in the meantime, and an upgrade does not change them. Files of others in which kinstall edits lines are left out too.

use std::collections::BTreeMap;
use std::io;

use anyhow::{Context as _, bail};
use kbundle_format::Digest;
use serde::{Deserialize, Serialize};

use super::unfinished::DIRECTORY;
use crate::host::{Change, Host, Ledger, Owner, ledger};
use crate::kubeadm::MANIFESTS;
use crate::step_progress::StepProgress;

/// The directory of the copies; their own paths follow below it.
const ROOT: &str = "/var/lib/kinstall/upgrade/former";
const RECORD: &str = "upgrade/former.json";
/// The files that kubeadm writes for the kubelet.
const OF_KUBELET: [&str; 3] =
    ["/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env", "/var/lib/kubelet/instance-config.yaml"];

/// The files of a host before an upgrade.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FormerFiles {
    /// The files by absolute path.
    files: BTreeMap<String, FormerFile>,
    /// The number of changes on the ledger.
    changes: usize,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FormerFile {
    digest: Digest,
    mode: u32,
    user: u32,
    group: u32,
}

impl FormerFiles {
    /// Reads the record of the copies; `None` if they were not completed.
    pub fn read(host: &Host) -> anyhow::Result<Option<Self>> {
        let path = format!("{}/{RECORD}", ledger::DIRECTORY);
        let Some(bytes) = host.read(&path)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).with_context(|| format!("{path} is damaged"))
    }

    /// For a host on which nothing that runs was changed: everything on its ledger was there before.
    #[must_use]
    pub fn unchanged(host: &Host) -> Self {
        Self { files: BTreeMap::new(), changes: host.ledger().changes().len() }
    }

    /// Copies the present files. The record is written when all copies are on the disk.
    pub fn keep(host: &mut Host, progress: &dyn StepProgress) -> anyhow::Result<()> {
        let changes = host.ledger().changes().len();
        let mut files = BTreeMap::new();
        for path in paths(host)? {
            let Some(found) = FormerFile::look(host, &path)? else { continue };
            if host.digest(&copy_of(&path))?.is_none_or(|(digest, _)| digest != found.digest) {
                progress.detail(&format!("copying {path}"));
                copy(host, &path, &copy_of(&path), 0o600)?;
            }
            files.insert(path, found);
        }
        host.sync_file_system(DIRECTORY)?;
        let bytes = serde_json::to_vec(&Self { files, changes }).expect("paths and numbers can be written");
        Ok(host.keep_record(RECORD, &bytes)?)
    }

    /// A file that differs from its copy, or that has no copy; `None` if there is none.
    pub fn changed(&self, host: &Host) -> anyhow::Result<Option<String>> {
        for (path, former) in &self.files {
            if FormerFile::look(host, path)?.as_ref() != Some(former) {
                return Ok(Some(path.clone()));
            }
        }
        let unknown = paths(host)?.into_iter().find(|path| host.is_file(path) && !self.files.contains_key(path));
        Ok(unknown)
    }

    /// Refuses incomplete copies.
    pub fn verify(&self, host: &Host) -> anyhow::Result<()> {
        for (path, former) in &self.files {
            let kept = copy_of(path);
            match host.digest(&kept)? {
                Some((digest, _)) if digest == former.digest => {}
                Some((digest, _)) => {
                    bail!(
                        "the copy {kept} is damaged: its digest is {digest}, and that of {path} was {}",
                        former.digest
                    )
                }
                None => bail!("the copy {kept} of {path} is gone"),
            }
        }
        Ok(())
    }

    /// Restores every file, each as a whole, and removes files that were added since. Units that were added since are stopped first.
    pub fn bring_back(&self, host: &mut Host, progress: &dyn StepProgress) -> anyhow::Result<()> {
        for change in self.later(host.ledger()).iter().rev() {
            host.undo(change)?;
        }
        for name in host.names_in(MANIFESTS)? {
            let path = format!("{MANIFESTS}/{name}");
            if !self.files.contains_key(&path) {
                host.remove_file(&path)?;
            }
        }
        for (path, former) in &self.files {
            if FormerFile::look(host, path)?.as_ref() == Some(former) {
                continue;
            }
            progress.detail(&format!("bringing back {path}"));
            copy(host, &copy_of(path), path, former.mode)?;
            host.own(path, Owner { user: former.user, group: former.group })?;
        }
        Ok(())
    }

    /// Removes what was undone from the ledger, and the steps that only an upgrade has.
    pub fn withdraw_records(&self, host: &mut Host, of_upgrade: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let undone = self.later(host.ledger());
        Ok(host.ledger_mut().withdraw(|change| match change {
            Change::StepStarted { step } | Change::StepDone { step } => of_upgrade(step),
            Change::CreatedFile { path } => path.starts_with(DIRECTORY) || undone.contains(change),
            change => undone.contains(change),
        })?)
    }

    /// The files and units that were added to the host since.
    fn later(&self, ledger: &Ledger) -> Vec<Change> {
        let later = ledger.changes().get(self.changes..).unwrap_or_default().iter();
        let is_undone = |change: &&Change| match change {
            Change::CreatedFile { path } | Change::ReplacedFile { path, .. } => {
                is_kept(path) && !self.files.contains_key(path)
            }
            Change::Unit { .. } => true,
            _ => false,
        };
        later.filter(is_undone).cloned().collect()
    }
}

impl FormerFile {
    fn look(host: &Host, path: &str) -> anyhow::Result<Option<Self>> {
        let (Some((digest, mode)), Some(owner)) = (host.digest(path)?, host.owner(path)?) else { return Ok(None) };
        Ok(Some(Self { digest, mode, user: owner.user, group: owner.group }))
    }
}

/// The files that a rollback restores, as far as they exist.
fn paths(host: &Host) -> anyhow::Result<Vec<String>> {
    let of_ledger = host.ledger().changes().iter().filter_map(|change| match change {
        Change::CreatedFile { path } | Change::ReplacedFile { path, .. } => Some(path.clone()),
        _ => None,
    });
    let manifests = host.names_in(MANIFESTS)?.into_iter().map(|name| format!("{MANIFESTS}/{name}"));
    let of_kubeadm = manifests.chain(OF_KUBELET.map(str::to_owned));
    let mut all: Vec<_> = of_ledger.chain(of_kubeadm).filter(|path| is_kept(path)).collect();
    all.sort();
    all.dedup();
    Ok(all)
}

/// Whether a rollback concerns the file at all.
fn is_kept(path: &str) -> bool {
    let is_kubeconfig = path.starts_with("/etc/kubernetes/") && path.strip_suffix(".conf").is_some();
    let is_elsewhere = ["/run/", "/proc/", "/sys/", DIRECTORY].iter().any(|tree| path.starts_with(tree));
    !is_kubeconfig && !is_elsewhere && !path.contains("/pki/")
}

fn copy_of(path: &str) -> String {
    format!("{ROOT}{path}")
}

fn copy(host: &mut Host, from: &str, to: &str, mode: u32) -> anyhow::Result<()> {
    let mut source = host.open(from)?;
    host.write_file_with::<anyhow::Error>(to, mode, |file| {
        io::copy(&mut source, file).with_context(|| format!("while copying {from}"))?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::{Bench, Notes};

    fn keep(bench: &Bench) -> FormerFiles {
        FormerFiles::keep(&mut bench.host(), &Notes::default()).unwrap();
        FormerFiles::read(&bench.host()).unwrap().unwrap()
    }

    /// A host with a program, a key, a manifest and the kubelet's configuration.
    fn set_up() -> Bench {
        let bench = Bench::new();
        // `/var/lib` exists on every host. A bench's ledger is below it, and would be recorded as a change in between.
        fs_err::create_dir_all(bench.path("var/lib/kinstall")).unwrap();
        let mut host = bench.host();
        host.claim_tree(DIRECTORY).unwrap();
        host.make_directory(DIRECTORY, 0o755).unwrap();
        host.write_file("/usr/local/bin/etcd", b"etcd 3.5", 0o755).unwrap();
        host.write_file("/etc/etcd/pki/ca.key", b"key", 0o600).unwrap();
        bench.file("etc/kubernetes/manifests/kube-apiserver.yaml", "image: 1.35.4");
        bench.file("var/lib/kubelet/config.yaml", "kind: KubeletConfiguration");
        bench
    }

    #[test]
    fn files_come_back_and_what_came_after_goes() {
        let bench = set_up();
        let former = keep(&bench);
        assert_eq!(former.changed(&bench.host()).unwrap(), None);
        bench.file("etc/foreign", "of the site");
        let mut host = bench.host();
        host.write_file("/usr/local/bin/etcd", b"etcd 3.6", 0o755).unwrap();
        host.write_file("/usr/local/bin/new", b"", 0o755).unwrap();
        host.write_file("/etc/foreign", b"of kinstall", 0o644).unwrap();
        host.write_file("/etc/etcd/pki/ca.key", b"renewed", 0o600).unwrap();
        bench.file("etc/kubernetes/manifests/kube-apiserver.yaml", "image: 1.36.3");
        bench.file("etc/kubernetes/manifests/new.yaml", "");
        assert!(former.changed(&bench.host()).unwrap().is_some());
        // It may be repeated after each cut.
        for _ in 0..2 {
            former.bring_back(&mut bench.host(), &Notes::default()).unwrap();
        }
        assert_eq!(bench.read("usr/local/bin/etcd"), "etcd 3.5");
        assert_eq!(bench.read("etc/kubernetes/manifests/kube-apiserver.yaml"), "image: 1.35.4");
        assert_eq!(bench.read("etc/foreign"), "of the site");
        assert_eq!(bench.read("etc/etcd/pki/ca.key"), "renewed");
        assert!(!bench.path("usr/local/bin/new").exists());
        assert!(!bench.path("etc/kubernetes/manifests/new.yaml").exists());
    }

    #[test]
    fn the_ledger_comes_back_but_for_what_a_reset_still_needs() {
        let bench = set_up();
        let before = bench.host().ledger().changes().to_vec();
        let former = keep(&bench);
        let mut host = bench.host();
        let setting = Change::Sysctl { key: "net/x".into(), was: "0".into() };
        host.write_file("/usr/local/bin/new", b"", 0o755).unwrap();
        host.ledger_mut().record(Change::StepStarted { step: "upgrade-etcd".into() }).unwrap();
        host.ledger_mut().record(setting.clone()).unwrap();
        former.withdraw_records(&mut host, |step| step == "upgrade-etcd").unwrap();
        drop(host);
        let after = bench.host().ledger().changes().to_vec();
        assert_eq!(after, [before, vec![setting]].concat());
    }

    #[test]
    fn a_copy_that_is_not_whole_is_refused() {
        let bench = set_up();
        let former = keep(&bench);
        former.verify(&bench.host()).unwrap();
        bench.file("var/lib/kinstall/upgrade/former/usr/local/bin/etcd", "half");
        assert!(former.verify(&bench.host()).unwrap_err().to_string().contains("is damaged"));
        fs_err::remove_file(bench.path("var/lib/kinstall/upgrade/former/usr/local/bin/etcd")).unwrap();
        assert!(former.verify(&bench.host()).unwrap_err().to_string().contains("is gone"));
    }
}
