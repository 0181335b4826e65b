//! What each distribution does differently: how packages, firewalls, boot parameters and mounts are changed there, and what a
//! hardened host of it is like. One table for the commands that preflight shows, and for what the manual says.
//!
//! Sources, by the name in [`Distribution::source`]:
//! * *RHEL*: Red Hat's documentation of RHEL 8 and 9 ("Configuring and managing networking", "Managing, monitoring and updating the
//!   kernel"; "Managing file systems" for fapolicyd: "Security hardening"), and the DISA STIGs for RHEL 8 and 9: fapolicyd denies what no
//!   package brings (RHEL-08-040137, RHEL-09-433016), firewalld denies by default (RHEL-08-040090, RHEL-09-251020), /tmp, /var/tmp and
//!   /home are noexec (RHEL-08-040125, RHEL-08-040134, RHEL-08-010590), requiretty is not set, but `use_pty` may be.
//! * *Ubuntu*: Ubuntu Server Guide (ufw, netplan, systemd-resolved), CIS benchmarks for Ubuntu 22.04 and 24.04: one of ufw, nftables and
//!   iptables denies by default, IP forwarding is off, /tmp, /var/tmp and /dev/shm are noexec.
//! * *Debian*: release notes of Debian 12 and 13 (`/etc/sysctl.conf` is not read any more, /tmp is a tmpfs), package nftables.
//! * *SLES*: SUSE's Administration and Security guides for 15 (wicked, firewalld, netconfig, `AppArmor`, hybrid cgroups up to SP5).
//! * *Amazon*: the Amazon Linux 2023 user guide (SELinux permissive, systemd-networkd, no firewall, cgroup v2).

use crate::facts::packet_filter::Protocol;
use crate::facts::{CgroupVersion, HostFacts, OsRelease};
use crate::host::UnitState;

/// A family of distributions: which programs install packages and change boot parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Debian, Ubuntu and their derivatives.
    Debian,
    /// RHEL and its rebuilds, Fedora, Amazon Linux.
    RedHat,
    /// SLES and openSUSE.
    Suse,
    /// Any other.
    Other,
}

/// What manages the packet filter on a host as it is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firewall {
    /// firewalld.
    Firewalld,
    /// ufw.
    Ufw,
    /// nftables.service, which loads /etc/nftables.conf.
    Nftables,
    /// iptables.service or netfilter-persistent.service, which load what `iptables-save` has saved.
    Iptables,
    /// Nothing.
    None,
}

/// What a distribution does differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// The name for people.
    pub name: &'static str,
    /// `ID` in os-release(5).
    pub id: &'static str,
    /// `VERSION_ID` up to the first dot, or all of it; empty where all versions are alike.
    pub version: &'static str,
    /// Its family.
    pub family: Family,
    /// The firewall that is active after an installation, or that its hardening guide demands.
    pub firewall: Firewall,
    /// The unit that manages interfaces.
    pub network: &'static str,
    /// The unit that keeps the clock right.
    pub clock: &'static str,
    /// The control groups that it boots with.
    pub cgroups: CgroupVersion,
    /// The source of this row, by its name in the module's header.
    pub source: &'static str,
}

/// Every distribution with a row of its own. Hosts of others are given the commands of their family.
pub const DISTRIBUTIONS: &[Distribution] = &[
    red_hat("RHEL 8", "rhel", "8", CgroupVersion::V1),
    red_hat("RHEL 9", "rhel", "9", CgroupVersion::V2),
    red_hat("Oracle Linux 8", "ol", "8", CgroupVersion::V1),
    red_hat("Oracle Linux 9", "ol", "9", CgroupVersion::V2),
    Distribution {
        firewall: Firewall::None,
        network: "systemd-networkd.service",
        source: "Amazon",
        ..red_hat("Amazon Linux 2023", "amzn", "2023", CgroupVersion::V2)
    },
    Distribution {
        firewall: Firewall::Ufw,
        network: "systemd-networkd.service",
        source: "Ubuntu",
        ..debian("Ubuntu 22.04", "ubuntu", "22.04")
    },
    Distribution {
        firewall: Firewall::Ufw,
        network: "systemd-networkd.service",
        source: "Ubuntu",
        ..debian("Ubuntu 24.04", "ubuntu", "24.04")
    },
    debian("Debian 12", "debian", "12"),
    debian("Debian 13", "debian", "13"),
    Distribution {
        name: "SLES 15",
        id: "sles",
        version: "15",
        family: Family::Suse,
        firewall: Firewall::Firewalld,
        network: "wicked.service",
        clock: "chronyd.service",
        cgroups: CgroupVersion::V1,
        source: "SLES",
    },
];

const fn red_hat(name: &'static str, id: &'static str, version: &'static str, cgroups: CgroupVersion) -> Distribution {
    Distribution {
        name,
        id,
        version,
        family: Family::RedHat,
        firewall: Firewall::Firewalld,
        network: "NetworkManager.service",
        clock: "chronyd.service",
        cgroups,
        source: "RHEL",
    }
}

