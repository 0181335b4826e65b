//! Other programs and files that change the settings of a cluster, and what a hardened host forbids.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Sysctl;
use crate::config::Network;
use crate::host::{Change, Host, HostError};
use crate::kernel_settings::{FILE, SETTINGS};

/// What else sets the things that a cluster sets, or forbids what a cluster does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hardening {
    /// Whether `AppArmor` is at work.
    pub app_armor: bool,
    /// Of [`AT_WORK`], what runs.
    pub at_work: BTreeSet<String>,
    /// Files that set a kernel setting at boot to what does not suit, after kinstall's own file or where that leaves it alone.
    pub boot_conflicts: Vec<BootConflict>,
    /// Whether NetworkManager is told to leave the interfaces of pods alone.
    pub network_manager_keeps_off: bool,
    /// Whether ufw is told to filter; its unit runs on Ubuntu also where it is not.
    pub ufw_enabled: bool,
}

/// A kernel setting that a file of others sets at boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BootConflict {
    /// The file.
    pub file: String,
    /// Dotted name.
    pub name: String,
    /// What the file sets it to.
    pub value: String,
}

impl BootConflict {
    /// Whether a cluster with these networks needs the setting.
    #[must_use]
    pub fn concerns(&self, network: &Network) -> bool {
        SETTINGS.iter().any(|setting| setting.name == self.name && setting.is_for(network))
    }
}

/// Units that change the same settings as a cluster, or forbid what a cluster does.
pub const AT_WORK: &[&str] = &[
    "NetworkManager.service",
    "connman.service",
    "fapolicyd.service",
    "ip6tables.service",
    "iptables.service",
    "netfilter-persistent.service",
    "nftables.service",
    "nm-cloud-setup.timer",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "wicked.service",
];

/// The file by which kinstall keeps NetworkManager off the interfaces of pods.
pub const NETWORK_MANAGER_FILE: &str = "/etc/NetworkManager/conf.d/kinstall.conf";
/// The interfaces of pods and of what connects them, as NetworkManager lists devices.
pub const NETWORK_MANAGER_DEVICES: &str = "interface-name:cali*;interface-name:vxlan.calico;interface-name:vxlan-v6.calico;\
    interface-name:tunl*;interface-name:wireguard.cali;interface-name:wg-v6.cali;interface-name:flannel*;interface-name:cni0;\
    interface-name:veth*;interface-name:kube-ipvs0";

/// Where systemd-sysctl looks. A file in an earlier directory replaces files of the same name in later ones (sysctl.d(5)).
const SYSCTL_DIRECTORIES: [&str; 5] =
    ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"];

/// ufw sets kernel settings from this file when it starts, after systemd has set its own.
const UFW_SYSCTLS: &str = "/etc/ufw/sysctl.conf";

impl Hardening {
    /// Reads all of it; `sysctls` are the kernel settings as they are now.
    pub(super) fn read(host: &Host, sysctls: &BTreeMap<String, Sysctl>) -> Result<Self, HostError> {
        let text = |path: &str| Ok::<_, HostError>(host.read_text(path)?.unwrap_or_default());
        Ok(Self {
            app_armor: text("/sys/module/apparmor/parameters/enabled")?.trim() == "Y",
            at_work: at_work(host)?,
            boot_conflicts: boot_conflicts(host, sysctls)?,
            network_manager_keeps_off: network_manager_keeps_off(host)?,
            ufw_enabled: ufw_enabled(&text("/etc/ufw/ufw.conf")?),
        })
    }
}

/// The active units of [`AT_WORK`].
fn at_work(host: &Host) -> Result<BTreeSet<String>, HostError> {
    let states = host.unit_states(AT_WORK)?.into_iter();
    Ok(states.filter_map(|(name, state)| state.is_active().then_some(name)).collect())
}

/// Whether `/etc/ufw/ufw.conf` enables ufw.
fn ufw_enabled(text: &str) -> bool {
    text.lines().any(|line| line.trim().trim_matches('"').eq_ignore_ascii_case("ENABLED=yes"))
}

