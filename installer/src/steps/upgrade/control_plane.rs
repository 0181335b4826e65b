//! Upgrades the control plane with the new kubeadm, while the old kubelet still runs.

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
        // Only kubeadm's own end proves that all of its work is done.
        if needs_kubeadm(context)? && !unfinished::has(&context.host, Mark::ControlPlane)? {
            return needed("kubeadm has not upgraded it yet");
        }
        KubeadmConfig.check(context)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        begin_changing(context)?;
        if KubeadmConfig.check(context)? != Check::Done {
            unfinished::note(&context.host, Mark::NewConfiguration)?;
        }
        preloaded::put_in_place(context, COMPONENTS)?;
        // kubeadm applies this patch to the kubelet's configuration. Without it the kubelet may not start (cgroup v1 from 1.35 on).
        let patch = host_settings::patch(context);
        context.host.write_file(host_settings::PATCH_PATH, patch.as_bytes(), 0o644)?;
        kubeadm_config::write(context)?;
        if needs_kubeadm(context)? {
            unfinished::note(&context.host, Mark::ClusterObjects)?;
            context.kubeadm().upgrade()?;
            unfinished::note(&context.host, Mark::ControlPlane)?;
        }
        Ok(())
    }
}

/// Whether the control plane has to be made again, with other images or another configuration.
fn needs_kubeadm(context: &Context<'_>) -> anyhow::Result<bool> {
    Ok(unfinished::has(&context.host, Mark::NewConfiguration)?
        || changes_control_plane(&former_list(&context.host)?, context.list, &context.facts.platform))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClusterSpec;
    use crate::fixture::bench::{Bench, FAILS, KUBECONFIG};
    use crate::fixture::{self, Cluster};
    use crate::host::Command;
    use crate::join_material::JoinMaterial;
    use crate::records::Records;
    use crate::steps::programs::preloaded::tests::stage;

    /// kubeadm fails while the root has `broken`.
    fn programs(root: &std::path::Path, command: &Command) -> Option<String> {
        let is_upgrade = command.arguments.first().is_some_and(|first| first == "upgrade");
        (is_upgrade && root.join("broken").exists()).then(|| format!("{FAILS}CoreDNS has no way to go"))
    }

    fn set_up(bench: &Bench, from: &str) -> Cluster {
        let mut cluster = Cluster::of_three_and_two();
        cluster.list = fixture::list("1.36.3");
        let list_bytes = fixture::list(from).to_bytes();
        let former = Records { list_bytes, signatures: vec![], keys: vec![], spec: ClusterSpec::default(), name: None };
        former.keep(&bench.host()).unwrap();
        bench.file("proc/uptime", "");
        bench.file("etc/kubernetes/admin.conf", KUBECONFIG);
        stage(bench, &cluster.list, ComponentName::Kubeadm, "kubeadm", "the new kubeadm");
        cluster
    }

    fn check(bench: &Bench, cluster: &Cluster) -> Check {
        bench.look_as(cluster, "c1", &JoinMaterial::default(), |context| UpgradedControlPlane.check(context).unwrap())
    }

    fn apply(bench: &Bench, cluster: &Cluster) -> anyhow::Result<()> {
        bench.act_as(cluster, "c1", &JoinMaterial::default(), |context| UpgradedControlPlane.apply(context))
    }

    #[test]
    fn it_is_upgraded_when_the_new_kubeadm_came_to_its_end() {
        let bench = Bench::with_programs(programs);
        let cluster = set_up(&bench, "1.35.4");
        bench.file("broken", "");
        assert!(matches!(check(&bench, &cluster), Check::Needed(_)));
        let error = apply(&bench, &cluster).unwrap_err();
        assert!(format!("{error:#}").contains("CoreDNS has no way to go"), "{error:#}");
        assert_eq!(bench.read("usr/local/bin/kubeadm"), "the new kubeadm");
        assert_eq!(check(&bench, &cluster), Check::Needed("kubeadm has not upgraded it yet".into()));
        fs_err::remove_file(bench.path("broken")).unwrap();
        bench.ran();
        apply(&bench, &cluster).unwrap();
        let called: Vec<_> = bench.ran().into_iter().filter(|command| command.contains("/kubeadm ")).collect();
        assert_eq!(
            called,
            [
                "/usr/local/bin/kubeadm init phase upload-config kubeadm --config=/etc/kubernetes/kubeadm.yaml",
                "/usr/local/bin/kubeadm upgrade apply v1.36.3 --yes --certificate-renewal=false --patches=/etc/kubernetes/patches",
            ]
        );
        assert_eq!(check(&bench, &cluster), Check::Done);
    }

    #[test]
    fn a_bundle_with_the_same_kubernetes_leaves_it_alone() {
        let bench = Bench::with_programs(programs);
        let cluster = set_up(&bench, "1.36.3");
        bench.act_as(&cluster, "c1", &JoinMaterial::default(), kubeadm_config::write).unwrap();
        let upgrades = || bench.ran().iter().filter(|command| command.contains("kubeadm upgrade")).count();
        apply(&bench, &cluster).unwrap();
        assert_eq!((upgrades(), check(&bench, &cluster)), (0, Check::Done));
        // A newer kinstall may write another configuration for the same version.
        bench.file("etc/kubernetes/kubeadm.yaml", "of a former kinstall");
        bench.file("broken", "");
        apply(&bench, &cluster).unwrap_err();
        assert_eq!(check(&bench, &cluster), Check::Needed("kubeadm has not upgraded it yet".into()));
        fs_err::remove_file(bench.path("broken")).unwrap();
        apply(&bench, &cluster).unwrap();
        assert_eq!((upgrades(), check(&bench, &cluster)), (2, Check::Done));
    }
}
