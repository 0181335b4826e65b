//! Which steps a host needs, and in which order. Reads nothing and changes nothing.

use kbundle_cluster::contents::BundleContents;
use kbundle_cluster::needs::{Mismatch, mismatches};

use crate::host::{Host, StepState};
use crate::inputs::Inputs;
use crate::stage::Phase;
use crate::steps::{
    Addons, BootSettings, Bridge, CertificateTimer, Containerd, ControlPlane, Dns, Etcd, EtcdClient, ExternalEtcd,
    FileModes, Firewall, HostsFile, ImageKeeper, Images, Join, KernelModules, KubeadmConfig, Kubeconfig, Kubelet,
    KubeletCertificates, LoadBalancer, Network, NetworkManager, NodeSettings, OsPackages, Programs, Ready, SharedKeys,
    SiteFiles, Step, Swap, Sysctls, Taint, VirtualAddress, kubeadm_config, upgrade,
};
use crate::upgrade::part::Part;

/// Every step, in the order of an installation. `reset` undoes them in the reverse order.
pub static STEPS: &[(Phase, &(dyn Step + Sync))] = &[
    (Phase::Prepare, &ExternalEtcd),
    (Phase::Prepare, &OsPackages),
    (Phase::Prepare, &Firewall),
    (Phase::Prepare, &NetworkManager),
    (Phase::Prepare, &Swap),
    (Phase::Prepare, &KernelModules),
    (Phase::Prepare, &Sysctls),
    (Phase::Prepare, &BootSettings),
    (Phase::Prepare, &HostsFile),
    (Phase::Prepare, &Programs),
    (Phase::Prepare, &Containerd),
    (Phase::Prepare, &Images),
    (Phase::Prepare, &Kubelet),
    (Phase::Prepare, &SiteFiles),
    (Phase::Etcd, &Etcd),
    (Phase::ControlPlane, &EtcdClient),
    (Phase::ControlPlane, &SharedKeys),
    (Phase::ControlPlane, &KubeadmConfig),
    (Phase::ControlPlane, &ControlPlane),
    (Phase::ControlPlane, &VirtualAddress),
    (Phase::ControlPlane, &Kubeconfig),
    (Phase::ControlPlane, &Dns),
    (Phase::Worker, &LoadBalancer),
    (Phase::Worker, &Join),
    (Phase::Worker, &Bridge),
    (Phase::Network, &Network),
    (Phase::Finish, &Taint),
    (Phase::Finish, &NodeSettings),
    (Phase::Finish, &FileModes),
    (Phase::Finish, &ImageKeeper),
    (Phase::Finish, &KubeletCertificates),
    (Phase::Finish, &CertificateTimer),
    (Phase::Finish, &Addons),
    (Phase::Finish, &Ready),
];