/// Whether NetworkManager is told to leave Calico's interfaces alone. All instructions for it name the other interfaces as well.
fn network_manager_keeps_off(host: &Host) -> Result<bool, HostError> {
    // NetworkManager.conf(5): packages have theirs in /usr/lib.
    const DIRECTORIES: [&str; 3] =
        ["/usr/lib/NetworkManager/conf.d", "/run/NetworkManager/conf.d", "/etc/NetworkManager/conf.d"];
    let mut files = vec!["/etc/NetworkManager/NetworkManager.conf".to_owned()];
    for directory in DIRECTORIES {
        files.extend(host.names_in(directory)?.into_iter().map(|name| format!("{directory}/{name}")));
    }
    for file in files {
        let text = host.read_text(&file)?.unwrap_or_default();
        let keeps_off = |line: &str| line.trim().starts_with("unmanaged-devices") && line.contains("cali");
        if text.lines().any(keeps_off) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The file with the kernel's build configuration.
///
/// Source: `getKernelConfigReader` in `validators/kernel_validator.go` of system-validators, whose module `configs` gives the first.
pub fn kernel_configuration(host: &Host, release: &str) -> Result<Option<String>, HostError> {
    let places = [
        "/proc/config.gz".to_owned(),
        format!("/boot/config-{release}"),
        format!("/usr/src/linux-{release}/.config"),
        "/usr/src/linux/.config".to_owned(),
        format!("/usr/lib/modules/{release}/config"),
        format!("/usr/lib/ostree-boot/config-{release}"),
        format!("/usr/lib/kernel/config-{release}"),
        format!("/usr/src/linux-headers-{release}/.config"),
        format!("/lib/modules/{release}/build/.config"),
    ];
    if let Some(found) = places.into_iter().find(|place| host.is_file(place)) {
        return Ok(Some(found));
    }
    let directory = format!("/lib/modules/{release}/kernel/kernel");
    let module = host.names_in(&directory)?.into_iter().find(|name| name.starts_with("configs.ko"));
    Ok(module.map(|name| format!("{directory}/{name}")))
}

/// The files that set one of [`SETTINGS`] at boot to an unsuitable value, and that win: they are read after kinstall's file, or kinstall's
/// file leaves the setting alone because its present value (`found`) is suitable.
pub fn boot_conflicts(host: &Host, found: &BTreeMap<String, Sysctl>) -> Result<Vec<BootConflict>, HostError> {
    let mut last: BTreeMap<&str, BootConflict> = BTreeMap::new();
    for file in boot_files(host)? {
        let text = host.read_text(&file)?.unwrap_or_default();
        for (name, value) in text.lines().filter_map(sysctl_assignment) {
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) {
                last.insert(setting.name, BootConflict { file: file.clone(), name, value });
            }
        }
    }
    let is_set_by_kinstall = |name: &str| {
        let key = name.replace('.', "/");
        let recorded = |change: &Change| matches!(change, Change::Sysctl { key: known, .. } if *known == key);
        let changes = host.ledger().changes();
        changes.iter().any(recorded)
            || SETTINGS
                .iter()
                .any(|setting| setting.name == name && found.get(name).is_none_or(|found| !setting.suits(&found.value)))
    };
    let is_in_the_way = |conflict: &BootConflict| {
        let suits = SETTINGS.iter().any(|setting| setting.name == conflict.name && setting.suits(&conflict.value));
        let is_later = conflict.file == UFW_SYSCTLS || base_name(&conflict.file) > base_name(FILE);
        !suits && (is_later || !is_set_by_kinstall(&conflict.name))
    };
    let named_by_its_file = |found: BootConflict| BootConflict { file: host.followed(&found.file), ..found };
    Ok(last.into_values().filter(is_in_the_way).map(named_by_its_file).collect())
}

/// The files in the order in which they are read, without kinstall's.
fn boot_files(host: &Host) -> Result<Vec<String>, HostError> {
    let mut by_name = BTreeMap::new();
    for directory in SYSCTL_DIRECTORIES {
        for name in host.names_in(directory)?.into_iter().filter(|name| has_ending(name)) {
            let path = format!("{directory}/{name}");
            by_name.entry(name).or_insert(path);
        }
    }
    let mut files: Vec<_> = by_name.into_values().filter(|path| path != FILE).collect();
    if ufw_enabled(&host.read_text("/etc/ufw/ufw.conf")?.unwrap_or_default()) {
        files.push(UFW_SYSCTLS.to_owned());
    }
    Ok(files)
}

/// Name and value of a line of sysctl.d(5): `-net/ipv4/ip_forward = 0`.
#[must_use]
pub fn sysctl_assignment(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let (name, value) = line.strip_prefix('-').unwrap_or(line).split_once('=')?;
    if line.starts_with(['#', ';']) {
        return None;
    }
    Some((name.trim().replace('/', "."), value.trim().to_owned()))
}

/// Whether systemd-sysctl reads a file of this name. Its ending has to be lowercase.
fn has_ending(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "conf")
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;

    fn conflicts(bench: &Bench, forwarding: &str) -> Vec<String> {
        let value = Sysctl { value: forwarding.to_owned(), writable: true };
        let found = [("net.ipv4.ip_forward".to_owned(), value)].into();
        let conflicts = boot_conflicts(&bench.host(), &found).unwrap();
        conflicts.into_iter().map(|found| format!("{}: {} = {}", found.file, found.name, found.value)).collect()
    }

    #[test]
    fn a_file_that_is_read_after_kinstalls_is_in_the_way() {
        let bench = Bench::new();
        bench.file("etc/sysctl.d/60-netipv4_sysctl.conf", "# CIS\nnet.ipv4.ip_forward = 0\n");
        assert!(conflicts(&bench, "0").is_empty(), "kinstall's file is read later");
        assert_eq!(conflicts(&bench, "1"), ["/etc/sysctl.d/60-netipv4_sysctl.conf: net.ipv4.ip_forward = 0"]);
        bench.file("etc/sysctl.d/99-sysctl.conf", "net/ipv4/ip_forward=0\n");
        assert_eq!(conflicts(&bench, "0"), ["/etc/sysctl.d/99-sysctl.conf: net.ipv4.ip_forward = 0"]);
        bench.file("etc/sysctl.d/99-zz.conf", "-net.ipv4.ip_forward = 1\n");
        assert!(conflicts(&bench, "0").is_empty(), "the last one counts");
        bench.file("etc/ufw/sysctl.conf", "net/ipv4/ip_forward=0\n");
        assert!(conflicts(&bench, "0").is_empty(), "ufw is off");
        bench.file("etc/ufw/ufw.conf", "ENABLED=yes\n");
        assert_eq!(conflicts(&bench, "0"), ["/etc/ufw/sysctl.conf: net.ipv4.ip_forward = 0"]);
    }

    #[test]
    fn the_kernels_configuration_is_looked_for_where_kubeadm_does() {
        let bench = Bench::new();
        assert_eq!(kernel_configuration(&bench.host(), "5.14").unwrap(), None);
        bench.file("lib/modules/5.14/kernel/kernel/configs.ko.xz", "");
        let found = kernel_configuration(&bench.host(), "5.14").unwrap();
        assert_eq!(found.as_deref(), Some("/lib/modules/5.14/kernel/kernel/configs.ko.xz"));
        bench.file("boot/config-5.14", "");
        assert_eq!(kernel_configuration(&bench.host(), "5.14").unwrap().as_deref(), Some("/boot/config-5.14"));
    }

    #[test]
    fn network_manager_keeps_off_where_it_is_told_to() {
        let bench = Bench::new();
        assert!(!network_manager_keeps_off(&bench.host()).unwrap());
        bench.file("etc/NetworkManager/conf.d/10.conf", "[keyfile]\nunmanaged-devices=interface-name:eth7\n");
        assert!(!network_manager_keeps_off(&bench.host()).unwrap());
        for path in ["etc/NetworkManager/conf.d/calico.conf", "usr/lib/NetworkManager/conf.d/calico.conf"] {
            let bench = Bench::new();
            bench.file(path, "[keyfile]\nunmanaged-devices=interface-name:cali*\n");
            assert!(network_manager_keeps_off(&bench.host()).unwrap(), "{path}");
        }
    }
}
