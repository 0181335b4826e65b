//! Reads the facts from a host. It only looks, with one exception: it writes this process's own `oom_score_adj`, to see whether that is
//! allowed, and restores it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use kbundle_format::Platform;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::unistd::geteuid;

use super::{
    CgroupVersion, Cgroups, Clock, Hardening, HostFacts, Installation, InterfaceAddress, Kernel, Listener, Mount,
    PacketFilter, Resolver, Selinux, Sysctl, hardening, network, system,
};
use crate::config::Cidr;
use crate::host::{Change, Command, Host, HostError, UnitState};
use crate::kernel_settings::SETTINGS;
use crate::procfs::{self, MountLine};

/// Kernel features that a cluster needs, by module name, each with a file that exists when the feature works.
pub const MODULES: &[(&str, &str)] =
    &[("br_netfilter", "/proc/sys/net/bridge/bridge-nf-call-iptables"), NF_CONNTRACK, ("overlay", "")];

const NF_CONNTRACK: (&str, &str) = ("nf_conntrack", "/proc/sys/net/netfilter/nf_conntrack_max");

/// The kernel's load balancer, for kube-proxy's mode ipvs.
const IPVS: (&str, &str) = ("ip_vs", "/proc/net/ip_vs");

/// Programs that a cluster needs from the host, since no upstream archive contains them.
///
/// Source: kubeadm's preflight (cmd/kubeadm/app/preflight/checks.go) and this program's own steps.
pub const PROGRAMS: &[&str] = &[
    "conntrack",
    "ethtool",
    "ip",
    "iptables",
    "losetup",
    "modprobe",
    "mount",
    "nft",
    "nsenter",
    "socat",
    "swapoff",
    "systemctl",
    "umount",
];

/// Units whose presence points to other clusters, container engines and firewalls.
pub const UNITS: &[&str] = &[
    "containerd.service",
    "crio.service",
    "docker.service",
    "etcd.service",
    "firewalld.service",
    "k0scontroller.service",
    "k0sworker.service",
    "k3s-agent.service",
    "k3s.service",
    "kubelet.service",
    "rke2-agent.service",
    "rke2-server.service",
    "ufw.service",
];

/// Units that keep the clock right, by the names that distributions give them.
const CLOCK_KEEPERS: &[&str] = &[
    "chrony.service",
    "chronyd.service",
    "ntp.service",
    "ntpd.service",
    "ntpsec.service",
    "openntpd.service",
    "systemd-timesyncd.service",
];

/// Where other clusters, container engines and earlier attempts leave files.
const LEFTOVERS: &[&str] = &[
    "/etc/cni/net.d",
    "/etc/containerd/config.toml",
    "/etc/etcd",
    "/etc/kubernetes",
    "/opt/cni/bin",
    "/usr/bin/containerd",
    "/usr/bin/dockerd",
    "/usr/bin/etcd",
    "/usr/bin/kubelet",
    "/usr/local/bin/containerd",
    "/usr/local/bin/etcd",
    "/usr/local/bin/k3s",
    "/usr/local/bin/kubelet",
    "/usr/sbin/runc",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/k0s",
    "/var/lib/kubelet",
    "/var/lib/rancher",
    "/var/snap/microk8s",
];

const PROGRAM_DIRECTORIES: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

