//! Takes a snapshot of etcd before anything that runs is changed.

use kbundle_format::{KubeVersion, Role};

use crate::inputs::Inputs;
use crate::steps::etcd::snapshot;
use crate::steps::{Check, Context, Step, needed};
use crate::upgrade::unfinished::{self, Mark};

/// Takes the snapshot, which stays when the upgrade is done.
pub struct Snapshot;

impl Step for Snapshot {
    fn id(&self) -> &'static str {
        "etcd-snapshot"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        format!("take a snapshot of etcd: {}", path(inputs))
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.has(Role::Etcd)
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        if !unfinished::has(&context.host, Mark::Snapshot)? {
            return needed("none was taken for this upgrade yet");
        }
        match snapshot::check(&context.host, &path(context)) {
            Ok(_) => Ok(Check::Done),
            Err(error) => needed(error.to_string()),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let (address, path) = (context.address(), path(context));
        context.host.claim_tree(snapshot::DIRECTORY)?;
        context.progress.detail("etcdctl snapshot save");
        snapshot::take(&mut context.host, address, &path)?;
        unfinished::note(&context.host, Mark::Snapshot)
    }
}

fn path(inputs: &Inputs<'_>) -> String {
    snapshot_path(inputs.list.kubernetes_version)
}

/// The path of the snapshot that is taken before an upgrade to Kubernetes `to`.
#[must_use]
pub fn snapshot_path(to: KubeVersion) -> String {
    format!("{}/before-{to}.db", snapshot::DIRECTORY)
}
