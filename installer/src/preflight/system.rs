//! Checks of the system: identity, clock, security modules, programs, leftovers of other software.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Answer, Applies, Check, Subject};
use crate::distributions::Family;
use crate::facts::Selinux;
use crate::host::UnitState;
use crate::version_rules::kubernetes::{CONNTRACK_FOR_KUBEADM, HELPERS_FOR_KUBEADM, LOSETUP_FOR_KUBEADM};

pub(super) const CHECKS: &[Check] = &[
    Check { id: "root", wanted: "user id 0, to change the host", look: root },
    Check { id: "systemd", wanted: "systemd, which keeps etcd, containerd and the kubelet running", look: systemd },
    Check {
        id: "machine-id",
        wanted: "an id of its own in /etc/machine-id (the kubelet reports it)",
        look: machine_id,
    },
    Check {
        id: "clock",
        wanted: "a plausible date and a running time service (certificates depend on it)",
        look: clock,
    },
    Check { id: "selinux", wanted: "not enforcing: the bundle has no policy for its binaries", look: selinux },
    Check { id: "programs", wanted: "what kubeadm's preflight and the kubelet look for", look: programs },
    Check { id: "services", wanted: "no other cluster or container engine is running", look: services },
    Check { id: "leftovers", wanted: "nothing of another cluster or container engine is left", look: leftovers },
];

fn root(subject: &Subject<'_>) -> Answer {
    match subject.facts.user_id {
        0 => Answer::pass("root"),
        id => Answer::reject(format!("user id {id}"), "run it as root, for example with sudo"),
    }
}

fn systemd(subject: &Subject<'_>) -> Answer {
    match program(subject, "systemctl") {
        Some(path) => Answer::pass(path),
        None => Answer::reject("no systemctl", "use a host that runs systemd"),
    }
}

fn machine_id(subject: &Subject<'_>) -> Answer {
    match &subject.facts.machine_id {
        Some(id) => Answer::pass(id),
        None => Answer::reject("none", "run `systemd-machine-id-setup` and reboot"),
    }
}

fn clock(subject: &Subject<'_>) -> Answer {
    /// 2024-01-01; kinstall is younger, so an earlier clock is wrong.
    const EARLIEST: u64 = 1_704_067_200;
    /// 2100-01-01; no certificate of a cluster lasts that long.
    const LATEST: u64 = 4_102_444_800;
    let clock = &subject.facts.clock;
    let found = rfc3339(clock.unix_seconds);
    if !(EARLIEST..LATEST).contains(&clock.unix_seconds) {
        return Answer::reject(found, "set the clock (`timedatectl set-time`), or certificates will not be valid");
    }
    match &clock.keeper {
        Some(unit) => Answer::pass(format!("{found}, kept by {unit}")),
        None => Answer::warn(
            format!("{found}, and no known time service runs"),
            "run chrony or systemd-timesyncd against a time server of the site; until then compare the clock by hand",
        ),
    }
}

