//! Checks of the machine: processors, memory, kernel, control groups, file systems.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, Applies, Check, Subject};
use crate::distributions::Family;
use crate::facts::{CgroupVersion, MODULES};
use crate::kernel_settings::{Need, SETTINGS};
use crate::version_rules::kubernetes::{CGROUP_V1_REFUSED, FAIL_CGROUP_V1};

pub(super) const CHECKS: &[Check] = &[
    Check { id: "cpus", wanted: "2 processors (kubeadm's preflight: NumCPU)", look: cpus },
    Check { id: "memory", wanted: "1700 MiB for a control plane (kubeadm's preflight: Mem)", look: memory },
    Check {
        id: "kernel-features",
        wanted: "overlay, br_netfilter, nf_conntrack (containerd, kube-proxy)",
        look: kernel_features,
    },
    Check {
        id: "kernel-settings",
        wanted: "forwarding and bridge filtering (kubeadm's preflight)",
        look: kernel_settings,
    },
    Check { id: "cgroups", wanted: "the controllers of Kubernetes' system validation", look: cgroups },
    Check { id: "file-systems", wanted: "writable, and mounted without noexec where binaries are", look: file_systems },
    Check { id: "swap", wanted: "off (the kubelet's failSwapOn)", look: swap },
    Check { id: "nesting", wanted: "limits of a container that kinstall can work around", look: nesting },
];

fn cpus(subject: &Subject<'_>) -> Answer {
    let found = subject.facts.cpus;
    if found >= 2 {
        Answer::pass(found.to_string())
    } else {
        Answer::reject(found.to_string(), "give the host another processor")
    }
}

fn memory(subject: &Subject<'_>) -> Answer {
    const WANTED_MIB: u64 = 1700;
    let Some(bytes) = subject.facts.memory.total_bytes else { return Answer::unknown("the kernel does not report it") };
    let mib = bytes >> 20;
    match mib {
        WANTED_MIB.. => Answer::pass(format!("{mib} MiB")),
        _ => Answer::reject(format!("{mib} MiB"), "give the host more memory"),
    }
}

fn kernel_features(subject: &Subject<'_>) -> Answer {
    let kernel = &subject.facts.kernel;
    let missing: Vec<_> =
        MODULES.iter().map(|&(name, _)| name).filter(|&name| !kernel.features.contains(name)).collect();
    if missing.is_empty() {
        return Answer::pass("available");
    }
    let missing = missing.join(", ");
    if kernel.has_modules {
        Answer::pass(format!("{missing} not loaded yet; kinstall loads them"))
    } else {
        let advice = format!(
            "load {missing} with modprobe, on the outer machine where this host is a container; /lib/modules has none for kernel {}",
            kernel.release
        );
        Answer::reject(format!("no {missing}, and no modules to load"), advice)
    }
}

fn kernel_settings(subject: &Subject<'_>) -> Answer {
    let mut essential = Vec::new();
    let mut others = Vec::new();
    for setting in SETTINGS.iter().filter(|setting| setting.is_for(&subject.spec.network)) {
        // A missing setting appears with its module, and can be written then.
        let stuck = subject
            .facts
            .kernel
            .sysctls
            .get(setting.name)
            .filter(|found| !found.writable && !setting.suits(&found.value));
        let Some(found) = stuck else { continue };
        let text = format!("{} is {} and read-only; {} is required", setting.name, found.value, setting.value());
        if setting.need == Need::Essential { essential.push(text) } else { others.push(text) }
    }
    let advice = "set it on the outer machine where this host is a container";
    match (essential.is_empty(), others.is_empty()) {
        (true, true) => Answer::pass("set, or can be set"),
        (true, false) => Answer::warn(others.join("; "), format!("the cluster works without it; to have it, {advice}")),
        (false, _) => Answer::reject(essential.join("; "), advice),
    }
}

fn cgroups(subject: &Subject<'_>) -> Answer {
    let cgroups = &subject.facts.cgroups;
    let (name, wanted): (_, &[&str]) = match cgroups.version {
        CgroupVersion::V1 => ("version 1", &["cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"]),
        CgroupVersion::V2 => ("version 2", &["cpu", "cpuset", "memory", "pids"]),
        CgroupVersion::Absent => {
            return Answer::reject("none mounted", "boot with systemd, which mounts /sys/fs/cgroup");
        }
    };
    let missing: Vec<_> =
        wanted.iter().copied().filter(|&controller| !cgroups.controllers.contains(controller)).collect();
    if missing.is_empty() {
        return if cgroups.version == CgroupVersion::V1 { cgroup_v1(subject) } else { Answer::pass(name) };
    }
    let parameter = format!("cgroup_enable={}", missing[0]);
    let advice = format!(
        "boot with these controllers on: `{}`, then reboot",
        Family::of(&subject.facts.os).add_kernel_parameter(&parameter)
    );
    Answer::reject(format!("{name} without {}", missing.join(", ")), advice)
}

