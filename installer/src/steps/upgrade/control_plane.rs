//! The control plane, by the new kubeadm while the old kubelet still runs.

use kbundle_format::{ComponentName, Role};

use super::{begin_changing, former_list};
use crate::inputs::Inputs;
use crate::kubeadm::host_settings;
use crate::steps::programs::preloaded;
use crate::steps::{Check, Context, KubeadmConfig, Step, kubeadm_config, needed};
use crate::upgrade::outline::changes_control_plane;
use crate::upgrade::unfinished::{self, Mark};

const COMPONENTS: &[ComponentName] = &[ComponentName::Kubeadm];

/// Upgrades the control plane, CoreDNS and kube-proxy.
pub struct UpgradedControlPlane;

impl Step for UpgradedControlPlane {
    fn id(&self) -> &'static str {
        "upgrade-control-plane"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        format!("upgrade the control plane with kubeadm {}", inputs.list.kubernetes_version)
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.has(Role::ControlPlane)
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        if let Some(reason) = preloaded::pending(context, COMPONENTS)? {
            return needed(reason);
        }
        // kubeadm's own end is the only proof that all of its work is done.
        if is_changed(context)? && !unfinished::has(&context.host, Mark::ControlPlane)? {
            return needed("kubeadm has not upgraded it yet");
        }
        KubeadmConfig.check(context)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        begin_changing(context)?;
        let is_changed = is_changed(context)?;
        preloaded::put_in_place(context, COMPONENTS)?;
        // kubeadm puts it over the configuration of the kubelet, which may not start without (cgroup v1 from 1.35 on).
        let patch = host_settings::patch(context);
        context.host.write_file(host_settings::PATCH_PATH, patch.as_bytes(), 0o644)?;
        kubeadm_config::write(context)?;
        if is_changed {
            context.kubeadm().upgrade()?;
            unfinished::note(&context.host, Mark::ControlPlane)?;
        }
        Ok(())
    }
}

fn is_changed(context: &Context<'_>) -> anyhow::Result<bool> {
    Ok(changes_control_plane(&former_list(&context.host)?, context.list, &context.facts.platform))
}
