//! Sets up a cluster again from a backup, on this host or on others.
//!
//! A [`Restoration`] works like `kinstall run`, with three additional steps: they make etcd's data from the snapshot, install the keys that
//! all control planes share, and remove objects of what is gone. It verifies the whole backup before anything is changed, and then copies
//! the snapshot to where the first step takes it. Records on the host name the backup, so that the same command resumes and no other
//! command continues a half-done restoration.
//!
//! With several hosts, the first control plane runs all three steps, and every other member of etcd runs the first, so that all members
//! start with the same data. Everything else that the hosts need is as in any installation: [`crate::fleet`].

use std::io::{self, Seek as _, Write};

use anyhow::{Context as _, anyhow, bail};
use fs_err as fs;
use kbundle_format::{BundleList, Digest, VerifyingKey};

use crate::backup::list::name_of;
use crate::backup::{BackupList, Opened, Opener, SPEC, read};
use crate::config::ClusterSpec;
use crate::etcd_layout as layout;
use crate::failure::Advise;
use crate::host::{Host, ledger};
use crate::inputs::Inputs;
use crate::join_material::{JoinMaterial, Pair};
use crate::plan::{Plan, PlannedStep};
use crate::restoration_records::{AWAITS_KUBEADM, JOINED_LIST, LIST, RESTORED_DATA, SNAPSHOT_PATH, Share};
use crate::stage::Phase;
use crate::steps::{ControlPlane, Etcd, KubeadmConfig, RestoredData, RestoredObjects, SharedKeys, Step, shared_keys};

/// A backup of which every byte was verified, to set this host up from.
pub struct Restoration {
    file: fs::File,
    opener: Opener,
    keys: Vec<VerifyingKey>,
    opened: Opened,
}

impl Restoration {
    /// Verifies all of `file`. Changes nothing.
    pub fn verify(mut file: fs::File, opener: Opener, keys: Vec<VerifyingKey>) -> anyhow::Result<Self> {
        let name = file.path().display().to_string();
        let opened = read::read(&mut file, &opener, &keys, &mut io::sink())
            .with_context(|| format!("the backup {name} was refused; nothing was changed"))
            .refused()?;
        Ok(Self { file, opener, keys, opened })
    }

    /// The list of the backup.
    #[must_use]
    pub fn list(&self) -> &BackupList {
        &self.opened.list
    }

    fn file_of(&self, name: &str) -> anyhow::Result<String> {
        let content = self.opened.files.get(name).with_context(|| format!("the backup has no {name}"))?;
        String::from_utf8(content.clone()).ok().with_context(|| format!("{name} in the backup is not text"))
    }

    /// The cluster's description.
    pub fn spec(&self) -> anyhow::Result<ClusterSpec> {
        ClusterSpec::read(&self.file_of(SPEC)?)
            .context("the cluster's description in the backup cannot be used")
            .refused()
    }

    /// Refuses a host that contains anything but the beginning of this restoration.
    pub fn refuse_standing(&self, host: &Host) -> anyhow::Result<()> {
        if !host.ledger().has_begun() || recorded(host)?.as_ref() == Some(self.list()) {
            return Ok(());
        }
        Err(anyhow!("kinstall has set up this host already, and not from this backup; nothing was changed"))
            .refused()
            .hint("restore on a new host, or give up what is on this one with `kinstall reset`")
    }

    /// Refuses a bundle other than the one that the cluster was set up from.
    pub fn refuse_another_bundle(&self, list_bytes: &[u8]) -> anyhow::Result<()> {
        let (list, bundle) = (self.list(), Digest::of(list_bytes));
        if bundle == list.bundle {
            return Ok(());
        }
        let version = BundleList::parse(list_bytes)?.kubernetes_version;
        let (was, is) = if version == list.kubernetes_version {
            (format!("list {}", list.bundle), format!("list {bundle}"))
        } else {
            (format!("Kubernetes {}", list.kubernetes_version), format!("Kubernetes {version}"))
        };
        Err(anyhow!(
            "the backup is of a cluster from the bundle with {was}, and this one has {is}; nothing was changed"
        ))
        .refused()
        .hint("give the bundle that the cluster was set up from; the backup holds none")
    }