/// A host with cgroup v1 and all its controllers.
fn cgroup_v1(subject: &Subject<'_>) -> Answer {
    let refused =
        "Kubernetes 1.35 and later refuse it by default, and kinstall sets failCgroupV1 to false for this host";
    let found = match (subject.applies(&FAIL_CGROUP_V1), subject.applies(&CGROUP_V1_REFUSED)) {
        (Applies::No, _) => return Answer::pass("version 1"),
        (_, Applies::Yes) => format!("version 1; {refused}"),
        (Applies::Yes, _) => format!("version 1, in maintenance mode since Kubernetes 1.31; {refused}"),
        (Applies::DependsOnVersion, _) => {
            format!("version 1, which Kubernetes below 1.31 accepts; {refused}")
        }
    };
    let command = Family::of(&subject.facts.os).add_kernel_parameter("systemd.unified_cgroup_hierarchy=1");
    Answer::warn(found, format!("boot with version 2 before upstream drops version 1: {command}, then reboot"))
}

fn file_systems(subject: &Subject<'_>) -> Answer {
    /// Directories that kinstall writes to, and whether programs are run from them.
    const DIRECTORIES: [(&str, bool); 7] = [
        ("/etc", false),
        ("/opt/cni/bin", true),
        ("/usr/local/bin", true),
        ("/var/lib/containerd", true),
        ("/var/lib/etcd", false),
        // kinstall itself runs from there on hosts that another kinstall leads.
        ("/var/lib/kinstall", true),
        ("/var/lib/kubelet", true),
    ];
    let mut options = BTreeMap::new();
    let mut problem = |&(directory, runs): &(&str, bool)| {
        let mount = subject.facts.mount_of(directory)?;
        let lacking: BTreeSet<_> = [mount.read_only.then_some("rw"), (mount.no_exec && runs).then_some("exec")]
            .into_iter()
            .flatten()
            .collect();
        if lacking.is_empty() {
            return None;
        }
        options.entry(mount.path.as_str()).or_insert_with(BTreeSet::new).extend(lacking);
        let how = if mount.read_only { "read-only" } else { "mounted noexec" };
        Some(format!("{directory} is on {}, which is {how}", mount.path))
    };
    let problems: Vec<_> = DIRECTORIES.iter().filter_map(&mut problem).collect();
    if problems.is_empty() {
        return Answer::pass(match subject.facts.mount_of("/var/lib/kubelet") {
            Some(mount) if mount.no_suid => format!(
                "writable and executable; {} is mounted nosuid, so that setuid programs in volumes of pods have no special rights",
                mount.path
            ),
            _ => "writable and executable".to_owned(),
        });
    }
    let remount = |(path, options): (&&str, &BTreeSet<&str>)| {
        let options: Vec<_> = options.iter().copied().collect();
        format!("`mount -o remount,{} {path}`", options.join(","))
    };
    let commands: Vec<_> = options.iter().map(remount).collect();
    Answer::reject(
        problems.join("; "),
        format!("{}, and the same in /etc/fstab; or put file systems of their own there", commands.join(", ")),
    )
}

fn swap(subject: &Subject<'_>) -> Answer {
    match subject.facts.swap_areas.as_slice() {
        [] => Answer::pass("off"),
        areas => Answer::pass(format!("on ({}); kinstall switches it off", areas.join(", "))),
    }
}