impl HostFacts {
    /// Reads everything. A fact that the host does not reveal is empty or absent; preflight judges that.
    pub fn gather(host: &Host) -> Result<Self, HostError> {
        let text = |path: &str| Ok::<_, HostError>(host.read_text(path)?.unwrap_or_default());
        let hostname = text("/proc/sys/kernel/hostname")?.trim().to_owned();
        let kernel = kernel_facts(host)?;
        Ok(Self {
            platform: Platform::of_this_program(),
            user_id: geteuid().as_raw(),
            machine_id: system::machine_id(&text("/etc/machine-id")?),
            os: system::os_release(&text("/etc/os-release")?),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: system::memory(&text("/proc/meminfo")?),
            cgroups: cgroups(host)?,
            mounts: mounts(host, &procfs::mounts(&text("/proc/self/mounts")?)),
            swap_areas: procfs::swap_areas(&text("/proc/swaps")?),
            addresses: addresses_of(getifaddrs())?,
            mtus: mtus(host)?,
            default_route: network::default_route(&text("/proc/net/route")?),
            default_route_ipv6: network::default_route_ipv6(&text("/proc/net/ipv6_route")?),
            resolver: resolver(host)?,
            listening: listeners(host)?,
            clock: clock(host)?,
            selinux: match text("/sys/fs/selinux/enforce")?.trim() {
                "1" => Selinux::Enforcing,
                "0" => Selinux::Permissive,
                _ => Selinux::Disabled,
            },
            packet_filter: PacketFilter::read(host)?,
            hardening: Hardening::read(host, &kernel.sysctls)?,
            programs: PROGRAMS.iter().map(|&name| (name.to_owned(), find_program(host, name))).collect(),
            units: units_of_others(host)?,
            leftovers: leftovers(host)?,
            installation: if host.ledger().changes().is_empty() { Installation::None } else { Installation::Ours },
            can_lower_oom_score: host.can_lower_oom_score()?,
            conntrack_max_writable: is_conntrack_max_writable(host, &kernel),
            kernel,
            hostname,
        })
    }
}

fn kernel_facts(host: &Host) -> Result<Kernel, HostError> {
    let text = |path: &str| Ok::<_, HostError>(host.read_text(path)?.unwrap_or_default());
    let release = text("/proc/sys/kernel/osrelease")?.trim().to_owned();
    let mut sysctls = BTreeMap::new();
    for setting in SETTINGS {
        if let Some(value) = host.read_text(&setting.path())? {
            let writable = host.is_writable(&setting.path());
            sysctls.insert(setting.name.to_owned(), Sysctl { value: value.trim().to_owned(), writable });
        }
    }
    let has_modules = host.exists(&format!("/lib/modules/{release}"));
    let configuration = hardening::kernel_configuration(host, &release)?;
    Ok(Kernel { configuration, release, features: kernel_features(host)?, has_modules, sysctls })
}

/// Of [`MODULES`], the features that work, built in or loaded.
pub fn kernel_features(host: &Host) -> Result<BTreeSet<String>, HostError> {
    let file_systems = procfs::file_systems(&host.read_text("/proc/filesystems")?.unwrap_or_default());
    let at_work = |name: &str, trace: &str| file_systems.contains(name) || (!trace.is_empty() && host.exists(trace));
    Ok(MODULES
        .iter()
        .chain([&IPVS])
        .filter(|(name, trace)| at_work(name, trace))
        .map(|&(name, _)| name.to_owned())
        .collect())
}

/// The file appears with its module. A host that has modules to load will have the file, and is not a container, in which the file is
/// read-only: the answer has to be the same before and after the first installation.
fn is_conntrack_max_writable(host: &Host, kernel: &Kernel) -> bool {
    let will_be_loaded = kernel.has_modules && !kernel.features.contains(NF_CONNTRACK.0);
    will_be_loaded || host.is_writable(NF_CONNTRACK.1)
}

fn cgroups(host: &Host) -> Result<Cgroups, HostError> {
    const V2: &str = "/sys/fs/cgroup/cgroup.controllers";
    if let Some(text) = host.read_text(V2)? {
        let controllers = text.split_whitespace().map(str::to_owned).collect();
        return Ok(Cgroups { version: CgroupVersion::V2, controllers });
    }
    let controllers = procfs::v1_controllers(&host.read_text("/proc/cgroups")?.unwrap_or_default());
    let version = if controllers.is_empty() { CgroupVersion::Absent } else { CgroupVersion::V1 };
    Ok(Cgroups { version, controllers })
}