    /// Refuses a description of another cluster than the backup's. The API's address and the hosts may change, but a single host without a
    /// description cannot become several hosts.
    pub fn refuse_another_cluster(&self, spec: &ClusterSpec) -> anyhow::Result<()> {
        let mut standing = self.spec()?;
        standing.api.address = spec.api.address;
        if !standing.hosts.is_empty() && !spec.hosts.is_empty() {
            standing.hosts.clone_from(&spec.hosts);
        }
        spec.same_cluster_as(&standing)
            .context("the description given with `--config` is not of the cluster in the backup; nothing was changed")
            .refused()
            .hint(
                "change nothing but the hosts and `api.address`; `kinstall config print` shows every setting of a file",
            )
    }

    /// The keys that the host gets instead of making them.
    pub fn join_material(&self, spec: &ClusterSpec) -> anyhow::Result<JoinMaterial> {
        let shared = |path: &str| anyhow::Ok(shared_keys::file(path, self.file_of(&name_of(path))?));
        let authority = Pair {
            certificate: self.file_of(&name_of(layout::CA_PATH))?,
            key: self.file_of(&name_of(layout::CA_KEY_PATH))?,
        };
        Ok(JoinMaterial {
            shared_files: shared_keys::paths(spec).map(shared).collect::<anyhow::Result<_>>()?,
            etcd_authority: Some(authority),
            ..JoinMaterial::default()
        })
    }

    /// The plan of an installation, with the additional steps of a restoration for a host with this share.
    #[must_use]
    pub fn extend(plan: Plan, inputs: &Inputs<'_>, share: Share) -> Plan {
        let mut steps = plan.steps;
        // This host may have been the one to begin the cluster, until another host did it.
        let begins = share.begins && inputs.leads();
        let added: [(bool, Phase, &'static (dyn Step + Sync), &str, usize); 3] = [
            (share.data, Phase::Etcd, &RestoredData, Etcd.id(), 0),
            (begins, Phase::ControlPlane, &SharedKeys, KubeadmConfig.id(), 0),
            (begins, Phase::ControlPlane, &RestoredObjects, ControlPlane.id(), 1),
        ];
        for (_, phase, step, beside, after) in added.into_iter().filter(|(is_its, ..)| *is_its) {
            let place =
                steps.iter().position(|planned| planned.step.id() == beside).map_or(steps.len(), |at| at + after);
            steps.insert(place, PlannedStep { phase, title: step.title(inputs), step });
        }
        Plan { steps }
    }

    /// Begins the restoration of this host, if it has not begun. The backup is verified again on the way.
    pub fn stage(&self, host: &mut Host) -> anyhow::Result<()> {
        begin(host, self.list(), Share::ALL, |snapshot| self.copy_snapshot(snapshot))
    }

    /// Copies the snapshot of etcd into `to`, and verifies the backup again on the way. Only one copy at a time.
    pub fn copy_snapshot(&self, to: &mut dyn Write) -> anyhow::Result<()> {
        let mut file = &self.file;
        file.rewind().context("cannot read the backup once more")?;
        let again = read::read(file, &self.opener, &self.keys, to).context("cannot read the backup once more")?;
        if again.list != *self.list() {
            bail!("the backup was changed while it was read");
        }
        Ok(())
    }
}

/// Records on this host which backup it is set up from. If the host gets the data of etcd and does not have it yet, `copy` writes the
/// snapshot to where [`RestoredData`] takes it.
pub fn begin(
    host: &mut Host,
    list: &BackupList,
    share: Share,
    copy: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if !host.ledger().has_begun() {
        forget(host)?;
    }
    if share.begins && !host.ledger().is_done(RESTORED_DATA) {
        host.keep_record(AWAITS_KUBEADM, b"")?;
    }
    host.keep_record(share.record(), &list.to_bytes())?;
    if !share.data || host.ledger().is_done(RESTORED_DATA) {
        return Ok(());
    }
    host.write_file_with(SNAPSHOT_PATH, 0o600, |snapshot| copy(snapshot))
}

/// Removes what an abandoned restoration left before its first step.
fn forget(host: &mut Host) -> anyhow::Result<()> {
    for record in [AWAITS_KUBEADM, LIST, JOINED_LIST] {
        host.remove_record(record)?;
    }
    host.remove_file(SNAPSHOT_PATH)?;
    Ok(())
}

/// The list of the backup with which the restoration of this host began.
fn recorded(host: &Host) -> anyhow::Result<Option<BackupList>> {
    let path = format!("{}/{LIST}", ledger::DIRECTORY);
    let Some(bytes) = host.read(&path)? else { return Ok(None) };
    BackupList::parse(&bytes).map(Some).map_err(|reason| anyhow!("{path} is damaged: {reason}"))
}

#[cfg(test)]
mod tests;