const fn debian(name: &'static str, id: &'static str, version: &'static str) -> Distribution {
    Distribution {
        name,
        id,
        version,
        family: Family::Debian,
        firewall: Firewall::Nftables,
        network: "networking.service",
        clock: "systemd-timesyncd.service",
        cgroups: CgroupVersion::V2,
        source: "Debian",
    }
}

/// The distribution of a host, if it has a row of its own.
#[must_use]
pub fn of(os: &OsRelease) -> Option<&'static Distribution> {
    let is_of = |version: &str| {
        let rest = os.version_id.strip_prefix(version);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    DISTRIBUTIONS.iter().find(|known| known.id == os.id && is_of(known.version))
}

impl Family {
    /// The family of a host.
    #[must_use]
    pub fn of(os: &OsRelease) -> Self {
        if let Some(distribution) = of(os) {
            return distribution.family;
        }
        let is = |names: &[&str]| std::iter::once(&os.id).chain(&os.id_like).any(|id| names.contains(&id.as_str()));
        if is(&["rhel", "fedora", "centos", "amzn", "ol"]) {
            Self::RedHat
        } else if is(&["suse", "sles", "opensuse"]) {
            Self::Suse
        } else if is(&["debian", "ubuntu"]) {
            Self::Debian
        } else {
            Self::Other
        }
    }

    /// The package that holds a program.
    #[must_use]
    pub fn package(self, program: &str) -> &'static str {
        match (program, self) {
            ("conntrack", Self::RedHat | Self::Suse) => "conntrack-tools",
            ("conntrack", _) => "conntrack",
            ("ip", Self::RedHat) => "iproute",
            ("ip", _) => "iproute2",
            // RHEL 9, Oracle Linux 9 and Amazon Linux 2023 have no package of the plain name; dnf finds the package by what it provides.
            ("iptables", _) => "iptables",
            ("nft", _) => "nftables",
            ("ethtool", _) => "ethtool",
            ("socat", _) => "socat",
            ("mount" | "umount", Self::Debian) => "mount",
            ("modprobe", _) => "kmod",
            _ => "util-linux",
        }
    }

    /// The command that installs packages from a medium or a mirror of the site.
    #[must_use]
    pub fn install(self, packages: &[&str]) -> String {
        let packages = packages.join(" ");
        match self {
            Self::Debian => format!("apt-get install {packages}"),
            Self::RedHat => format!("dnf install {packages}"),
            Self::Suse => format!("zypper install {packages}"),
            Self::Other => format!("install the packages {packages}"),
        }
    }

    /// The command that adds a parameter to the kernel's command line; it counts from the next boot on.
    #[must_use]
    pub fn add_kernel_parameter(self, parameter: &str) -> String {
        match self {
            Self::RedHat => format!("grubby --update-kernel=ALL --args={parameter}"),
            Self::Debian => format!("add {parameter} to GRUB_CMDLINE_LINUX in /etc/default/grub, `update-grub`"),
            Self::Suse => format!(
                "add {parameter} to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, `grub2-mkconfig -o /boot/grub2/grub.cfg`"
            ),
            Self::Other => format!("add {parameter} to the kernel's command line"),
        }
    }
}

impl Firewall {
    /// What manages the packet filter of a host at present.
    #[must_use]
    pub fn of(facts: &HostFacts) -> Self {
        let runs = |unit: &str| {
            facts.hardening.at_work.contains(unit) || facts.units.get(unit).is_some_and(UnitState::is_active)
        };
        if runs("firewalld.service") {
            Self::Firewalld
        } else if runs("ufw.service") && facts.hardening.ufw_enabled {
            Self::Ufw
        } else if runs("nftables.service") {
            Self::Nftables
        } else if runs("iptables.service") || runs("netfilter-persistent.service") {
            Self::Iptables
        } else {
            Self::None
        }
    }