/// File systems with room of their own. Mounts of containers are left out.
fn mounts(host: &Host, lines: &[MountLine]) -> Vec<Mount> {
    const OTHERS: [&str; 5] = ["/proc/", "/sys/", "/dev/", "/run/", "/var/lib/kubelet/pods/"];
    let mount = |line: &MountLine| {
        // A mount hides what is below it. If its room is unknown, the room below is unknown too.
        let space = match host.space(&line.path) {
            Ok(None) => return None,
            Ok(space) => space,
            Err(error) => {
                tracing::warn!(
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "free space of the file system unknown"
                );
                None
            }
        };
        Some(Mount {
            path: line.path.clone(),
            device: line.device.clone(),
            file_system: line.file_system.clone(),
            read_only: line.has("ro"),
            no_exec: line.has("noexec"),
            no_suid: line.has("nosuid"),
            space,
        })
    };
    let ours = |line: &&MountLine| !OTHERS.iter().any(|prefix| line.path.starts_with(prefix));
    lines.iter().filter(ours).filter_map(mount).collect()
}

/// Asked from the kernel: on a host inside of a container, `/sys/class/net` shows another network namespace.
fn mtus(host: &Host) -> Result<BTreeMap<String, u32>, HostError> {
    let shown = host.run_if_installed(&Command::new("ip", ["-oneline", "link", "show"]))?;
    Ok(network::mtus(&shown.unwrap_or_default().stdout))
}

/// Addresses of interfaces that are up. Others cannot reach loopback and link-local ones.
///
/// # Errors
/// When the kernel does not report them: a host without addresses is another case.
fn addresses_of(
    found: nix::Result<impl Iterator<Item = nix::ifaddrs::InterfaceAddress>>,
) -> Result<Vec<InterfaceAddress>, HostError> {
    let address = |found: nix::ifaddrs::InterfaceAddress| {
        let storage = found.address?;
        let (address, prefix) = match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
            (Some(v4), _) => {
                let mask = found.netmask?.as_sockaddr_in()?.ip();
                (IpAddr::from(v4.ip()), mask.to_bits().count_ones())
            }
            (_, Some(v6)) => {
                let mask = found.netmask?.as_sockaddr_in6()?.ip();
                (IpAddr::from(v6.ip()), mask.to_bits().count_ones())
            }
            _ => return None,
        };
        let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        let usable = found.flags.contains(InterfaceFlags::IFF_UP) && !address.is_loopback() && !link_local;
        let network = Cidr::around(address, u8::try_from(prefix).ok()?);
        usable.then_some(InterfaceAddress { interface: found.interface_name, address, network })
    };
    let unknown = |errno: nix::errno::Errno| HostError::File {
        act: "see which addresses this host has".to_owned(),
        source: errno.into(),
    };
    Ok(found.map_err(unknown)?.filter_map(address).collect())
}

fn resolver(host: &Host) -> Result<Resolver, HostError> {
    const USUAL: &str = "/etc/resolv.conf";
    const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
    let servers = |file: &str| Ok::<_, HostError>(network::nameservers(&host.read_text(file)?.unwrap_or_default()));
    let reachable = |servers: Vec<IpAddr>| servers.into_iter().filter(|server| !server.is_loopback()).collect();
    let usual = servers(USUAL)?;
    let only_stub = !usual.is_empty() && usual.iter().all(IpAddr::is_loopback);
    let file = if only_stub && host.exists(RESOLVED) { RESOLVED } else { USUAL };
    Ok(Resolver { file: file.to_owned(), nameservers: reachable(servers(file)?) })
}

fn listeners(host: &Host) -> Result<Vec<Listener>, HostError> {
    let mut sockets = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        sockets.extend(network::listening_sockets(&host.read_text(table)?.unwrap_or_default()));
    }
    let programs = socket_programs(host);
    let mut found: Vec<_> = sockets
        .into_iter()
        .map(|socket| Listener {
            port: socket.port,
            address: socket.address,
            program: programs.get(&socket.inode).cloned(),
        })
        .collect();
    found.sort_by_key(|listener| (listener.port, listener.address));
    found.dedup();
    Ok(found)
}