fn nesting(subject: &Subject<'_>) -> Answer {
    let facts = subject.facts;
    let mut limits = Vec::new();
    if !facts.can_lower_oom_score {
        limits.push("oom_score_adj cannot be lowered: containerd is told so");
    }
    if !facts.conntrack_max_writable && facts.kernel.features.contains("nf_conntrack") {
        limits.push("nf_conntrack_max is read-only: kube-proxy leaves it alone");
    }
    if limits.is_empty() { Answer::pass("a host of its own") } else { Answer::pass(limits.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{verdicts, verdicts_for};
    use crate::facts::{CgroupVersion, Mount, Sysctl};

    #[test]
    fn small_machines_are_rejected() {
        insta::assert_debug_snapshot!(verdicts(|facts| {
            facts.cpus = 1;
            facts.memory.total_bytes = Some(1_500 << 20);
        }), @r#"
        [
            "cpus Reject: 1 | give the host another processor",
            "memory Reject: 1500 MiB | give the host more memory",
        ]
        "#);
    }

    #[test]
    fn a_kernel_without_what_it_takes_is_rejected() {
        insta::assert_debug_snapshot!(verdicts(|facts| {
            facts.kernel.features.remove("br_netfilter");
            facts.kernel.has_modules = false;
            facts.cgroups.version = CgroupVersion::V1;
        }), @r#"
        [
            "kernel-features Reject: no br_netfilter, and no modules to load | load br_netfilter with modprobe, on the outer machine where this host is a container; /lib/modules has none for kernel 6.1.0-13-amd64",
            "cgroups Reject: version 1 without cpuacct, devices, freezer | boot with these controllers on: `add cgroup_enable=cpuacct to GRUB_CMDLINE_LINUX in /etc/default/grub, `update-grub``, then reboot",
        ]
        "#);
        assert!(verdicts(|facts| facts.kernel.features.clear()).is_empty(), "modules can be loaded");
        insta::assert_debug_snapshot!(verdicts(|facts| facts.cgroups.version = CgroupVersion::Absent), @r#"
        [
            "cgroups Reject: none mounted | boot with systemd, which mounts /sys/fs/cgroup",
        ]
        "#);
    }

    #[test]
    fn cgroup_v1_is_said_where_upstream_minds_it() {
        let found = |version: &str| {
            verdicts_for(version, |facts| {
                facts.cgroups.version = CgroupVersion::V1;
                facts.cgroups.controllers.extend(["cpuacct", "devices", "freezer"].map(str::to_owned));
            })
        };
        assert!(found("1.30.14").is_empty(), "{:?}", found("1.30.14"));
        insta::assert_debug_snapshot!([found("1.34.3"), found("1.35.4"), found("")].concat(), @r#"
        [
            "cgroups Warn: version 1, in maintenance mode since Kubernetes 1.31; Kubernetes 1.35 and later refuse it by default, and kinstall sets failCgroupV1 to false for this host | boot with version 2 before upstream drops version 1: add systemd.unified_cgroup_hierarchy=1 to GRUB_CMDLINE_LINUX in /etc/default/grub, `update-grub`, then reboot",
            "cgroups Warn: version 1; Kubernetes 1.35 and later refuse it by default, and kinstall sets failCgroupV1 to false for this host | boot with version 2 before upstream drops version 1: add systemd.unified_cgroup_hierarchy=1 to GRUB_CMDLINE_LINUX in /etc/default/grub, `update-grub`, then reboot",
            "cgroups Warn: version 1, which Kubernetes below 1.31 accepts; Kubernetes 1.35 and later refuse it by default, and kinstall sets failCgroupV1 to false for this host | boot with version 2 before upstream drops version 1: add systemd.unified_cgroup_hierarchy=1 to GRUB_CMDLINE_LINUX in /etc/default/grub, `update-grub`, then reboot",
        ]
        "#);
    }

    #[test]
    fn read_only_settings_reject_only_when_nothing_works_without() {
        let read_only = |value: &str| Sysctl { value: value.into(), writable: false };
        insta::assert_debug_snapshot!(verdicts(|facts| {
            facts.kernel.sysctls.insert("kernel.panic".into(), read_only("0"));
        }), @r#"
        [
            "kernel-settings Warn: kernel.panic is 0 and read-only; 10 is required | the cluster works without it; to have it, set it on the outer machine where this host is a container",
        ]
        "#);
        insta::assert_debug_snapshot!(verdicts(|facts| {
            facts.kernel.sysctls.insert("kernel.panic".into(), read_only("0"));
            facts.kernel.sysctls.insert("net.ipv4.ip_forward".into(), read_only("0"));
        }), @r#"
        [
            "kernel-settings Reject: net.ipv4.ip_forward is 0 and read-only; 1 is required | set it on the outer machine where this host is a container",
        ]
        "#);
        assert!(verdicts(|facts| facts.conntrack_max_writable = false).is_empty(), "handled, so no one has to look");
    }

    #[test]
    fn file_systems_have_to_take_programs() {
        let mount = |path: &str, read_only, no_exec| Mount {
            path: path.into(),
            device: "/dev/sdb1".into(),
            file_system: "ext4".into(),
            read_only,
            no_exec,
            no_suid: false,
            space: None,
        };
        insta::assert_debug_snapshot!(verdicts(|facts| {
            facts.mounts.push(mount("/var", false, true));
            facts.mounts.push(mount("/usr", true, false));
        }), @r#"
        [
            "file-systems Reject: /usr/local/bin is on /usr, which is read-only; /var/lib/containerd is on /var, which is mounted noexec; /var/lib/kinstall is on /var, which is mounted noexec; /var/lib/kubelet is on /var, which is mounted noexec | `mount -o remount,rw /usr`, `mount -o remount,exec /var`, and the same in /etc/fstab; or put file systems of their own there",
        ]
        "#);
    }
}
