//! Checks for other software that changes the settings of a cluster, and for what a hardened host forbids.

use super::{Answer, Check, Subject};
use crate::config::Switch;
use crate::facts::{CgroupVersion, NETWORK_MANAGER_DEVICES, NETWORK_MANAGER_FILE};
use crate::version_rules::kubernetes::CGROUP_V1_REFUSED;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "kernel-configuration",
        wanted: "the file that says how the kernel was built (kubeadm's preflight: SystemVerification)",
        look: kernel_configuration,
    },
    Check {
        id: "boot-settings",
        wanted: "no file that changes these kernel settings at boot (systemd-sysctl, ufw)",
        look: boot_settings,
    },
    Check {
        id: "network-managers",
        wanted: "no service that changes the interfaces or routes of pods",
        look: network_managers,
    },
    Check {
        id: "execution-control",
        wanted: "no service that forbids binaries from outside packages (fapolicyd)",
        look: execution_control,
    },
    Check { id: "app-armor", wanted: "on or off; where it is on, containerd loads its own profile", look: app_armor },
    Check { id: "links", wanted: "no interfaces of another container engine or cluster", look: links },
];

fn kernel_configuration(subject: &Subject<'_>) -> Answer {
    let kernel = &subject.facts.kernel;
    if let Some(found) = &kernel.configuration {
        return Answer::pass(found);
    }
    let is_v1 = subject.facts.cgroups.version == CgroupVersion::V1;
    if is_v1 && subject.kubernetes.is_some_and(|version| CGROUP_V1_REFUSED.holds(version)) {
        return Answer::pass("none; kinstall tells kubeadm not to look, because of this host's cgroup version");
    }
    let release = &kernel.release;
    Answer::reject(
        format!("none, such as /boot/config-{release}"),
        format!("copy it to /boot/config-{release} from the package of this kernel or from where it was built"),
    )
}

fn boot_settings(subject: &Subject<'_>) -> Answer {
    let conflicts = subject.facts.hardening.boot_conflicts.iter();
    let conflicts: Vec<_> = conflicts.filter(|found| found.concerns(&subject.spec.network)).collect();
    if conflicts.is_empty() {
        return Answer::pass("none");
    }
    let found: Vec<_> =
        conflicts.iter().map(|found| format!("{} sets {} to {}", found.file, found.name, found.value)).collect();
    let found = found.join("; ");
    if subject.spec.host_preparation == Switch::Enabled {
        return Answer::pass(format!("{found}; kinstall comments it out"));
    }
    let mut commands: Vec<_> = conflicts
        .iter()
        .map(|found| {
            let name = found.name.replace('.', "[./]");
            format!("`sed -i 's|^-\\?{name} *=|#&|' {}`", found.file)
        })
        .collect();
    commands.dedup();
    Answer::warn(
        found,
        format!("{}, or `kinstall run --prepare`; else the cluster fails after the next boot", commands.join(", ")),
    )
}

fn network_managers(subject: &Subject<'_>) -> Answer {
    let facts = subject.facts;
    let runs = |unit: &str| facts.hardening.at_work.contains(unit);
    if runs("nm-cloud-setup.timer") {
        return Answer::reject(
            "nm-cloud-setup.timer runs, which removes the routes of pods",
            "`systemctl disable --now nm-cloud-setup.timer nm-cloud-setup.service`, then reboot",
        );
    }
    if runs("NetworkManager.service") {
        return match (facts.hardening.network_manager_keeps_off, subject.spec.host_preparation) {
            (true, _) => Answer::pass("NetworkManager, which leaves the interfaces of pods alone"),
            (false, Switch::Enabled) => {
                Answer::pass("NetworkManager; kinstall tells it to leave the interfaces of pods alone")
            }
            (false, Switch::Disabled) => Answer::warn(
                "NetworkManager, which may change the interfaces of pods",
                format!(
                    "`kinstall run --prepare`, or write `[keyfile]` and `unmanaged-devices={NETWORK_MANAGER_DEVICES}` to {NETWORK_MANAGER_FILE}, `systemctl reload \
                     NetworkManager`"
                ),
            ),
        };
    }
    let names = ["systemd-networkd.service", "wicked.service", "connman.service"];
    let found: Vec<_> = names.into_iter().filter(|unit| runs(unit)).collect();
    if found.is_empty() { Answer::pass("none") } else { Answer::pass(found.join(", ")) }
}

fn execution_control(subject: &Subject<'_>) -> Answer {
    if !subject.facts.hardening.at_work.contains("fapolicyd.service") {
        return Answer::pass("none");
    }
    Answer::reject(
        "fapolicyd.service runs, and trusts only what a package brought",
        "let it trust what the bundle brings and what containers run: `fapolicyd-cli --file add /usr/local/bin/`, `fapolicyd-cli --file add \
         /opt/cni/bin/`, rules that allow /var/lib/containerd and /run/containerd, `fapolicyd-cli --update`; then `--ignore \
         execution-control`",
    )
}

