//! The check of a host's kernel for kube-proxy's mode.

use super::{Answer, Applies, Check, Subject};
use crate::config::KubeProxyMode;
use crate::version_rules::kubernetes::IPVS_DEPRECATED;

pub(super) const CHECKS: &[Check] = &[Check {
    id: "kube-proxy",
    wanted: "what network.kube-proxy.mode needs (kube-proxy: pkg/proxy/ipvs, pkg/util/kernel/constants.go)",
    look: kube_proxy,
}];

/// Major and minor of the oldest kernel. Source: `NFTablesKubeProxyKernelVersion`.
const NFTABLES_KERNEL: (u32, u32) = (5, 13);

fn kube_proxy(subject: &Subject<'_>) -> Answer {
    let is_node = subject.topology.is_none_or(|topology| topology.this().is_node());
    match subject.spec.network.kube_proxy.mode {
        KubeProxyMode::Ipvs if is_node => ipvs(subject),
        KubeProxyMode::Nftables if is_node => nftables(subject),
        mode => Answer::pass(mode.as_str()),
    }
}

fn ipvs(subject: &Subject<'_>) -> Answer {
    let kernel = &subject.facts.kernel;
    if !kernel.features.contains("ip_vs") && !kernel.has_modules {
        let advice = "load ip_vs, ip_vs_rr, ip_vs_wrr and ip_vs_sh on the outer machine where this host is a container, or set the mode to iptables";
        return Answer::reject("ipvs, and the kernel has no ip_vs and no modules to load", advice);
    }
    match subject.applies(&IPVS_DEPRECATED) {
        Applies::No => Answer::pass("ipvs"),
        Applies::Yes | Applies::DependsOnVersion => Answer::warn(
            "ipvs, which Kubernetes 1.35 and later call deprecated and may drop",
            "set network.kube-proxy.mode to nftables (from 1.31 on) or iptables for a new cluster",
        ),
    }
}

fn nftables(subject: &Subject<'_>) -> Answer {
    let release = &subject.facts.kernel.release;
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Answer::unknown(format!("nftables, with kernel `{release}`"));
    };
    if (major, minor) < NFTABLES_KERNEL {
        return Answer::reject(
            format!("nftables, with kernel {release}"),
            "boot kernel 5.13 or later, or set the mode to iptables",
        );
    }
    if subject.facts.programs.get("nft").is_none_or(Option::is_none) && !subject.brings("nftables") {
        let advice = "install the package nftables from the distribution's own medium: `kinstall reset` removes kube-proxy's table by it";
        return Answer::reject("nftables, and no program nft", advice);
    }
    Answer::pass(format!("nftables, with kernel {release}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClusterSpec;
    use crate::facts::HostFacts;
    use crate::fixture;
    use crate::preflight::Verdict;

    fn found(mode: KubeProxyMode, version: &str, change: impl FnOnce(&mut HostFacts)) -> (Verdict, String) {
        let (mut spec, mut facts) = (ClusterSpec::default(), fixture::facts());
        spec.network.kube_proxy.mode = mode;
        change(&mut facts);
        let kubernetes = version.parse().ok();
        let answer = kube_proxy(&Subject { spec: &spec, facts: &facts, topology: None, kubernetes, brought: None });
        (answer.verdict, answer.found)
    }

    #[test]
    fn ipvs_needs_its_module_and_is_said_to_end() {
        assert_eq!(found(KubeProxyMode::Ipvs, "1.34.3", |_| ()).0, Verdict::Pass, "modules can be loaded");
        assert_eq!(found(KubeProxyMode::Ipvs, "1.35.4", |_| ()).0, Verdict::Warn);
        assert_eq!(found(KubeProxyMode::Ipvs, "", |_| ()).0, Verdict::Warn);
        assert_eq!(found(KubeProxyMode::Ipvs, "1.34.3", |facts| facts.kernel.has_modules = false).0, Verdict::Reject);
        let built_in = |facts: &mut HostFacts| {
            facts.kernel.has_modules = false;
            facts.kernel.features.insert("ip_vs".to_owned());
        };
        assert_eq!(found(KubeProxyMode::Ipvs, "1.34.3", built_in).0, Verdict::Pass);
    }

    #[test]
    fn nftables_needs_a_kernel_and_the_program_for_the_way_back() {
        for (release, verdict) in [
            ("6.1.0-13-amd64", Verdict::Pass),
            ("5.13.0", Verdict::Pass),
            ("5.10.0-28-amd64", Verdict::Reject),
            ("4.18.0-553.el8_10.x86_64", Verdict::Reject),
            ("custom", Verdict::Unknown),
        ] {
            let with = |facts: &mut HostFacts| facts.kernel.release = release.to_owned();
            assert_eq!(found(KubeProxyMode::Nftables, "1.36.3", with).0, verdict, "{release}");
        }
        let without = |facts: &mut HostFacts| {
            facts.programs.insert("nft".to_owned(), None);
        };
        assert_eq!(found(KubeProxyMode::Nftables, "1.36.3", without).0, Verdict::Reject);
        assert_eq!(found(KubeProxyMode::Iptables, "1.36.3", |facts| facts.programs.clear()).0, Verdict::Pass);
    }
}
