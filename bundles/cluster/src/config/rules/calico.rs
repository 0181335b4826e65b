//! Rules for Calico's settings.

use super::Problems;
use crate::config::{CalicoMode, Cni, IpFamily, Network};

/// From the smallest packet that every host has to accept (RFC 791) to the largest packet minus an additional header.
const MTUS: std::ops::RangeInclusive<u16> = 576..=65485;

pub(super) fn check(network: &Network, problems: &mut Problems) {
    let Some(calico) = &network.calico else { return };
    if let Some(cni) = network.cni.filter(|cni| *cni != Cni::Calico) {
        let message =
            format!("network.calico is only for `cni: calico`, and cni is {}; remove one of them", cni.as_str());
        problems.add("network.calico", message);
    }
    if calico.mode == CalicoMode::Bgp && calico.encapsulation.is_some() {
        problems.add(
            "network.calico.encapsulation",
            "encapsulation is for the modes vxlan and ipip; with bgp nothing is wrapped",
        );
    }
    if let Some(mtu) = calico.mtu.filter(|mtu| !MTUS.contains(mtu)) {
        let message =
            format!("mtu {mtu} is not a size for packets; take {} to {}, or leave it out", MTUS.start(), MTUS.end());
        problems.add("network.calico.mtu", message);
    }
    if calico.mode == CalicoMode::Ipip && network.has(IpFamily::Ipv6) {
        problems.add(
            "network.calico.mode",
            "mode ipip carries IPv4 alone: Calico has no IP in IP for IPv6; take vxlan or bgp",
        );
    }
    if let Some(cidr) = calico.node_cidr.filter(|cidr| !network.has(cidr.family())) {
        let message = format!("node-cidr {cidr} is {}, and pod-cidr has no such network", cidr.family().name());
        problems.add("network.calico.node-cidr", message);
    }
    let inner = [("pod-cidr", network.pod_cidr), ("service-cidr", network.service_cidr)];
    for (key, inner) in inner.iter().flat_map(|(key, cidrs)| cidrs.iter().map(move |cidr| (key, cidr))) {
        if let Some(cidr) = calico.node_cidr.filter(|cidr| cidr.overlaps(&inner)) {
            problems.add(
                "network.calico.node-cidr",
                format!("node-cidr {cidr} and {key} {inner} overlap; no host has an address there"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::told;

    #[test]
    fn settings_of_calico_are_for_calico_and_make_sense() {
        assert_eq!(told("network: {calico: {mode: vxlan, mtu: 1400, node-cidr: 192.0.2.0/24}}"), "fine");
        assert_eq!(told("network: {cni: calico, calico: {encapsulation: always}}"), "fine");
        insta::assert_snapshot!(told("network: {cni: bridge, calico: {mtu: 90, mode: bgp, encapsulation: always, node-cidr: 10.96.0.0/12}}"), @"
        network.calico is only for `cni: calico`, and cni is bridge; remove one of them
        encapsulation is for the modes vxlan and ipip; with bgp nothing is wrapped
        mtu 90 is not a size for packets; take 576 to 65485, or leave it out
        node-cidr 10.96.0.0/12 and service-cidr 10.96.0.0/12 overlap; no host has an address there
        ");
    }
}