/// Which program has which socket open. The program is unknown if its process cannot be inspected.
fn socket_programs(host: &Host) -> HashMap<u64, String> {
    let mut found = HashMap::new();
    for process in host.processes().unwrap_or_default() {
        let Ok(Some(name)) = process.name() else { continue };
        for socket in process.sockets().unwrap_or_default() {
            found.insert(socket, name.clone());
        }
    }
    found
}

fn clock(host: &Host) -> Result<Clock, HostError> {
    let unix_seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    // timedated is not asked: the question would start it, and it leaves files of its own.
    let mut keepers = host.unit_states(CLOCK_KEEPERS)?.into_iter();
    let keeper = keepers.find(|(_, state)| state.is_active()).map(|(name, _)| name);
    Ok(Clock { unix_seconds, keeper })
}

/// The units of interest that kinstall did not start.
fn units_of_others(host: &Host) -> Result<BTreeMap<String, UnitState>, HostError> {
    let mut states = host.unit_states(UNITS)?;
    for change in host.ledger().changes() {
        if let Change::Unit { name, .. } = change {
            states.remove(name);
        }
    }
    Ok(states)
}

fn find_program(host: &Host, name: &str) -> Option<String> {
    let paths = PROGRAM_DIRECTORIES.iter().map(|directory| format!("{directory}/{name}"));
    paths.into_iter().find(|path| host.is_executable(path))
}

/// The paths that contain something and are not on the ledger, neither by themselves nor as part of a tree.
fn leftovers(host: &Host) -> Result<Vec<String>, HostError> {
    let ledger = host.ledger();
    let mut found = Vec::new();
    for &path in LEFTOVERS.iter().filter(|path| !ledger.covers(path) && !ledger.claims(path)) {
        if host.holds_files(path)? {
            found.push(path.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::fixture::bench::Bench;

    #[test]
    fn a_file_system_whose_room_is_unknown_still_hides_what_is_below() {
        let bench = Bench::new();
        let lines = procfs::mounts("/dev/sda1 / ext4 rw 0 0\n/dev/sdb /stale nfs rw 0 0\n");
        let found = mounts(&bench.host(), &lines);
        let room: Vec<_> = found.iter().map(|mount| (mount.path.as_str(), mount.space.is_some())).collect();
        assert_eq!(room, [("/", true), ("/stale", false)]);
    }

    #[test]
    fn addresses_that_the_kernel_does_not_tell_are_an_error_and_not_none() {
        let failed: nix::Result<std::iter::Empty<_>> = Err(Errno::ENOBUFS);
        assert_eq!(addresses_of(failed).unwrap_err().to_string(), "cannot see which addresses this host has");
    }

    #[test]
    fn leftovers_that_cannot_be_looked_at_are_an_error() {
        let bench = Bench::new();
        bench.file("etc/kubernetes/admin.conf", "");
        fs_err::create_dir_all(bench.path("var/lib/etcd/empty")).unwrap();
        assert_eq!(leftovers(&bench.host()).unwrap(), ["/etc/kubernetes"]);
    }

    #[test]
    fn the_connection_table_can_be_set_before_its_module_is_loaded() {
        let bench = Bench::new();
        bench.file("proc/sys/kernel/osrelease", "6.1.0-56-amd64\n");
        let writable = || {
            let host = bench.host();
            is_conntrack_max_writable(&host, &kernel_facts(&host).unwrap())
        };
        assert!(!writable(), "neither the setting nor a module that brings it");
        bench.file("lib/modules/6.1.0-56-amd64/modules.dep", "");
        assert!(writable(), "kinstall will load the module");
        bench.file("proc/sys/net/netfilter/nf_conntrack_max", "262144\n");
        assert!(writable(), "kinstall has loaded the module");
    }
}
