//! Which IP families Kubespray gives a cluster.
//!
//! Source: `roles/kubespray_defaults/defaults/main/main.yml`: `ipv4_stack` and `ipv6_stack` since 2.28, `enable_dual_stack_networks`
//! before.

use super::reading::Reading;

/// The families of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stack {
    Ipv4,
    Ipv6,
    Both,
}

impl Stack {
    /// The families of the cluster, from the variables of this host.
    pub(super) fn of(reading: &mut Reading<'_>, host: usize) -> Self {
        let mut is_on = |name: &str, usual: bool| {
            let found = reading.value(host, name).filter(|found| !found.value.is_empty());
            found.and_then(|found| found.value.truth()).unwrap_or(usual)
        };
        let has_ipv6 = is_on("enable_dual_stack_networks", false) || is_on("ipv6_stack", false);
        match (has_ipv6, is_on("ipv4_stack", true)) {
            (false, _) => Self::Ipv4,
            (true, true) => Self::Both,
            (true, false) => Self::Ipv6,
        }
    }
}
