//! The configuration of a worker's kubelet, by the new kubeadm. On a control plane kubeadm changes it with the rest.

use kbundle_format::{ComponentName, Role};

use super::{begin_changing, former_list};
use crate::inputs::Inputs;
use crate::kubeadm::host_settings;
use crate::steps::programs::preloaded;
use crate::steps::{Check, Context, Step, needed};
use crate::upgrade::unfinished::{self, Mark};

const COMPONENTS: &[ComponentName] = &[ComponentName::Kubeadm];

/// Takes over the new control plane's settings for kubelets.
pub struct UpgradedWorker;

impl Step for UpgradedWorker {
    fn id(&self) -> &'static str {
        "upgrade-worker"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        format!("configure the kubelet with kubeadm {}", inputs.list.kubernetes_version)
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.has(Role::Worker) && !inputs.has(Role::ControlPlane)
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        if let Some(reason) = preloaded::pending(context, COMPONENTS)? {
            return needed(reason);
        }
        // Only kubeadm's own end proves that its work is done.
        if needs_kubeadm(context)? && !unfinished::has(&context.host, Mark::Worker)? {
            return needed("kubeadm has not upgraded it yet");
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        begin_changing(context)?;
        preloaded::put_in_place(context, COMPONENTS)?;
        // kubeadm applies this patch to the kubelet's configuration.
        let patch = host_settings::patch(context);
        context.host.write_file(host_settings::PATCH_PATH, patch.as_bytes(), 0o644)?;
        if needs_kubeadm(context)? {
            context.kubeadm().upgrade()?;
            unfinished::note(&context.host, Mark::Worker)?;
        }
        Ok(())
    }
}

/// The cluster's configuration for kubelets changes only with the version of Kubernetes.
fn needs_kubeadm(context: &Context<'_>) -> anyhow::Result<bool> {
    Ok(former_list(&context.host)?.kubernetes_version != context.list.kubernetes_version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClusterSpec;
    use crate::fixture::bench::{Bench, KUBECONFIG};
    use crate::fixture::{self, Cluster};
    use crate::join_material::JoinMaterial;
    use crate::records::Records;
    use crate::steps::programs::preloaded::tests::stage;

    fn upgraded_by(from: &str) -> Vec<String> {
        let bench = Bench::new();
        let mut cluster = Cluster::of_three_and_two();
        cluster.list = fixture::list("1.36.3");
        let list_bytes = fixture::list(from).to_bytes();
        let former = Records { list_bytes, signatures: vec![], keys: vec![], spec: ClusterSpec::default(), name: None };
        former.keep(&bench.host()).unwrap();
        bench.file("proc/uptime", "");
        bench.file("etc/kubernetes/kubelet.conf", KUBECONFIG);
        stage(&bench, &cluster.list, ComponentName::Kubeadm, "kubeadm", "the new kubeadm");
        let material = JoinMaterial::default();
        let check = || bench.look_as(&cluster, "w1", &material, |context| UpgradedWorker.check(context).unwrap());
        assert!(matches!(check(), Check::Needed(_)));
        bench.act_as(&cluster, "w1", &material, |context| UpgradedWorker.apply(context)).unwrap();
        assert_eq!((check(), bench.read("usr/local/bin/kubeadm").as_str()), (Check::Done, "the new kubeadm"));
        bench.ran().into_iter().filter(|command| command.contains("/kubeadm ")).collect()
    }

    #[test]
    fn a_worker_takes_the_configuration_of_another_kubernetes_from_the_cluster() {
        let called =
            "/usr/local/bin/kubeadm upgrade node --certificate-renewal=false --patches=/etc/kubernetes/patches";
        assert_eq!(upgraded_by("1.35.4"), [called]);
        assert_eq!(upgraded_by("1.36.3"), Vec::<String>::new());
    }
}