    /// The name of the program, if it decides about ports by itself.
    #[must_use]
    pub fn unit(self) -> Option<&'static str> {
        match self {
            Self::Firewalld => Some("firewalld"),
            Self::Ufw => Some("ufw"),
            Self::Nftables | Self::Iptables | Self::None => None,
        }
    }

    /// The commands that let packets of the pods in `network` through.
    #[must_use]
    pub fn forward(self, network: &str) -> Vec<String> {
        match self {
            Self::Firewalld => vec![format!("firewall-cmd --permanent --zone=trusted --add-source={network}")],
            Self::Ufw => ["from", "to"].map(|side| format!("ufw route allow {side} {network}")).into(),
            Self::Nftables => {
                let family = if network.contains(':') { "ip6" } else { "ip" };
                ["saddr", "daddr"]
                    .map(|side| format!("nft insert rule TABLE CHAIN {family} {side} {network} accept"))
                    .into()
            }
            Self::Iptables | Self::None => {
                ["-s", "-d"].map(|side| format!("iptables -I FORWARD {side} {network} -j ACCEPT")).into()
            }
        }
    }

    /// The command that accepts new connections to a port, from `source` or from anywhere.
    #[must_use]
    pub fn open(self, protocol: Protocol, port: u16, source: Option<&str>) -> String {
        let protocol = match protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        match (self, source) {
            (Self::Firewalld, None) => format!("firewall-cmd --permanent --add-port={port}/{protocol}"),
            (Self::Firewalld, Some(source)) => format!(
                "firewall-cmd --permanent --add-rich-rule='rule family=ipv4 source address={source} port port={port} protocol={protocol} accept'"
            ),
            (Self::Ufw, source) => {
                format!("ufw allow from {} to any port {port} proto {protocol}", source.unwrap_or("any"))
            }
            (Self::Nftables, source) => {
                let from = source.map(|source| format!("ip saddr {source} ")).unwrap_or_default();
                format!("nft insert rule TABLE CHAIN {from}{protocol} dport {port} accept")
            }
            (Self::Iptables | Self::None, source) => {
                let from = source.map(|source| format!("-s {source} ")).unwrap_or_default();
                format!("iptables -I INPUT {from}-p {protocol} --dport {port} -j ACCEPT")
            }
        }
    }

    /// What makes such a rule permanent: a command, or the file that is loaded at boot.
    #[must_use]
    pub fn keep(self) -> &'static str {
        match self {
            Self::Firewalld => "`firewall-cmd --reload`",
            Self::Ufw => "ufw keeps it",
            Self::Nftables => {
                "the same in the file that nftables.service loads (/etc/nftables.conf, on RHEL /etc/sysconfig/nftables.conf)"
            }
            Self::Iptables | Self::None => {
                "`iptables-save` into what is loaded at boot (/etc/iptables/rules.v4, on RHEL /etc/sysconfig/iptables)"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::system::os_release;

    #[test]
    fn a_distribution_is_known_by_its_id_and_version() {
        let name = |text: &str| of(&os_release(text)).map(|found| found.name);
        assert_eq!(name("ID=\"rhel\"\nVERSION_ID=\"9.4\"\n"), Some("RHEL 9"));
        assert_eq!(name("ID=ubuntu\nVERSION_ID=\"24.04\"\n"), Some("Ubuntu 24.04"));
        assert_eq!(name("ID=\"sles\"\nVERSION_ID=\"15.5\"\n"), Some("SLES 15"));
        assert_eq!(name("ID=ubuntu\nVERSION_ID=\"24.10\"\n"), None);
        assert_eq!(name("ID=rocky\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.3\"\n"), None);
    }

    #[test]
    fn a_distribution_that_is_not_known_by_itself_has_a_family() {
        for (text, family) in [
            ("ID=rocky\nID_LIKE=\"rhel centos fedora\"\n", Family::RedHat),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Family::Debian),
            ("ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\n", Family::Suse),
            ("ID=arch\n", Family::Other),
        ] {
            assert_eq!(Family::of(&os_release(text)), family, "{text}");
        }
    }

    #[test]
    fn each_family_has_its_own_commands() {
        let all = [Family::Debian, Family::RedHat, Family::Suse];
        insta::assert_debug_snapshot!(all.map(|family| family.install(&[family.package("conntrack"), family.package("ip")])), @r#"
        [
            "apt-get install conntrack iproute2",
            "dnf install conntrack-tools iproute",
            "zypper install conntrack-tools iproute2",
        ]
        "#);
        insta::assert_debug_snapshot!(all.map(|family| family.add_kernel_parameter("systemd.unified_cgroup_hierarchy=1")), @r#"
        [
            "add systemd.unified_cgroup_hierarchy=1 to GRUB_CMDLINE_LINUX in /etc/default/grub, `update-grub`",
            "grubby --update-kernel=ALL --args=systemd.unified_cgroup_hierarchy=1",
            "add systemd.unified_cgroup_hierarchy=1 to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, `grub2-mkconfig -o /boot/grub2/grub.cfg`",
        ]
        "#);
        let firewalls = [Firewall::Firewalld, Firewall::Ufw, Firewall::Nftables, Firewall::Iptables];
        insta::assert_debug_snapshot!(firewalls.map(|firewall| firewall.open(Protocol::Tcp, 10250, Some("192.0.2.1"))), @r#"
        [
            "firewall-cmd --permanent --add-rich-rule='rule family=ipv4 source address=192.0.2.1 port port=10250 protocol=tcp accept'",
            "ufw allow from 192.0.2.1 to any port 10250 proto tcp",
            "nft insert rule TABLE CHAIN ip saddr 192.0.2.1 tcp dport 10250 accept",
            "iptables -I INPUT -s 192.0.2.1 -p tcp --dport 10250 -j ACCEPT",
        ]
        "#);
    }
}
