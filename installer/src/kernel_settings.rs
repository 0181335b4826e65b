//! The kernel settings that a cluster wants, each with its reason. One table for facts, preflight, the step that sets them, and the
//! kubelet's configuration. It also has the settings that programs of the cluster write, for `reset`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{IpFamily, Network};

/// The file by which kinstall sets them at boot (sysctl.d(5)).
pub const FILE: &str = "/etc/sysctl.d/99-kinstall.conf";

/// A wanted kernel setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Dotted name, such as `net.ipv4.ip_forward`.
    pub name: &'static str,
    /// What it should be.
    pub wanted: Requirement,
    /// What goes wrong without it.
    pub need: Need,
    /// Why it is needed, and the source that says so.
    pub reason: &'static str,
    /// The IP family that needs it; `None` if every cluster does.
    pub family: Option<IpFamily>,
}

/// A kernel setting as a host has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sysctl {
    /// Its value.
    pub value: String,
    /// Whether root may change it here.
    pub writable: bool,
}

/// What a setting should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// This number and no other.
    Exactly(u64),
    /// This number or more.
    AtLeast(u64),
}

/// What goes wrong without a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// No cluster works.
    Essential,
    /// The kubelet, if told to protect the kernel's defaults, refuses to start. So it is not told to.
    KubeletDefaults,
    /// Large or busy hosts run into limits.
    Headroom,
}

const KUBELET: &str = "the kubelet asks for it (protectKernelDefaults; pkg/kubelet/cm, setupKernelTunables)";

/// Every wanted setting, in the order in which they are set.
pub const SETTINGS: &[Setting] = &[
    essential("net.ipv4.ip_forward", "pods are routed (kubeadm's preflight)"),
    essential("net.bridge.bridge-nf-call-iptables", "Services work for pods on a bridge (kubeadm's preflight)"),
    headroom("net.bridge.bridge-nf-call-ip6tables", Requirement::Exactly(1), "the same for IPv6"),
    kubelet("vm.overcommit_memory", 1),
    kubelet("vm.panic_on_oom", 0),
    kubelet("kernel.panic", 10),
    kubelet("kernel.panic_on_oops", 1),
    kubelet("kernel.keys.root_maxkeys", 1_000_000),
    kubelet("kernel.keys.root_maxbytes", 25_000_000),
    headroom(
        "fs.inotify.max_user_instances",
        Requirement::AtLeast(512),
        "the kubelet and containerd watch files; 12 to 14 a host",
    ),
    headroom("fs.inotify.max_user_watches", Requirement::AtLeast(65_536), "pods that watch files share this limit"),
    ipv6("net.ipv6.conf.default.disable_ipv6", 0, "the interfaces of pods get IPv6 addresses"),
    ipv6("net.ipv6.conf.all.forwarding", 1, "pods with IPv6 are routed"),
    ipv6("net.ipv6.conf.default.forwarding", 1, "pods with IPv6 are routed (kubeadm's preflight)"),
];

const fn essential(name: &'static str, reason: &'static str) -> Setting {
    Setting { name, wanted: Requirement::Exactly(1), need: Need::Essential, reason, family: None }
}

const fn ipv6(name: &'static str, value: u64, reason: &'static str) -> Setting {
    let (wanted, family) = (Requirement::Exactly(value), Some(IpFamily::Ipv6));
    Setting { name, wanted, need: Need::Essential, reason, family }
}

const fn kubelet(name: &'static str, value: u64) -> Setting {
    Setting { name, wanted: Requirement::Exactly(value), need: Need::KubeletDefaults, reason: KUBELET, family: None }
}

const fn headroom(name: &'static str, wanted: Requirement, reason: &'static str) -> Setting {
    Setting { name, wanted, need: Need::Headroom, reason, family: None }
}

/// A kernel setting that a program of the cluster writes for the whole host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetByOthers {
    /// Dotted name.
    pub name: &'static str,
    /// The value that the program writes.
    pub value: u64,
}

