//! Which version may follow which. Reads nothing and changes nothing.
//!
//! Source: <https://kubernetes.io/releases/version-skew-policy/> and `cmd/kubeadm/app/phases/upgrade/policy.go` for Kubernetes;
//! <https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/> for etcd.

use anyhow::anyhow;
use kbundle_format::{ComponentName, KubeVersion};

use crate::failure::Advise;
use crate::version_rules::Release;
use crate::version_rules::kubernetes::OLDER_KUBELETS_BY_THREE;

/// The oldest etcd 3.5 from which 3.6 starts without members that are not known any more (the notice in `upgrade_3_6.md`).
const LAST_BEFORE_ETCD_3_6: Release = Release::new(3, 5, 24);
const ETCD_3_6: (u16, u16) = (3, 6);

/// The versions that decide. A component that is absent, or whose version is not upstream's, is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// Kubernetes.
    pub kubernetes: KubeVersion,
    /// etcd.
    pub etcd: Option<Release>,
    /// containerd.
    pub containerd: Option<Release>,
}

/// Why a version cannot follow another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SkewError {
    /// Kubernetes would be downgraded.
    #[error("Kubernetes {from} cannot become {to}: it is never downgraded")]
    OlderKubernetes {
        /// The present version.
        from: KubeVersion,
        /// The version in the bundle.
        to: KubeVersion,
    },
    /// A minor version would be skipped.
    #[error("Kubernetes {from} cannot become {to} at once: minors are upgraded one at a time, and the next is {major}.{minor}", major = next.0, minor = next.1)]
    SkippedMinor {
        /// The present version.
        from: KubeVersion,
        /// The version in the bundle.
        to: KubeVersion,
        /// The minor version that has to come first.
        next: (u16, u16),
    },
    /// A kubelet is too old for the new control plane.
    #[error(
        "the kubelet of {node} is {kubelet}, which a control plane of {to} does not take: it takes {to} and up to {behind} minors before"
    )]
    Kubelet {
        /// The node.
        node: String,
        /// The version of its kubelet.
        kubelet: KubeVersion,
        /// The version in the bundle.
        to: KubeVersion,
        /// How many minors older it may be.
        behind: u16,
    },
    /// etcd or containerd would go back to an older line of releases, which cannot read the data of the newer one.
    #[error("{component} {from} cannot become {to}: the older one does not read what the newer one wrote")]
    OlderComponent {
        /// The component.
        component: ComponentName,
        /// The present version.
        from: Release,
        /// The version in the bundle.
        to: Release,
    },
    /// A line of releases of etcd would be skipped.
    #[error("etcd {from} cannot become {to} at once: its minors are upgraded one at a time")]
    SkippedEtcd {
        /// The present version.
        from: Release,
        /// The version in the bundle.
        to: Release,
    },
    /// etcd 3.5 is too old to become 3.6.
    #[error(
        "etcd {from} cannot become {to}: 3.6 takes the store of {LAST_BEFORE_ETCD_3_6} or later; upgrade to a bundle with that one first"
    )]
    EtcdTooOldFor36 {
        /// The present version.
        from: Release,
        /// The version in the bundle.
        to: Release,
    },
}

/// All reasons against a change from one to the other. `kubelets` are the nodes with their kubelets.
#[must_use]
pub fn refusals(from: &Versions, to: &Versions, kubelets: &[(String, KubeVersion)]) -> Vec<SkewError> {
    let mut found: Vec<_> = of_kubernetes(from.kubernetes, to.kubernetes).into_iter().collect();
    found.extend(kubelets.iter().filter_map(|(node, kubelet)| of_kubelet(node, *kubelet, to.kubernetes)));
    found.extend(from.etcd.zip(to.etcd).and_then(|(from, to)| of_etcd(from, to)));
    if let Some((from, to)) = from.containerd.zip(to.containerd).filter(|(from, to)| to.series() < from.series()) {
        found.push(SkewError::OlderComponent { component: ComponentName::Containerd, from, to });
    }
    found
}

/// Refuses for these reasons, if there are any.
pub fn refuse(reasons: &[String]) -> anyhow::Result<()> {
    if reasons.is_empty() {
        return Ok(());
    }
    Err(anyhow!("{}; nothing was changed", reasons.join("; ")))
        .refused()
        .hint("build a bundle of a version that may follow; `kinstall status` shows the present one")
}

fn of_kubernetes(from: KubeVersion, to: KubeVersion) -> Option<SkewError> {
    let (major, minor) = from.minor();
    let next = (major, minor + 1);
    if to < from {
        Some(SkewError::OlderKubernetes { from, to })
    } else if to.minor() > next {
        Some(SkewError::SkippedMinor { from, to, next })
    } else {
        None
    }
}

fn of_kubelet(node: &str, kubelet: KubeVersion, to: KubeVersion) -> Option<SkewError> {
    let behind = if OLDER_KUBELETS_BY_THREE.holds(to) { 3 } else { 2 };
    let ((major, minor), (of_kubelet, its_minor)) = (to.minor(), kubelet.minor());
    let is_taken = kubelet <= to && of_kubelet == major && its_minor + behind >= minor;
    (!is_taken).then(|| SkewError::Kubelet { node: node.to_owned(), kubelet, to, behind })
}

