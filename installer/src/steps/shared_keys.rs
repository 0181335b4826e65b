//! The keys that all control planes share: read on an existing control plane, written on one that joins.

use anyhow::{Context as _, bail};
use kbundle_format::Role;

use super::{Check, Context, Step, control_plane, needed};
use crate::config::{ClusterSpec, Switch};
use crate::host::Host;
use crate::inputs::Inputs;
use crate::join_material::SharedFile;
use crate::kubeadm::{self, AUTHORITY_PATH, ENCRYPTION_PATH};

/// The files that every control plane shares (kubeadm's documentation, "Manual certificate distribution"); etcd is external here.
const SHARED: [&str; 6] = [
    AUTHORITY_PATH,
    "/etc/kubernetes/pki/ca.key",
    "/etc/kubernetes/pki/sa.key",
    "/etc/kubernetes/pki/sa.pub",
    "/etc/kubernetes/pki/front-proxy-ca.crt",
    "/etc/kubernetes/pki/front-proxy-ca.key",
];

/// The paths of the shared files.
pub fn paths(spec: &ClusterSpec) -> impl Iterator<Item = &'static str> {
    let encryption = (spec.security.encryption_at_rest == Switch::Enabled).then_some(ENCRYPTION_PATH);
    SHARED.into_iter().chain(encryption)
}

/// One of the shared files, with its mode.
#[must_use]
pub fn file(path: &str, content: String) -> SharedFile {
    let public = [".crt", ".pub"].iter().any(|ending| path.ends_with(ending));
    SharedFile { path: path.to_owned(), mode: if public { 0o644 } else { 0o600 }, content }
}

/// The files that another control plane takes over from this one. All of them are secret, or almost.
pub fn read(host: &Host, inputs: &Inputs<'_>) -> anyhow::Result<Vec<SharedFile>> {
    let read = |path: &'static str| {
        let content = host.read_text(path)?.with_context(|| format!("this control plane has no {path}"))?;
        Ok(file(path, content))
    };
    paths(inputs.spec).map(read).collect()
}

/// Installs the keys that all control planes share, on one that joins.
pub struct SharedKeys;

impl Step for SharedKeys {
    fn id(&self) -> &'static str {
        "shared-keys"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "take over the keys that all control planes share".to_owned()
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.has(Role::ControlPlane) && !inputs.leads()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        if control_plane::is_set_up(&context.host) {
            return Ok(Check::Done);
        }
        if context.material.shared_files.is_empty() {
            return needed("this host has not received them yet");
        }
        for file in &context.material.shared_files {
            if !context.host.has_file(&file.path, file.content.as_bytes(), file.mode)? {
                return needed(format!("{} is not the cluster's", file.path));
            }
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        if context.material.shared_files.is_empty() {
            bail!("this host did not receive the keys that control planes share");
        }
        context.host.claim_tree(kubeadm::DIRECTORY)?;
        for file in &context.material.shared_files {
            context.host.write_file(&file.path, file.content.as_bytes(), file.mode)?;
        }
        Ok(())
    }
}
