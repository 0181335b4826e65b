//! Facts of the host: everything that preflight and planning decide on, read once, before any change.
//!
//! [`gather`](HostFacts::gather) looks and changes nothing. The facts are plain data that can be serialized, so that decisions are tested
//! without a host and can be traced later.

mod gather;
mod hardening;
pub mod network;
pub mod packet_filter;
pub mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use kbundle_format::Platform;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Cidr, IpFamily};
use crate::host::{Space, UnitState};
use crate::procfs::lies_below;

pub use crate::kernel_settings::Sysctl;
pub use gather::{MODULES, PROGRAMS, UNITS, kernel_features};
pub use hardening::{
    AT_WORK, BootConflict, Hardening, NETWORK_MANAGER_DEVICES, NETWORK_MANAGER_FILE, boot_conflicts, sysctl_assignment,
};
pub use packet_filter::PacketFilter;

/// What the host is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostFacts {
    /// The host name as the kernel has it.
    pub hostname: String,
    /// Operating system and architecture.
    pub platform: Platform,
    /// The user this program runs as; 0 is root.
    pub user_id: u32,
    /// `/etc/machine-id`; absent where the file is missing, empty or not an id.
    pub machine_id: Option<String>,
    /// `/etc/os-release`.
    pub os: OsRelease,
    /// Processors that this program may run on.
    pub cpus: usize,
    /// Memory.
    pub memory: Memory,
    /// The kernel and what it offers.
    pub kernel: Kernel,
    /// Control groups.
    pub cgroups: Cgroups,
    /// File systems with room for something, by mount point.
    pub mounts: Vec<Mount>,
    /// Swap areas in use.
    pub swap_areas: Vec<String>,
    /// Addresses of the interfaces that are up, loopback left out.
    pub addresses: Vec<InterfaceAddress>,
    /// The largest packet that each interface takes, in bytes, by its name.
    pub mtus: BTreeMap<String, u32>,
    /// The interface and gateway of the IPv4 default route with the lowest metric.
    pub default_route: Option<DefaultRoute>,
    /// The same for IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_route_ipv6: Option<DefaultRoute>,
    /// Name servers and where they are written.
    pub resolver: Resolver,
    /// TCP ports that someone listens on.
    pub listening: Vec<Listener>,
    /// The clock.
    pub clock: Clock,
    /// SELinux.
    pub selinux: Selinux,
    /// Chains of the packet filter.
    pub packet_filter: PacketFilter,
    /// What else sets the things that a cluster sets, or forbids what a cluster does.
    pub hardening: Hardening,
    /// Programs that a cluster needs from the host ([`PROGRAMS`]), and where they are.
    pub programs: BTreeMap<String, Option<String>>,
    /// State of the units of interest ([`UNITS`]) that the host knows and that kinstall did not bring up.
    pub units: BTreeMap<String, UnitState>,
    /// Files and directories of another cluster or container engine. What kinstall itself made is not among them.
    pub leftovers: Vec<String>,
    /// Whether kinstall has changed this host before.
    pub installation: Installation,
    /// Whether a process here may lower its `oom_score_adj`; not so on hosts inside of containers.
    pub can_lower_oom_score: bool,
    /// Whether the connection table's size can be set; not so outside of the first network namespace.
    pub conntrack_max_writable: bool,
}

/// The parts of `/etc/os-release` that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OsRelease {
    /// Such as `debian`.
    pub id: String,
    /// Families it belongs to, such as `rhel fedora`.
    pub id_like: Vec<String>,
    /// Such as `12`.
    pub version_id: String,
    /// For people.
    pub pretty_name: String,
}

/// Memory in bytes; absent where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// What the kernel manages.
    pub total_bytes: Option<u64>,
    /// What could be used without swapping.
    pub available_bytes: Option<u64>,
}

/// The kernel and what it offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kernel {
    /// As `uname -r`.
    pub release: String,
    /// Of [`MODULES`] and `ip_vs`, those whose work is seen to be there, built in or loaded.
    pub features: BTreeSet<String>,
    /// Whether modules for this kernel lie under `/lib/modules`.
    pub has_modules: bool,
    /// The file that tells how the kernel was built, of those that kubeadm looks for.
    pub configuration: Option<String>,
    /// Of the settings in [`SETTINGS`](crate::kernel_settings::SETTINGS), those that exist, by dotted name.
    pub sysctls: BTreeMap<String, Sysctl>,
}

/// Control groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cgroups {
    /// Which hierarchy holds the controllers.
    pub version: CgroupVersion,
    /// Controllers that can be used.
    pub controllers: BTreeSet<String>,
}

/// Which control group hierarchy holds the controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CgroupVersion {
    /// One hierarchy a controller.
    V1,
    /// The unified hierarchy.
    V2,
    /// None was found.
    Absent,
}

/// A mounted file system with its space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Where it is mounted.
    pub path: String,
    /// The device or other source.
    pub device: String,
    /// Its type, such as `ext4`.
    pub file_system: String,
    /// Whether it can be written.
    pub read_only: bool,
    /// Whether programs on it can not be run.
    pub no_exec: bool,
    /// Whether programs on it run with the user's own rights alone.
    #[serde(default)]
    pub no_suid: bool,
    /// Its room; absent where the file system does not tell, such as a network's that does not answer.
    #[serde(flatten)]
    pub space: Option<Space>,
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceAddress {
    /// Such as `eth0`.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
    /// The network it lies in.
    pub network: Cidr,
}

/// Where packets to the rest of the world go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefaultRoute {
    /// Such as `eth0`.
    pub interface: String,
    /// The next hop; absent on point-to-point links.
    pub gateway: Option<IpAddr>,
}

