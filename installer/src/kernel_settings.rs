//! The kernel settings that a cluster wants, each with its reason. One table for facts, preflight, the step that sets them,
//! and the kubelet's configuration.

use std::collections::BTreeMap;

use crate::facts::Sysctl;

/// A wanted kernel setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Dotted name, such as `net.ipv4.ip_forward`.
    pub name: &'static str,
    /// What it should be.
    pub wanted: Wanted,
    /// What goes wrong without it.
    pub need: Need,
    /// Why, and by whose word.
    pub reason: &'static str,
}

/// What a setting should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
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
    /// The kubelet refuses to start when told to protect the kernel's defaults; it is told otherwise then.
    KubeletDefaults,
    /// Large or busy hosts run into limits.
    Headroom,
}

const KUBELET: &str = "the kubelet asks for it (protectKernelDefaults; pkg/kubelet/cm, setupKernelTunables)";

/// Every wanted setting.
pub const SETTINGS: &[Setting] = &[
    essential("net.ipv4.ip_forward", "pods are routed (kubeadm's preflight)"),
    essential("net.bridge.bridge-nf-call-iptables", "Services work for pods on a bridge (kubeadm's preflight)"),
    headroom("net.bridge.bridge-nf-call-ip6tables", Wanted::Exactly(1), "the same for IPv6"),
    kubelet("vm.overcommit_memory", 1),
    kubelet("vm.panic_on_oom", 0),
    kubelet("kernel.panic", 10),
    kubelet("kernel.panic_on_oops", 1),
    kubelet("kernel.keys.root_maxkeys", 1_000_000),
    kubelet("kernel.keys.root_maxbytes", 25_000_000),
    headroom(
        "fs.inotify.max_user_instances",
        Wanted::AtLeast(512),
        "the kubelet and containerd watch files; 12 to 14 a host",
    ),
    headroom("fs.inotify.max_user_watches", Wanted::AtLeast(65_536), "pods that watch files share this limit"),
];

const fn essential(name: &'static str, reason: &'static str) -> Setting {
    Setting { name, wanted: Wanted::Exactly(1), need: Need::Essential, reason }
}

const fn kubelet(name: &'static str, value: u64) -> Setting {
    Setting { name, wanted: Wanted::Exactly(value), need: Need::KubeletDefaults, reason: KUBELET }
}

const fn headroom(name: &'static str, wanted: Wanted, reason: &'static str) -> Setting {
    Setting { name, wanted, need: Need::Headroom, reason }
}

impl Setting {
    /// Whether `value`, as the kernel shows it, will do.
    #[must_use]
    pub fn suits(&self, value: &str) -> bool {
        value.trim().parse::<u64>().is_ok_and(|found| match self.wanted {
            Wanted::Exactly(wanted) => found == wanted,
            Wanted::AtLeast(least) => found >= least,
        })
    }

    /// The value to write.
    #[must_use]
    pub fn value(&self) -> u64 {
        match self.wanted {
            Wanted::Exactly(value) | Wanted::AtLeast(value) => value,
        }
    }

    /// Its file, such as `/proc/sys/net/ipv4/ip_forward`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/sys/{}", self.name.replace('.', "/"))
    }
}

/// Whether the kubelet can be told to protect the kernel's defaults on this host: each setting that it asks for suits
/// already or will be set by us.
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