fn of_etcd(from: Release, to: Release) -> Option<SkewError> {
    let (major, minor) = from.series();
    if to.series() < from.series() {
        Some(SkewError::OlderComponent { component: ComponentName::Etcd, from, to })
    } else if to.series() > (major, minor + 1) {
        Some(SkewError::SkippedEtcd { from, to })
    } else if to.series() == ETCD_3_6 && from < LAST_BEFORE_ETCD_3_6 {
        Some(SkewError::EtcdTooOldFor36 { from, to })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kube(text: &str) -> KubeVersion {
        text.parse().unwrap()
    }

    fn versions(kubernetes: &str, etcd: &str, containerd: &str) -> Versions {
        Versions { kubernetes: kube(kubernetes), etcd: Release::read(etcd), containerd: Release::read(containerd) }
    }

    fn said(from: &Versions, to: &Versions, kubelet: &str) -> String {
        let found = refusals(from, to, &[("w1".to_owned(), kube(kubelet))]);
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    fn of_kubernetes_alone(from: &str, to: &str) -> String {
        said(&versions(from, "3.5.24", "2.0.0"), &versions(to, "3.5.24", "2.0.0"), from)
    }

    #[test]
    fn kubernetes_goes_one_minor_ahead_and_never_back() {
        for to in ["1.34.10", "1.34.11", "1.35.0", "1.35.4"] {
            assert_eq!(of_kubernetes_alone("1.34.10", to), "", "{to}");
        }
        insta::assert_snapshot!(of_kubernetes_alone("1.34.10", "1.36.3"), @"Kubernetes 1.34.10 cannot become 1.36.3 at once: minors are upgraded one at a time, and the next is 1.35");
        let back = of_kubernetes_alone("1.34.10", "1.34.9");
        assert!(back.starts_with("Kubernetes 1.34.10 cannot become 1.34.9: it is never downgraded"), "{back}");
        assert!(of_kubernetes_alone("1.34.10", "1.33.13").contains("never downgraded"));
    }

    #[test]
    fn kubelets_are_at_most_two_or_three_minors_behind_and_never_ahead() {
        let of = |kubelet: &str, to: &str| of_kubelet("w1", kube(kubelet), kube(to)).map(|error| error.to_string());
        assert_eq!(of("1.25.2", "1.27.16"), None);
        insta::assert_snapshot!(of("1.24.17", "1.27.16").unwrap(), @"the kubelet of w1 is 1.24.17, which a control plane of 1.27.16 does not take: it takes 1.27.16 and up to 2 minors before");
        assert_eq!(of("1.25.2", "1.28.15"), None);
        assert!(of("1.25.2", "1.29.15").is_some());
        assert!(of("1.36.3", "1.35.4").is_some() && of("1.35.5", "1.35.4").is_some());
    }

    #[test]
    fn etcd_reaches_3_6_from_a_late_3_5_alone() {
        let of = |from: &str, to: &str| {
            of_etcd(Release::read(from).unwrap(), Release::read(to).unwrap()).map(|error| error.to_string())
        };
        for (from, to) in
            [("3.5.24", "3.6.5"), ("3.5.6", "3.5.33"), ("3.6.8", "3.6.5"), ("3.4.36", "3.5.6"), ("3.6.8", "3.7.0")]
        {
            assert_eq!(of(from, to), None, "{from} {to}");
        }
        insta::assert_snapshot!(of("3.5.23", "3.6.5").unwrap(), @"etcd 3.5.23 cannot become 3.6.5: 3.6 takes the store of 3.5.24 or later; upgrade to a bundle with that one first");
        insta::assert_snapshot!(of("3.5.24", "3.7.0").unwrap(), @"etcd 3.5.24 cannot become 3.7.0 at once: its minors are upgraded one at a time");
        insta::assert_snapshot!(of("3.6.5", "3.5.33").unwrap(), @"etcd 3.6.5 cannot become 3.5.33: the older one does not read what the newer one wrote");
    }

    #[test]
    fn all_that_forbids_it_is_told_together() {
        let said = said(&versions("1.36.3", "3.6.8", "2.3.4"), &versions("1.34.10", "3.5.33", "1.7.28"), "1.36.3");
        assert_eq!(said.lines().count(), 4, "{said}");
        let strange = versions("1.36.3", "a build", "of the site");
        assert_eq!(refusals(&strange, &versions("1.36.3", "3.5.0", "1.6.0"), &[]), [], "cannot be judged");
    }

    #[test]
    fn a_bundle_that_may_not_follow_is_refused_with_every_reason() {
        let refusal = crate::failure::message(&refuse(&["one".to_owned(), "two".to_owned()]).unwrap_err());
        assert!(refusal.starts_with("error: one; two; nothing was changed"), "{refusal}");
        refuse(&[]).unwrap();
    }

    #[test]
    fn a_patch_of_containerd_alone_may_follow() {
        let from = versions("1.36.3", "3.6.8", "2.3.4");
        assert_eq!(refusals(&from, &versions("1.36.3", "3.6.8", "2.3.3"), &[]), []);
        assert_eq!(refusals(&from, &versions("1.36.3", "3.6.8", "2.4.0"), &[]), []);
    }
}
