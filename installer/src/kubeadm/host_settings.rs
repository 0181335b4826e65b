//! Where the kubelet of one host differs from the cluster's `KubeletConfiguration`; this depends on that host's facts.
//!
//! The differences are a patch for kubeadm. kubeadm applies it to the cluster's configuration in `init`, `join` and
//! `upgrade node --patches`, and writes the result to the host. Source: cmd/kubeadm/app/util/patches/patches.go and
//! cmd/kubeadm/app/phases/kubelet/config.go (`WriteConfigToDisk`) of Kubernetes, since 1.25. The reasons:
//! `docs/decisions/kubelet-of-each-host.md`.

use serde::Serialize;
use serde_yaml::Mapping;

use super::overlay;
use crate::facts::CgroupVersion;
use crate::inputs::Inputs;
use crate::kernel_settings::kubelet_defaults_hold;
use crate::version_rules::kubernetes::FAIL_CGROUP_V1;

/// Where kubeadm looks for patches.
pub const PATCHES_DIRECTORY: &str = "/etc/kubernetes/patches";
/// The patch. Its name says what it patches and how.
pub const PATCH_PATH: &str = "/etc/kubernetes/patches/kubeletconfiguration+merge.yaml";

/// `patches` of kubeadm's `InitConfiguration` and `JoinConfiguration`.
#[derive(Serialize)]
pub(super) struct Patches {
    directory: &'static str,
}

impl Patches {
    pub(super) const OURS: Self = Self { directory: PATCHES_DIRECTORY };
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HostSettings<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    fail_cgroup_v1: Option<bool>,
    protect_kernel_defaults: bool,
    resolv_conf: &'a str,
}

impl<'a> HostSettings<'a> {
    fn of(inputs: &Inputs<'a>) -> Self {
        let facts = inputs.facts;
        let may_be_v1 =
            facts.cgroups.version == CgroupVersion::V1 && FAIL_CGROUP_V1.holds(inputs.list.kubernetes_version);
        Self {
            fail_cgroup_v1: may_be_v1.then_some(false),
            protect_kernel_defaults: kubelet_defaults_hold(&facts.kernel.sysctls),
            resolv_conf: &facts.resolver.file,
        }
    }
}

/// This host's differences: from its facts, and from its entry in cluster.yaml.
fn values(inputs: &Inputs<'_>) -> Mapping {
    let mut values = overlay::mapping(&HostSettings::of(inputs));
    let name = inputs.node_name();
    if let Some(host) = inputs.spec.hosts.iter().find(|host| host.name.as_str() == name) {
        values.extend(host.kubelet.max_pods.map(|most| ("maxPods".into(), most.into())));
        overlay::merge(&mut values, overlay::mapping(&host.kubelet.config));
    }
    values
}

/// The patch, as YAML.
#[must_use]
pub fn patch(inputs: &Inputs<'_>) -> String {
    let values = super::document(&values(inputs));
    format!("# Written by kinstall: what the kubelet of this host has otherwise than the cluster's.\n{values}")
}

/// The first key of the kubelet's `configuration` (`/var/lib/kubelet/config.yaml`) that does not have the value that this host needs.
///
/// `None` for text that is not a mapping: it is from a kubeadm that was cut off, and the next run of kubeadm writes it again.
#[must_use]
pub fn disagreement(configuration: &str, inputs: &Inputs<'_>) -> Option<String> {
    let found = read(configuration)?;
    overlay::first_missing(&found, &values(inputs))
}

/// The same configuration with the values that this host needs; `None` for text that is not a mapping.
#[must_use]
pub fn mended(configuration: &str, inputs: &Inputs<'_>) -> Option<String> {
    let mut settings = read(configuration)?;
    overlay::merge(&mut settings, values(inputs));
    Some(super::document(&settings))
}

/// The complete configuration of this host's kubelet from cluster.yaml and the host's facts, as YAML: the cluster's, overridden by the
/// host's.
#[must_use]
pub fn whole(inputs: &Inputs<'_>) -> String {
    let mut all = super::kubelet::of_cluster(inputs);
    overlay::merge(&mut all, values(inputs));
    super::document(&all)
}

/// The kubelet's `configuration` without the keys that `former` has and `wanted` lacks, and with everything in `wanted`; both come from
/// [`whole`]. `None` if one of them is not a mapping.
#[must_use]
pub fn changed(configuration: &str, former: &str, wanted: &str) -> Option<String> {
    let (mut settings, wanted) = (read(configuration)?, read(wanted)?);
    overlay::retract(&mut settings, &read(former)?, &wanted);
    overlay::merge(&mut settings, wanted);
    Some(super::document(&settings))
}