fn app_armor(subject: &Subject<'_>) -> Answer {
    Answer::pass(if subject.facts.hardening.app_armor { "at work" } else { "not active" })
}

fn links(subject: &Subject<'_>) -> Answer {
    const OF_OTHERS: [(&str, &str); 7] = [
        ("docker0", "Docker"),
        ("cni-podman0", "Podman"),
        ("podman0", "Podman"),
        ("lxcbr0", "LXC"),
        ("cilium_host", "Cilium"),
        ("weave", "Weave"),
        ("virbr0", "libvirt"),
    ];
    let has = |link: &str| subject.facts.mtus.contains_key(link);
    let found: Vec<_> =
        OF_OTHERS.iter().filter(|(link, _)| has(link)).map(|(link, owner)| format!("{link} of {owner}")).collect();
    if found.is_empty() {
        return Answer::pass("none");
    }
    Answer::warn(
        found.join(", "),
        "keep it if its network differs from the cluster's and its rules let pods through; if nothing uses it, `ip link delete` it \
         and reboot, which removes its rules too",
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{verdicts, verdicts_for};
    use crate::facts::BootConflict;

    #[test]
    fn what_undoes_a_cluster_at_boot_is_named_with_the_line_to_change() {
        insta::assert_debug_snapshot!(verdicts(|facts| {
            let conflict = |file: &str| BootConflict { file: file.into(), name: "net.ipv4.ip_forward".into(), value: "0".into() };
            facts.hardening.boot_conflicts = vec![conflict("/etc/sysctl.d/99-sysctl.conf")];
        }), @r#"
        [
            "boot-settings Warn: /etc/sysctl.d/99-sysctl.conf sets net.ipv4.ip_forward to 0 | `sed -i 's|^-\\?net[./]ipv4[./]ip_forward *=|#&|' /etc/sysctl.d/99-sysctl.conf`, or `kinstall run --prepare`; else the cluster fails after the next boot",
        ]
        "#);
    }

    #[test]
    fn managers_of_interfaces_are_told_to_keep_off() {
        insta::assert_debug_snapshot!(verdicts(|facts| facts.hardening.at_work = ["NetworkManager.service".to_owned()].into()), @r#"
        [
            "network-managers Warn: NetworkManager, which may change the interfaces of pods | `kinstall run --prepare`, or write `[keyfile]` and `unmanaged-devices=interface-name:cali*;interface-name:vxlan.calico;interface-name:vxlan-v6.calico;interface-name:tunl*;interface-name:wireguard.cali;interface-name:wg-v6.cali;interface-name:flannel*;interface-name:cni0;interface-name:veth*;interface-name:kube-ipvs0` to /etc/NetworkManager/conf.d/kinstall.conf, `systemctl reload NetworkManager`",
        ]
        "#);
        insta::assert_debug_snapshot!(verdicts(|facts| facts.hardening.at_work = ["nm-cloud-setup.timer".to_owned()].into()), @r#"
        [
            "network-managers Reject: nm-cloud-setup.timer runs, which removes the routes of pods | `systemctl disable --now nm-cloud-setup.timer nm-cloud-setup.service`, then reboot",
        ]
        "#);
        let told = verdicts(|facts| {
            facts.hardening.at_work = ["NetworkManager.service".to_owned()].into();
            facts.hardening.network_manager_keeps_off = true;
        });
        assert!(told.is_empty(), "{told:?}");
    }

    #[test]
    fn a_kernel_that_kubeadm_cannot_judge_is_rejected_as_kubeadm_would() {
        let found = |version: &str, is_v1: bool| {
            verdicts_for(version, |facts| {
                facts.kernel.configuration = None;
                if is_v1 {
                    facts.cgroups.version = crate::facts::CgroupVersion::V1;
                    facts.cgroups.controllers.extend(["cpuacct", "devices", "freezer"].map(str::to_owned));
                }
            })
        };
        insta::assert_debug_snapshot!(found("1.36.3", false), @r#"
        [
            "kernel-configuration Reject: none, such as /boot/config-6.1.0-13-amd64 | copy it to /boot/config-6.1.0-13-amd64 from the package of this kernel or from where it was built",
        ]
        "#);
        assert_eq!(found("1.30.14", true).len(), 1);
        assert!(!found("1.36.3", true).iter().any(|found| found.contains("kernel-configuration")));
    }

    #[test]
    fn interfaces_of_others_are_pointed_out() {
        let found = verdicts(|facts| facts.mtus.extend([("docker0".to_owned(), 1500)]));
        assert!(found[0].starts_with("links Warn: docker0 of Docker"), "{found:?}");
    }
}
