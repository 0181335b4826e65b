//! What belongs into a backup of a host.

use anyhow::{Context as _, anyhow};
use kbundle_format::{ComponentName, Digest, Role};

use super::list::{BackupEntry, BackupList, SCHEMA, name_of};
use super::{SNAPSHOT, SPEC};
use crate::etcd_layout as layout;
use crate::failure::Advise;
use crate::host::Host;
use crate::inputs::Inputs;
use crate::join_file::Moment;
use crate::standing::Standing;
use crate::steps::etcd::snapshot::EtcdSnapshot;
use crate::steps::{ControlPlane, Etcd, Step, shared_keys};
use crate::{recovery, restoration_records};

/// What goes into a backup. The list names all of it, and the snapshot.
pub struct Collected {
    /// The list.
    pub list: BackupList,
    /// The content of its entries, in order, without the snapshot. Most of it is secret.
    pub files: Vec<Vec<u8>>,
}

/// Refuses a host from which no cluster could be restored.
pub fn refuse_unsuitable(host: &Host, inputs: &Inputs<'_>) -> anyhow::Result<()> {
    let name = inputs.node_name();
    if inputs.spec.etcd.external.is_some() {
        return Err(anyhow!("the cluster's state is in an etcd of the site, which kinstall does not back up"))
            .refused()
            .hint("back that etcd up with its own tools, and keep /etc/kubernetes/pki and /etc/kubernetes/encryption.yaml with it");
    }
    if !inputs.has(Role::ControlPlane) || !inputs.has(Role::Etcd) {
        return Err(anyhow!(
            "this host, {name}, is not both a control plane and a member of etcd, so that it lacks a part of the state"
        ))
        .refused()
        .hint("run it on a host with both roles: `kinstall config print cluster.yaml` shows the roles");
    }
    restoration_records::refuse_unfinished(host)?;
    recovery::refuse_unfinished(host)?;
    if let Some(step) = [Etcd.id(), ControlPlane.id()].into_iter().find(|step| !host.ledger().is_done(step)) {
        return Err(anyhow!("this host, {name}, was never completed: the step `{step}` is not done"))
            .refused()
            .hint("complete it with `kinstall run`; `kinstall status` shows what is missing");
    }
    Ok(())
}

/// Collects everything but the snapshot, which was taken at `created`.
pub fn collect(
    host: &Host,
    standing: &Standing,
    snapshot: &EtcdSnapshot,
    created: Moment,
) -> anyhow::Result<Collected> {
    let inputs = standing.inputs();
    let spec = serde_yaml::to_string(&standing.records.spec).context("cannot write the cluster's description")?;
    let mut named = vec![(SPEC.to_owned(), spec.into_bytes())];
    for file in shared_keys::read(host, &inputs)? {
        named.push((name_of(&file.path), file.content.into_bytes()));
    }
    for path in [layout::CA_PATH, layout::CA_KEY_PATH] {
        let content = host.read(path)?.with_context(|| format!("this host has no {path}"))?;
        named.push((name_of(path), content));
    }
    let (digest, _) = host.digest(&snapshot.path)?.context("the snapshot of etcd is gone")?;
    let mut entries: Vec<_> = named.iter().map(|(name, content)| BackupEntry::of(name, content)).collect();
    entries.push(BackupEntry { path: SNAPSHOT.to_owned(), size_bytes: snapshot.size_bytes, digest });
    let list = BackupList {
        schema: SCHEMA,
        created,
        cluster: inputs.spec.name.to_string(),
        host: inputs.node_name(),
        kubernetes_version: inputs.list.kubernetes_version,
        etcd_version: inputs.version_of(ComponentName::Etcd).unwrap_or_default().to_owned(),
        bundle: Digest::of(&standing.records.list_bytes),
        entries,
    };
    Ok(Collected { list, files: named.into_iter().map(|(_, content)| content).collect() })
}