fn read(configuration: &str) -> Option<Mapping> {
    serde_yaml::from_str(configuration).ok().filter(|settings: &Mapping| !settings.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{HostFacts, Sysctl};
    use crate::fixture;
    use crate::kubeadm::configuration;

    /// One host with systemd-resolved, cgroup v2 and settings of its own, and one with cgroup v1 and read-only settings.
    fn unlike_hosts() -> [HostFacts; 2] {
        let mut resolved = fixture::facts();
        resolved.resolver.file = "/run/systemd/resolve/resolv.conf".into();
        let mut plain = fixture::facts();
        plain.cgroups.version = CgroupVersion::V1;
        plain.kernel.sysctls.insert("kernel.panic".into(), Sysctl { value: "0".into(), writable: false });
        [resolved, plain]
    }

    fn with_inputs<T>(facts: HostFacts, name: &str, look: impl FnOnce(&Inputs<'_>) -> T) -> T {
        let mut cluster = fixture::Cluster::of_three_and_two();
        cluster.list = fixture::list("1.36.3");
        cluster.facts = facts;
        let topology = cluster.seen_from(name);
        look(&cluster.inputs(&topology))
    }

    #[test]
    fn unlike_hosts_get_each_their_own() {
        let [leader, worker] = unlike_hosts();
        insta::assert_snapshot!(with_inputs(leader, "c1", patch), @"
        # Written by kinstall: what the kubelet of this host has otherwise than the cluster's.
        protectKernelDefaults: true
        resolvConf: /run/systemd/resolve/resolv.conf
        ");
        insta::assert_snapshot!(with_inputs(worker, "w1", patch), @"
        # Written by kinstall: what the kubelet of this host has otherwise than the cluster's.
        failCgroupV1: false
        protectKernelDefaults: false
        resolvConf: /etc/resolv.conf
        ");
    }

    /// Case 02 of the public reports: the facts of one host must not reach another through the cluster's configuration, whichever host
    /// leads.
    #[test]
    fn the_clusters_configuration_is_the_same_whoever_leads() {
        let kubelet_of_all = |facts| {
            let written = with_inputs(facts, "c1", |inputs| configuration(inputs).unwrap());
            let document = written.split("---\n").find(|part| part.contains("kind: KubeletConfiguration"));
            document.unwrap().to_owned()
        };
        let [one, other] = unlike_hosts().map(kubelet_of_all);
        assert_eq!(one, other);
        for key in ["resolvConf", "failCgroupV1", "protectKernelDefaults"] {
            assert!(!one.contains(key), "{key}: {one}");
        }
    }

    #[test]
    fn cluster_yaml_has_the_last_word_on_a_host() {
        let mut cluster = fixture::Cluster::of_three_and_two();
        let kubelet = "{max-pods: 60, config: {systemReserved: {memory: 4Gi}}}";
        let index = cluster.spec.hosts.iter().position(|host| host.name.as_str() == "w1").unwrap();
        cluster.spec.hosts[index].kubelet = serde_yaml::from_str(kubelet).unwrap();
        let topology = cluster.seen_from("w1");
        let inputs = cluster.inputs(&topology);
        insta::assert_snapshot!(patch(&inputs), @"
        # Written by kinstall: what the kubelet of this host has otherwise than the cluster's.
        protectKernelDefaults: true
        resolvConf: /etc/resolv.conf
        maxPods: 60
        systemReserved:
          memory: 4Gi
        ");
        // The cluster's own reservation of another resource stays.
        let there = "kind: KubeletConfiguration\nmaxPods: 110\nsystemReserved:\n  cpu: 500m\n";
        assert!(disagreement(there, &inputs).is_some());
        let mended = mended(there, &inputs).unwrap();
        assert!(mended.contains("maxPods: 60") && mended.contains("cpu: 500m\n  memory: 4Gi"), "{mended}");
        assert_eq!(disagreement(&mended, &inputs), None);
        let topology = cluster.seen_from("w2");
        assert!(!patch(&cluster.inputs(&topology)).contains("maxPods"));
    }

    #[test]
    fn what_became_of_a_host_is_noticed_and_mended() {
        let [resolved, plain] = unlike_hosts();
        // As kubeadm writes it: the cluster's configuration, with the host's patch applied.
        let written =
            with_inputs(resolved.clone(), "w1", |inputs| mended("kind: KubeletConfiguration\nmaxPods: 110\n", inputs));
        let written = written.unwrap();
        assert_eq!(with_inputs(resolved, "w1", |inputs| disagreement(&written, inputs)), None);
        with_inputs(plain, "w1", |inputs| {
            assert_eq!(disagreement(&written, inputs).unwrap(), "failCgroupV1");
            let mended = mended(&written, inputs).unwrap();
            assert_eq!(disagreement(&mended, inputs), None);
            insta::assert_snapshot!(mended, @"
            kind: KubeletConfiguration
            maxPods: 110
            protectKernelDefaults: false
            resolvConf: /etc/resolv.conf
            failCgroupV1: false
            ");
            for cut_off in ["", "kind"] {
                assert_eq!(disagreement(cut_off, inputs), None, "{cut_off:?}");
            }
        });
    }
}