/// Name servers and where they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolver {
    /// The file that pods can use: systemd-resolved's real one where `/etc/resolv.conf` names only its stub.
    pub file: String,
    /// The servers in it that are not on loopback, which pods could not reach.
    pub nameservers: Vec<IpAddr>,
}

/// A TCP port that someone listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// The address, unspecified where on all.
    pub address: IpAddr,
    /// The program, where it could be found.
    pub program: Option<String>,
}

/// The clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Clock {
    /// Seconds since 1970, UTC.
    pub unix_seconds: u64,
    /// The running unit that keeps it right, such as `chronyd.service`.
    pub keeper: Option<String>,
}

/// What SELinux does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Selinux {
    /// Not there.
    Disabled,
    /// Logs only.
    Permissive,
    /// Forbids.
    Enforcing,
}

/// Whether kinstall has changed this host before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Installation {
    /// No record.
    None,
    /// A record, whether the installation was completed or cut off.
    Ours,
}

impl HostFacts {
    /// The default route of a family.
    #[must_use]
    pub fn default_route_of(&self, family: IpFamily) -> Option<&DefaultRoute> {
        match family {
            IpFamily::Ipv4 => self.default_route.as_ref(),
            IpFamily::Ipv6 => self.default_route_ipv6.as_ref(),
        }
    }

    /// The address of this family on the interface of the family's default route, or the only one of the family.
    #[must_use]
    pub fn primary_address(&self, family: IpFamily) -> Option<IpAddr> {
        let mut candidates = self.of_family(family);
        match self.default_route_of(family) {
            Some(route) => candidates.find(|address| address.interface == route.interface).map(|found| found.address),
            None => match (candidates.next(), candidates.next()) {
                (Some(only), None) => Some(only.address),
                _ => None,
            },
        }
    }

    /// The address of this family on the interface that has `address` of the other family, or else the primary address.
    #[must_use]
    pub fn address_beside(&self, address: IpAddr, family: IpFamily) -> Option<IpAddr> {
        let interface = self.addresses.iter().find(|found| found.address == address).map(|found| &found.interface);
        let mut beside = self.of_family(family).filter(|found| Some(&found.interface) == interface);
        beside.next().map(|found| found.address).or_else(|| self.primary_address(family))
    }

    fn of_family(&self, family: IpFamily) -> impl Iterator<Item = &InterfaceAddress> {
        self.addresses.iter().filter(move |found| IpFamily::of(found.address) == family)
    }

    /// The interface whose network contains `address`.
    #[must_use]
    pub fn interface_towards(&self, address: IpAddr) -> Option<&str> {
        let found = self.addresses.iter().find(|found| found.network.contains(address))?;
        Some(&found.interface)
    }

    /// The largest packet that the interface with this address takes, in bytes.
    #[must_use]
    pub fn mtu_of(&self, address: IpAddr) -> Option<u32> {
        let found = self.addresses.iter().find(|found| found.address == address)?;
        self.mtus.get(&found.interface).copied()
    }

    /// The file system that contains `path`, or would contain it.
    #[must_use]
    pub fn mount_of(&self, path: &str) -> Option<&Mount> {
        // Of two mounts at one place, the later one hides the earlier one.
        self.mounts.iter().filter(|mount| lies_below(path, &mount.path)).max_by_key(|mount| mount.path.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn facts_come_back_as_they_were() {
        let facts = fixture::facts();
        assert_eq!(serde_json::from_str::<HostFacts>(&serde_json::to_string(&facts).unwrap()).unwrap(), facts);
    }

    #[test]
    fn a_path_lies_on_the_deepest_mount_above_it() {
        let mut facts = fixture::facts();
        facts.mounts.push(Mount { path: "/var".into(), ..facts.mounts[0].clone() });
        for (path, mount) in [("/var/lib/etcd", "/var"), ("/var", "/var"), ("/variable", "/"), ("/etc", "/")] {
            assert_eq!(facts.mount_of(path).unwrap().path, mount, "{path}");
        }
    }

    #[test]
    fn the_primary_address_is_that_of_the_default_route() {
        let mut facts = fixture::facts();
        let second = InterfaceAddress {
            interface: "eth1".into(),
            address: "198.51.100.1".parse().unwrap(),
            network: "198.51.100.0/24".parse().unwrap(),
        };
        facts.addresses.insert(0, second);
        let primary = |facts: &HostFacts| facts.primary_address(IpFamily::Ipv4);
        assert_eq!(primary(&facts), "10.0.0.5".parse().ok());
        facts.default_route = None;
        assert_eq!(primary(&facts), None);
        facts.addresses.truncate(1);
        assert_eq!(primary(&facts), "198.51.100.1".parse().ok());
        assert_eq!(facts.primary_address(IpFamily::Ipv6), None);
    }

    #[test]
    fn the_second_address_is_on_the_same_interface() {
        let mut facts = fixture::facts();
        for (interface, address) in [("eth1", "2001:db8:1::5"), ("eth0", "2001:db8::5")] {
            let network = Cidr::around(address.parse().unwrap(), 64);
            facts.addresses.push(InterfaceAddress {
                interface: interface.into(),
                address: address.parse().unwrap(),
                network,
            });
        }
        let beside = |address: &str| facts.address_beside(address.parse().unwrap(), IpFamily::Ipv6);
        assert_eq!(beside("10.0.0.5"), "2001:db8::5".parse().ok());
        assert_eq!(beside("10.0.0.6"), None, "two, and no default route says which");
    }
}