/// The time in UTC, such as `2027-01-15T08:00:00Z`; the number of seconds if it is beyond the calendar.
fn rfc3339(unix_seconds: u64) -> String {
    let time = i64::try_from(unix_seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let text = time.and_then(|time| time.format(&Rfc3339).ok());
    text.unwrap_or_else(|| format!("{unix_seconds} s since 1970"))
}

fn selinux(subject: &Subject<'_>) -> Answer {
    match subject.facts.selinux {
        Selinux::Disabled => Answer::pass("not active"),
        Selinux::Permissive => Answer::pass("permissive"),
        Selinux::Enforcing => Answer::reject(
            "enforcing",
            format!(
                "`setenforce 0` and `SELINUX=permissive` in /etc/selinux/config, or `{}` from the distribution's medium and `--ignore \
                 selinux`",
                Family::of(&subject.facts.os).install(&["container-selinux"])
            ),
        ),
    }
}

fn programs(subject: &Subject<'_>) -> Answer {
    /// Programs that kinstall runs with every version.
    const OWN: [&str; 6] = ["ip", "iptables", "mount", "nsenter", "swapoff", "umount"];
    let family = Family::of(&subject.facts.os);
    let mut brought = Vec::new();
    let mut missing = |names: &[&'static str]| {
        let absent = names.iter().copied().filter(|name| program(subject, name).is_none());
        let (coming, missing): (Vec<_>, Vec<_>) = absent.partition(|name| subject.brings(family.package(name)));
        brought.extend(coming);
        missing
    };
    let (mut needed, mut wanted) = (missing(&OWN), Vec::new());
    for (name, rule) in [("conntrack", CONNTRACK_FOR_KUBEADM), ("losetup", LOSETUP_FOR_KUBEADM)] {
        match subject.applies(&rule) {
            Applies::Yes => needed.extend(missing(&[name])),
            // Some versions of kubeadm refuse to continue without it.
            Applies::DependsOnVersion => wanted.extend(missing(&[name])),
            Applies::No => {}
        }
    }
    if subject.applies(&HELPERS_FOR_KUBEADM) != Applies::No {
        wanted.extend(missing(&["ethtool", "socat"]));
    }
    let all: Vec<_> = needed.iter().chain(&wanted).copied().collect();
    if all.is_empty() {
        return Answer::pass(match brought.as_slice() {
            [] => "all found".to_owned(),
            names => format!("all found, or installed from the bundle: {}", names.join(", ")),
        });
    }
    let found = format!("no {}", all.join(", "));
    let mut packages: Vec<_> = all.iter().map(|program| family.package(program)).collect();
    packages.sort_unstable();
    packages.dedup();
    let advice = format!(
        "`{}`, from the distribution's medium or a mirror of the site; upstream's releases do not include them",
        family.install(&packages)
    );
    if needed.is_empty() { Answer::warn(found, advice) } else { Answer::reject(found, advice) }
}

fn program<'a>(subject: &Subject<'a>, name: &str) -> Option<&'a str> {
    subject.facts.programs.get(name)?.as_deref()
}

const FIREWALLS: [&str; 2] = ["firewalld.service", "ufw.service"];

fn active_units(subject: &Subject<'_>, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let active = |(name, state): (&String, &UnitState)| (state.is_active() && wanted(name)).then(|| name.clone());
    subject.facts.units.iter().filter_map(active).collect()
}

fn services(subject: &Subject<'_>) -> Answer {
    let active = active_units(subject, |name| !FIREWALLS.contains(&name));
    if active.is_empty() {
        return Answer::pass("none");
    }
    let active = active.join(" ");
    Answer::reject(format!("running: {active}"), format!("`systemctl disable --now {active}`, or use a fresh host"))
}