/// Every such setting on a host with this number of processors, with the values of a cluster that kinstall sets up.
///
/// The kubelet's settings are in [`SETTINGS`]: kinstall has written them before. Left out are settings of interfaces that go with the
/// cluster, kube-proxy's UDP time-outs, which it writes only if it is given a value, and Calico's `kernel.unprivileged_bpf_disabled`, which
/// no kernel can reset.
///
/// Sources: `cmd/kube-proxy/app/conntrack.go` and `pkg/proxy/{iptables,ipvs}/proxier.go` of Kubernetes 1.25.2,
/// `pkg/proxy/conntrack/sysctls.go` of 1.36.3; `pkg/ip/ipforward_linux.go` of the CNI plugins 1.9.1;
/// `felix/dataplane/linux/int_dataplane.go` and `felix/wireguard/wireguard.go` of Calico.
#[must_use]
pub fn set_by_others(cpus: usize) -> Vec<SetByOthers> {
    let connections = (32_768 * cpus as u64).clamp(131_072, 1_048_576);
    let settings = [
        // kube-proxy, so that a Service's port on every node answers at 127.0.0.1 too.
        ("net.ipv4.conf.all.route_localnet", 1),
        ("net.netfilter.nf_conntrack_max", connections),
        // The table for as many connections, which kube-proxy writes as the module's parameter.
        ("net.netfilter.nf_conntrack_buckets", connections / 4),
        ("net.netfilter.nf_conntrack_tcp_timeout_established", 86_400),
        ("net.netfilter.nf_conntrack_tcp_timeout_close_wait", 3600),
        ("net.netfilter.nf_conntrack_tcp_be_liberal", 1),
        // By kube-proxy in mode ipvs, which a site may have chosen.
        ("net.ipv4.vs.conntrack", 1),
        ("net.ipv4.vs.conn_reuse_mode", 0),
        ("net.ipv4.vs.expire_nodest_conn", 1),
        ("net.ipv4.vs.expire_quiescent_template", 1),
        ("net.ipv4.conf.all.arp_ignore", 1),
        ("net.ipv4.conf.all.arp_announce", 2),
        // CNI plugins and Calico, for pods with IPv6; Calico with WireGuard.
        ("net.ipv6.conf.all.forwarding", 1),
        ("net.ipv4.conf.all.src_valid_mark", 1),
    ];
    settings.map(|(name, value)| SetByOthers { name, value }).into()
}

impl Setting {
    /// Whether a cluster with these networks needs it.
    #[must_use]
    pub fn is_for(&self, network: &Network) -> bool {
        self.family.is_none_or(|family| network.has(family))
    }

    /// Whether `value`, in the kernel's form, is sufficient.
    #[must_use]
    pub fn suits(&self, value: &str) -> bool {
        value.trim().parse::<u64>().is_ok_and(|found| match self.wanted {
            Requirement::Exactly(wanted) => found == wanted,
            Requirement::AtLeast(least) => found >= least,
        })
    }

    /// The value that kinstall writes.
    #[must_use]
    pub fn value(&self) -> u64 {
        match self.wanted {
            Requirement::Exactly(value) | Requirement::AtLeast(value) => value,
        }
    }

    /// Its file, such as `/proc/sys/net/ipv4/ip_forward`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/sys/{}", self.name.replace('.', "/"))
    }
}

/// Whether the kubelet can be told to protect the kernel's defaults on this host: each setting that it checks is suitable already, or
/// kinstall sets it.
#[must_use]
pub fn kubelet_defaults_hold(sysctls: &BTreeMap<String, Sysctl>) -> bool {
    SETTINGS
        .iter()
        .filter(|setting| setting.need == Need::KubeletDefaults)
        .all(|setting| sysctls.get(setting.name).is_some_and(|found| found.writable || setting.suits(&found.value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_suits_or_does_not() {
        let setting = |name| SETTINGS.iter().find(|setting| setting.name == name).unwrap();
        for (name, value, suits) in [
            ("kernel.panic", "10\n", true),
            ("kernel.panic", "11", false),
            ("fs.inotify.max_user_instances", "8192", true),
            ("fs.inotify.max_user_instances", "128", false),
            ("vm.panic_on_oom", "", false),
        ] {
            assert_eq!(setting(name).suits(value), suits, "{name} {value:?}");
        }
        assert_eq!(setting("net.ipv4.ip_forward").path(), "/proc/sys/net/ipv4/ip_forward");
    }

    /// kube-proxy's own bounds: `getConntrackMax`.
    #[test]
    fn the_table_of_connections_grows_with_the_processors() {
        for (cpus, connections) in [(1, 131_072), (4, 131_072), (8, 262_144), (128, 1_048_576)] {
            let settings = set_by_others(cpus);
            let value = |name| settings.iter().find(|setting| setting.name == name).unwrap().value;
            assert_eq!(value("net.netfilter.nf_conntrack_max"), connections, "{cpus}");
            assert_eq!(value("net.netfilter.nf_conntrack_buckets"), connections / 4, "{cpus}");
        }
    }

    #[test]
    fn the_kubelet_protects_defaults_only_where_all_of_them_will_hold() {
        let good = |value: u64, writable| Sysctl { value: value.to_string(), writable };
        let mut sysctls: BTreeMap<_, _> =
            SETTINGS.iter().map(|setting| (setting.name.to_owned(), good(setting.value(), false))).collect();
        assert!(kubelet_defaults_hold(&sysctls));
        sysctls.insert("kernel.panic".into(), good(0, true));
        assert!(kubelet_defaults_hold(&sysctls));
        sysctls.insert("kernel.panic".into(), good(0, false));
        assert!(!kubelet_defaults_hold(&sysctls));
        sysctls.remove("kernel.panic");
        assert!(!kubelet_defaults_hold(&sysctls));
    }
}
