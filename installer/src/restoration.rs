//! Setting a cluster up again from a backup, on this host.
//!
//! A [`Restoration`] goes the way of `kinstall run`, with three more steps: the data of etcd from the snapshot, the keys that all control
//! planes share, and the objects that tell of what is gone. It verifies all of the backup before anything is changed; then the snapshot
//! is copied to where the first of the steps takes it. Records on the host say which backup was begun with, so that the same command
//! resumes and no other one goes on with half of it.

use std::io::{self, Seek as _};

use anyhow::{Context as _, anyhow, bail};
use fs_err as fs;
use kbundle_format::{BundleList, VerifyingKey};

use crate::backup::list::name_of;
use crate::backup::{BackupList, Opened, Opener, SPEC, read};
use crate::config::ClusterSpec;
use crate::etcd_layout as layout;
use crate::failure::Advise;
use crate::host::{Host, ledger};
use crate::inputs::Inputs;
use crate::join_material::{JoinMaterial, Pair};
use crate::plan::{Plan, PlannedStep};
use crate::records::Records;
use crate::restoration_records::{AWAITS_KUBEADM, LIST, RESTORED_DATA, SNAPSHOT_PATH};
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

    /// What the backup is of.
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

    /// Refuses a host that has something else than the beginning of this restoration.
    pub fn refuse_standing(&self, host: &Host) -> anyhow::Result<()> {
        if !host.ledger().has_begun() || recorded(host)?.as_ref() == Some(self.list()) {
            return Ok(());
        }
        Err(anyhow!("kinstall has set up this host already, and not from this backup; nothing was changed"))
            .refused()
            .hint("restore on a new host, or give up what is on this one with `kinstall reset`")
    }

    /// Refuses to go on with another bundle than the cluster was set up from.
    pub fn refuse_another_bundle(&self, records: &Records) -> anyhow::Result<()> {
        let (list, bundle) = (self.list(), records.list_digest());
        if bundle == list.bundle {
            return Ok(());
        }
        let version = BundleList::parse(&records.list_bytes)?.kubernetes_version;
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

    /// Refuses a description of another cluster than the backup's. The address of the API may change.
    pub fn refuse_another_cluster(&self, spec: &ClusterSpec) -> anyhow::Result<()> {
        let mut standing = self.spec()?;
        standing.api.address = spec.api.address;
        spec.same_cluster_as(&standing)
            .context("the description given with `--config` is not of the cluster in the backup; nothing was changed")
            .refused()
            .hint("change nothing but `api.address`; `kinstall config print` shows every setting of a file")
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

    /// The plan of an installation, with what a restoration does besides.
    #[must_use]
    pub fn extend(plan: Plan, inputs: &Inputs<'_>) -> Plan {
        let mut steps = plan.steps;
        let added: [(Phase, &'static (dyn Step + Sync), &str, usize); 3] = [
            (Phase::Etcd, &RestoredData, Etcd.id(), 0),
            (Phase::ControlPlane, &SharedKeys, KubeadmConfig.id(), 0),
            (Phase::ControlPlane, &RestoredObjects, ControlPlane.id(), 1),
        ];
        for (phase, step, beside, after) in added {
            let place =
                steps.iter().position(|planned| planned.step.id() == beside).map_or(steps.len(), |at| at + after);
            steps.insert(place, PlannedStep { phase, title: step.title(inputs), step });
        }
        Plan { steps }
    }

    /// Copies the snapshot to where [`RestoredData`] takes it, unless that was done, and records which backup it is of. The backup is
    /// verified once more on the way.
    pub fn stage(&self, host: &mut Host) -> anyhow::Result<()> {
        if host.ledger().is_done(RESTORED_DATA) {
            return Ok(());
        }
        host.keep_record(AWAITS_KUBEADM, b"")?;
        host.keep_record(LIST, &self.list().to_bytes())?;
        let mut file = &self.file;
        file.rewind().context("cannot read the backup once more")?;
        host.write_file_with(SNAPSHOT_PATH, 0o600, |snapshot| {
            let again =
                read::read(file, &self.opener, &self.keys, snapshot).context("cannot read the backup once more")?;
            if again.list != *self.list() {
                bail!("the backup was changed while it was read");
            }
            anyhow::Ok(())
        })
    }
}

/// The list of the backup that this host was begun to be restored from.
fn recorded(host: &Host) -> anyhow::Result<Option<BackupList>> {
    let path = format!("{}/{LIST}", ledger::DIRECTORY);
    let Some(bytes) = host.read(&path)? else { return Ok(None) };
    BackupList::parse(&bytes).map(Some).map_err(|reason| anyhow!("{path} is damaged: {reason}"))
}

#[cfg(test)]
mod tests;