fn leftovers(subject: &Subject<'_>) -> Answer {
    match subject.facts.leftovers.as_slice() {
        [] => Answer::pass("none"),
        found => {
            let found = found.join(" ");
            let advice = "remove the packages they belong to and their remaining files, or use a fresh host";
            Answer::reject(found, advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use kbundle_format::{Component, EntryKind};

    use super::super::Verdict;
    use super::super::tests::{verdicts, verdicts_for};
    use crate::config::ClusterSpec;
    use crate::facts::{HostFacts, Selinux};
    use crate::fixture;
    use crate::host::UnitState;
    use crate::os_packages::BroughtPackages;

    #[test]
    fn another_users_machine_is_rejected() {
        insta::assert_debug_snapshot!(verdicts(|facts| {
            facts.user_id = 1000;
            facts.machine_id = None;
            facts.clock.unix_seconds = 3600;
            facts.selinux = Selinux::Enforcing;
        }), @r#"
        [
            "root Reject: user id 1000 | run it as root, for example with sudo",
            "machine-id Reject: none | run `systemd-machine-id-setup` and reboot",
            "clock Reject: 1970-01-01T01:00:00Z | set the clock (`timedatectl set-time`), or certificates will not be valid",
            "selinux Reject: enforcing | `setenforce 0` and `SELINUX=permissive` in /etc/selinux/config, or `apt-get install container-selinux` from the distribution's medium and `--ignore selinux`",
        ]
        "#);
    }

    #[test]
    fn missing_programs_are_named_by_their_packages() {
        insta::assert_debug_snapshot!(verdicts(|facts| {
            facts.programs.insert("conntrack".into(), None);
            facts.programs.insert("ip".into(), None);
            facts.programs.insert("socat".into(), None);
            facts.os.id = "rocky".into();
            facts.os.id_like = vec!["rhel".into()];
        }), @r#"
        [
            "programs Reject: no ip, conntrack, socat | `dnf install conntrack-tools iproute socat`, from the distribution's medium or a mirror of the site; upstream's releases do not include them",
        ]
        "#);
        insta::assert_debug_snapshot!(verdicts(|facts| {
            facts.programs.insert("socat".into(), None);
            facts.clock.keeper = None;
        }), @r#"
        [
            "clock Warn: 2027-01-15T08:00:00Z, and no known time service runs | run chrony or systemd-timesyncd against a time server of the site; until then compare the clock by hand",
            "programs Warn: no socat | `apt-get install socat`, from the distribution's medium or a mirror of the site; upstream's releases do not include them",
        ]
        "#);
    }

    #[test]
    fn what_the_bundle_brings_for_the_distribution_is_not_missed() {
        let mut list = fixture::list("1.25.2");
        for (name, distribution) in [("conntrack", "debian-12"), ("socat", "debian-13")] {
            let path = format!("os-packages/{distribution}/{name}_1_amd64.deb");
            let mut entry = fixture::chart(&path, EntryKind::OsPackage);
            entry.component = Some(Component { name: name.to_owned(), version: "1".to_owned() });
            list.entries.push(entry);
        }
        let mut facts = fixture::facts();
        let brought = BroughtPackages::of(&list);
        let answer = |facts: &HostFacts| {
            let (spec, kubernetes) = (ClusterSpec::default(), "1.25.2".parse().ok());
            let brought = Some(&brought);
            super::programs(&super::Subject { spec: &spec, facts, topology: None, kubernetes, brought })
        };
        facts.programs.insert("conntrack".into(), None);
        let found = answer(&facts);
        assert_eq!((found.verdict, found.advice.as_str()), (Verdict::Pass, ""));
        assert_eq!(found.found, "all found, or installed from the bundle: conntrack");
        facts.programs.insert("socat".into(), None);
        let found = answer(&facts);
        assert_eq!((found.verdict, found.found.as_str()), (Verdict::Warn, "no socat"));
        facts.os.version_id = "13".into();
        assert_eq!(answer(&facts).verdict, Verdict::Reject);
    }

    #[test]
    fn programs_are_demanded_where_kubeadm_demands_them() {
        let without = |version: &str| {
            verdicts_for(version, |facts| {
                for program in ["conntrack", "ethtool", "losetup", "socat"] {
                    facts.programs.insert(program.into(), None);
                }
            })
        };
        let found = |version: &str| without(version)[0].split(" | ").next().unwrap().to_owned();
        assert_eq!(found("1.31.14"), "programs Reject: no conntrack, ethtool, socat");
        assert_eq!(found("1.32.2"), "programs Warn: no ethtool, socat");
        assert_eq!(found("1.33.6"), "programs Reject: no losetup");
        assert_eq!(found(""), "programs Warn: no conntrack, losetup, ethtool, socat");
    }

    #[test]
    fn other_clusters_are_rejected() {
        let active = UnitState { active: "active".into(), file: "enabled".into(), needs_reload: false };
        insta::assert_debug_snapshot!(verdicts(|facts| {
            facts.units = ["docker.service", "ufw.service"].map(|name| (name.to_owned(), active.clone())).into();
            facts.leftovers = vec!["/etc/kubernetes".into(), "/var/lib/etcd".into()];
        }), @r#"
        [
            "services Reject: running: docker.service | `systemctl disable --now docker.service`, or use a fresh host",
            "leftovers Reject: /etc/kubernetes /var/lib/etcd | remove the packages they belong to and their remaining files, or use a fresh host",
        ]
        "#);
    }
}