/// The steps of an installation that began and were never completed, or whose change of settings was cut off.
#[must_use]
pub fn incomplete(host: &Host, inputs: &Inputs<'_>) -> Vec<&'static str> {
    let concerned = STEPS.iter().filter(|(_, step)| step.concerns(inputs));
    let is_cut_off = |id: &&str| {
        let changes_settings = *id == KubeadmConfig.id() && kubeadm_config::changes_settings(host);
        changes_settings || host.ledger().state_of(id) == StepState::CutOff
    };
    concerned.map(|(_, step)| step.id()).filter(is_cut_off).collect()
}

/// Whether a step belongs to upgrades and not to installations.
#[must_use]
pub fn is_of_upgrades_alone(id: &str) -> bool {
    upgrade::STEPS.iter().any(|(_, step)| step.id() == id) && !STEPS.iter().any(|(_, step)| step.id() == id)
}

/// The steps for this host, in order.
pub struct Plan {
    /// The steps, each with its phase and title.
    pub steps: Vec<PlannedStep>,
}

impl Plan {
    /// Only the steps of one phase.
    #[must_use]
    pub fn of_phase(self, phase: Phase) -> Self {
        Self { steps: self.steps.into_iter().filter(|planned| planned.phase == phase).collect() }
    }
}

/// A step of a plan.
pub struct PlannedStep {
    /// The phase that it belongs to.
    pub phase: Phase,
    /// What it does.
    pub title: String,
    /// The step.
    pub step: &'static (dyn Step + Sync),
}

/// Decides which steps a host needs.
///
/// # Errors
/// The first of the [`refusals`].
pub fn plan(inputs: &Inputs<'_>) -> Result<Plan, Mismatch> {
    if let Some(refusal) = refusals(inputs).into_iter().next() {
        return Err(refusal);
    }
    let concerned = STEPS.iter().filter(|(_, step)| step.concerns(inputs));
    let steps = concerned.map(|&(phase, step)| PlannedStep { phase, title: step.title(inputs), step }).collect();
    Ok(Plan { steps })
}

/// Decides which steps an upgrade needs on one host: first the steps that change versions, in their order, and then all steps of an
/// installation, most of which find nothing to do.
///
/// # Errors
/// The first of the [`refusals`].
pub fn plan_upgrade(inputs: &Inputs<'_>) -> Result<Plan, Mismatch> {
    plan_upgrade_parts(inputs, &Part::ALL)
}

/// The same for some parts of an upgrade.
///
/// # Errors
/// The first of the [`refusals`].
pub fn plan_upgrade_parts(inputs: &Inputs<'_>, parts: &[Part]) -> Result<Plan, Mismatch> {
    let Plan { steps: installation } = plan(inputs)?;
    let concerned = upgrade::STEPS.iter().filter(|(part, step)| parts.contains(part) && step.concerns(inputs));
    let upgrade = concerned.map(|&(part, step)| PlannedStep { phase: part.phase(), title: step.title(inputs), step });
    let installation = installation.into_iter().filter(|planned| parts.contains(&Part::with(planned.phase)));
    Ok(Plan { steps: upgrade.chain(installation).collect() })
}

/// Everything that the configuration asks for and that the bundle, or its version of Kubernetes, does not have.
#[must_use]
pub fn refusals(inputs: &Inputs<'_>) -> Vec<Mismatch> {
    mismatches(inputs.spec, &BundleContents::of(inputs.list), &inputs.profile())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterSpec, Cni, KubeProxyMode};
    use crate::fixture;
    use kbundle_format::{BundleList, ComponentName};

    fn planned(list: &BundleList, spec: &ClusterSpec) -> Result<String, String> {
        let inputs = Inputs { spec, facts: &fixture::facts(), list, topology: &fixture::topology() };
        let plan = plan(&inputs).map_err(|error| error.to_string())?;
        let lines: Vec<_> = plan.steps.iter().map(|step| format!("{}: {}", step.step.id(), step.title)).collect();
        Ok(lines.join("\n"))
    }

    #[test]
    fn what_the_kubernetes_of_the_bundle_does_not_take_makes_no_plan() {
        let field =
            ClusterSpec::parse("kubelet: {config: {imagePullCredentialsVerificationPolicy: NeverVerify}}").unwrap();
        assert!(planned(&fixture::list("1.36.3"), &field).is_ok());
        insta::assert_snapshot!(planned(&fixture::list("1.25.2"), &field).unwrap_err(), @"`imagePullCredentialsVerificationPolicy`: the kubelet of Kubernetes 1.25.2 has no field `imagePullCredentialsVerificationPolicy`; those of 1.33 to 1.36 have");
        // The bundle has no network, so that it is the bridge.
        let pods = ClusterSpec::parse("kubelet: {max-pods: 300}").unwrap();
        let refused = planned(&fixture::list("1.36.3"), &pods).unwrap_err();
        assert!(refused.starts_with("a node may have 300 pods"), "{refused}");
    }

    #[test]
    fn a_site_with_an_etcd_of_its_own_gets_none() {
        let external = "etcd: {external: {endpoints: ['https://192.0.2.31:2379'], ca-file: /a, certificate-file: /b, key-file: /c}}";
        let spec = ClusterSpec::parse(external).unwrap();
        let facts = fixture::facts();
        let topology = crate::topology::Topology::single(&spec, &facts).unwrap();
        let inputs = Inputs { spec: &spec, facts: &facts, list: &fixture::list("1.36.3"), topology: &topology };
        let steps = plan(&inputs).unwrap().steps;
        let ids: Vec<_> = steps.iter().map(|step| step.step.id()).collect();
        assert_eq!(ids[0], "external-etcd");
        assert!(!ids.contains(&"etcd") && !ids.contains(&"etcd-client"), "{ids:?}");
        assert_eq!(steps[0].title, "use the site's etcd at https://192.0.2.31:2379");
    }

    #[test]
    fn one_host_gets_every_step() {
        insta::assert_snapshot!(planned(&fixture::list("1.25.2"), &ClusterSpec::default()).unwrap(), @"
        swap: switch swap off, now and at boot
        kernel-modules: load kernel modules br_netfilter, nf_conntrack, overlay
        sysctls: set kernel settings
        hosts-file: name this host and api.kubernetes.internal in /etc/hosts
        programs: install containerd 1.6.20, runc 1.1.4, cni-plugins 1.2.0, crictl 1.25.0, etcd 3.5.6, kubelet 1.25.2, kubeadm 1.25.2, kubectl 1.25.2
        containerd: set up containerd 1.6.20
        images: load 6 images into containerd
        kubelet: set up the kubelet 1.25.2
        etcd: set up etcd 3.5.6 with its own certificate authority
        etcd-client: give the API server a certificate for etcd
        kubeadm-config: write kubeadm's configuration, an encryption key and an audit policy
        control-plane: set up the control plane with kubeadm 1.25.2
        kubeconfig: give root a kubeconfig
        dns: let CoreDNS answer only for the cluster, since this host has no name server
        bridge: give this host's pods a bridge
        network: connect pods with those of other hosts by routes
        taint: let node-1 run pods of users
        file-modes: close the kubelet's configuration to other users
        image-keeper: keep images from being deleted
        certificate-timer: renew certificates before they expire, by a timer
        addons: remove add-ons that are no longer listed
        ready: wait until the node is ready and the system's pods run
        ");
    }

    #[test]
    fn each_of_several_hosts_gets_what_its_place_needs() {
        let mut cluster = fixture::Cluster::of_three_and_two();
        let steps = |cluster: &fixture::Cluster, name: &str, phases: &[Phase]| {
            let topology = cluster.seen_from(name);
            let plan = plan(&cluster.inputs(&topology)).unwrap();
            let wanted = plan.steps.iter().filter(|step| phases.contains(&step.phase));
            wanted.map(|step| step.step.id()).collect::<Vec<_>>().join(" ")
        };
        let later = [Phase::ControlPlane, Phase::Worker, Phase::Network, Phase::Finish];
        insta::assert_snapshot!(steps(&cluster, "c1", &later), @"etcd-client kubeadm-config control-plane kubeconfig dns bridge network node-settings file-modes image-keeper certificate-timer addons ready");
        insta::assert_snapshot!(steps(&cluster, "c2", &later), @"etcd-client shared-keys kubeadm-config control-plane kubeconfig bridge network file-modes image-keeper certificate-timer");
        insta::assert_snapshot!(steps(&cluster, "w1", &later), @"load-balancer join bridge network file-modes image-keeper certificate-timer ready");
        assert_eq!(steps(&cluster, "w1", &[Phase::Etcd]), "");
        cluster.spec.hosts[2].roles = [kbundle_format::Role::Etcd].into();
        insta::assert_snapshot!(steps(&cluster, "c3", &Phase::ALL), @"hosts-file programs etcd");
        cluster.list.images.retain(|image| image.reference.short_name() != ComponentName::Haproxy.as_str());
        let topology = cluster.seen_from("w1");
        assert!(matches!(plan(&cluster.inputs(&topology)), Err(Mismatch::NoLoadBalancer)));
    }

    #[test]
    fn control_planes_hold_an_address_that_moves_where_the_bundle_lets_them() {
        let mut cluster = fixture::Cluster::of_three_and_two();
        cluster.spec.api.load_balancer = crate::config::LoadBalancer::Vip;
        cluster.spec.api.address = Some("10.0.0.100".parse().unwrap());
        let holds = |cluster: &fixture::Cluster, name: &str| {
            let topology = cluster.seen_from(name);
            let plan = plan(&cluster.inputs(&topology)).map_err(|error| error.to_string())?;
            Ok(plan.steps.iter().any(|planned| planned.step.id() == "virtual-address"))
        };
        assert_eq!((holds(&cluster, "c2"), holds(&cluster, "w1")), (Ok(true), Ok(false)));
        cluster.list.images.retain(|image| image.reference.short_name() != "kube-vip");
        let refusal: String = holds(&cluster, "c2").unwrap_err();
        insta::assert_snapshot!(refusal, @"the bundle has no kube-vip image for this host's platform, which the load balancer `vip` is; build it with `--addon kube-vip`, or set api.load-balancer to `node-local`");
        assert_eq!(holds(&cluster, "w1"), Ok(false));
    }

    #[test]
    fn a_host_of_another_architecture_than_cluster_yaml_says_is_refused() {
        let mut cluster = fixture::Cluster::of_three_and_two();
        cluster.spec.hosts[0].arch = Some(crate::config::Architecture::Arm64);
        let name = cluster.spec.hosts[0].name.to_string();
        let topology = cluster.seen_from(&name);
        let refused = plan(&cluster.inputs(&topology)).map(|_| ()).unwrap_err().to_string();
        assert_eq!(
            refused,
            "the host has the architecture amd64, and hosts[0].arch says arm64; correct the one or the other"
        );
    }

    #[test]
    fn hosts_are_made_fit_where_the_user_consents() {
        let spec = ClusterSpec::default().with_hosts_prepared();
        let steps = planned(&fixture::list("1.25.2"), &spec).unwrap();
        assert!(steps.starts_with("firewall: open "), "{steps}");
        assert!(steps.contains("\nboot-settings: "), "{steps}");
        assert!(!steps.contains("network-manager: "), "it does not run there: {steps}");
    }

    #[test]
    fn a_network_of_the_sites_own_is_left_to_it() {
        let mut spec = ClusterSpec::default();
        spec.network.cni = Some(Cni::None);
        let steps = planned(&fixture::list("1.25.2"), &spec).unwrap();
        assert!(!steps.contains("bridge:") && !steps.contains("network:"), "{steps}");
        assert!(steps.ends_with("ready: wait until the kubelet of each node reports; nodes are not ready and pods wait until you bring the network (network.cni: none)"), "{steps}");
    }

    #[test]
    fn refuses_a_bundle_that_lacks_something() {
        let refused = |change: fn(&mut BundleList), spec: &ClusterSpec| {
            let mut list = fixture::list("1.25.2");
            change(&mut list);
            planned(&list, spec).unwrap_err()
        };
        let spec = ClusterSpec::default();
        let without_programs = refused(|list| list.entries.retain(|entry| entry.component.is_none()), &spec);
        insta::assert_snapshot!(without_programs, @"the bundle has no containerd, runc, cni-plugins, crictl, etcd, kubelet, kubeadm, kubectl for this host's platform");
        let older = refused(|list| list.kubernetes_version = "1.24.17".parse().unwrap(), &spec);
        insta::assert_snapshot!(older, @"Kubernetes 1.24.17 is too old for this kinstall; the oldest that it installs is 1.25.0");
        let ill_paired = refused(|list| list.kubernetes_version = "1.34.3".parse().unwrap(), &spec);
        insta::assert_snapshot!(ill_paired, @"Kubernetes 1.34.3 takes etcd 3.5.24 or later (cmd/kubeadm/app/constants/constants.go, MinExternalEtcdVersion), and the bundle has 3.5.6");
        insta::assert_snapshot!(refused(|list| list.images.clear(), &spec), @"the bundle has no kube-apiserver image for linux/amd64");
        let mut calico = ClusterSpec::default();
        calico.network.cni = Some(Cni::Calico);
        let mut nftables = ClusterSpec::default();
        nftables.network.kube_proxy.mode = KubeProxyMode::Nftables;
        insta::assert_snapshot!(refused(|_| (), &nftables), @"the kube-proxy of Kubernetes 1.25.2 has no mode nftables yet, which needs 1.31.0; set network.kube-proxy.mode to iptables");
        assert!(planned(&fixture::list("1.31.0"), &nftables).is_ok());
        let with_addon = ClusterSpec { addons: vec!["metallb".parse().unwrap()], ..ClusterSpec::default() };
        insta::assert_snapshot!(refused(|_| (), &with_addon), @"the bundle has no add-on metallb, which the configuration lists under addons; build it with `--addon metallb`");
        insta::assert_snapshot!(refused(|_| (), &calico), @"the configuration has network.cni calico, and the bundle has no network add-on, which is for `bridge` and `none`; take one of the bundle's, or build another with `--cni calico`");
    }
}
