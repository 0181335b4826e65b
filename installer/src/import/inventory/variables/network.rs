//! Variables of the pods' network and of kube-proxy.

use super::super::stack::Stack;
use super::{Cluster, Value};
use crate::config::{Cidr, Cidrs, ClusterSpec, DnsName};
use crate::import::SourceLine;

/// Networks of Kubespray that kinstall does not set up.
const OTHERS: [&str; 11] = [
    "cni",
    "none",
    "cilium",
    "weave",
    "kube-router",
    "kube-ovn",
    "canal",
    "macvlan",
    "custom_cni",
    "contiv",
    "ovn4nfv",
];

/// `kube_network_node_prefix_ipv6` if nobody sets it.
const USUAL_NODE_PREFIX_IPV6: u8 = 120;

impl Cluster<'_, '_> {
    pub(super) fn network(&mut self) {
        self.addresses();
        self.names();
        let plugin = self.plugin();
        self.kube_proxy();
        match plugin.as_deref() {
            None | Some("calico") => self.calico(),
            Some(other) => self.calico_of_another(other),
        }
    }

    /// The addresses of pods and Services, with Kubespray's default IPv6 networks if none are set.
    fn addresses(&mut self) {
        let stack = Stack::of(self.reading, self.node);
        let usual = ClusterSpec::default().network;
        for (name, key, usual, name_ipv6, usual_ipv6) in [
            (
                "kube_pods_subnet",
                "network.pod-cidr",
                usual.pod_cidr,
                "kube_pods_subnet_ipv6",
                "fd85:ee78:d8a6:8607::1:0/112",
            ),
            (
                "kube_service_addresses",
                "network.service-cidr",
                usual.service_cidr,
                "kube_service_addresses_ipv6",
                "fd85:ee78:d8a6:8607::1000/116",
            ),
        ] {
            if stack == Stack::Ipv4 {
                self.parsed::<Cidr>(name, key);
                continue;
            }
            let ipv6 = self.cidr(name_ipv6).or_else(|| usual_ipv6.parse().ok());
            let ipv4 = (stack == Stack::Both).then(|| self.cidr(name).unwrap_or(usual.first()));
            if let Some(first) = ipv4.or(ipv6) {
                self.settings.set(key, Cidrs::new(first, ipv4.and(ipv6)));
            }
        }
        if stack != Stack::Ipv6 {
            self.parsed::<u8>("kube_network_node_prefix", "network.node-cidr-mask-size");
        }
        if stack != Stack::Ipv4 {
            self.settings.set("network.node-cidr-mask-size-ipv6", USUAL_NODE_PREFIX_IPV6);
            self.parsed::<u8>("kube_network_node_prefix_ipv6", "network.node-cidr-mask-size-ipv6");
        }
    }

    fn cidr(&mut self, name: &str) -> Option<Cidr> {
        let (text, place) = self.text(name)?;
        text.parse::<Cidr>().map_err(|error| self.reading.problems.add(&place, format!("`{name}`: {error}"))).ok()
    }

    /// The DNS domain: `dns_domain`, or else `cluster_name`.
    fn names(&mut self) {
        let domain = self.text("dns_domain");
        let name = self.text("cluster_name");
        match (&domain, &name) {
            (Some((domain, _)), Some((name, _))) if domain != name => {
                self.parsed::<DnsName>("dns_domain", "network.dns-domain");
                self.parsed::<DnsName>("cluster_name", "name");
            }
            (Some(_), _) => self.parsed::<DnsName>("dns_domain", "network.dns-domain"),
            (None, _) => self.parsed::<DnsName>("cluster_name", "network.dns-domain"),
        }
    }

    fn plugin(&mut self) -> Option<String> {
        let (plugin, place) = self.text("kube_network_plugin")?;
        match plugin.as_str() {
            "calico" | "flannel" => self.settings.set("network.cni", &plugin),
            other if OTHERS.contains(&other) => {
                self.settings.set("network.cni", "none");
                if !["cni", "none"].contains(&other) {
                    let message =
                        format!("kinstall does not set up `{other}`; with `network.cni: none` the site brings it");
                    self.remark(&place, message);
                }
            }
            other => {
                let message =
                    format!("`kube_network_plugin: {other}` is not possible; there are `calico`, `flannel` and `cni`");
                self.reading.problems.add(&place, message);
            }
        }
        Some(plugin)
    }

    fn kube_proxy(&mut self) {
        let removed = self.truth("kube_proxy_remove").is_some_and(|(removed, _)| removed);
        let mode = if removed {
            Some("none".to_owned())
        } else {
            let mode = self.text("kube_proxy_mode");
            if let Some((mode, place)) =
                mode.as_ref().filter(|(mode, _)| !["iptables", "ipvs", "nftables"].contains(&mode.as_str()))
            {
                self.reading
                    .problems
                    .add(place, format!("`kube_proxy_mode: {mode}` is none of iptables, ipvs and nftables"));
                return;
            }
            mode.map(|(mode, _)| mode)
        };
        if let Some(mode) = &mode {
            self.settings.set("network.kube-proxy.mode", mode);
        }
        if let Some((true, place)) = self.truth("kube_proxy_strict_arp") {
            if mode.as_deref() == Some("ipvs") {
                self.settings.set("network.kube-proxy.strict-arp", true);
            } else {
                self.remark(&place, "`kube_proxy_strict_arp` is left out; it is for `kube_proxy_mode: ipvs`");
            }
        }
    }

    fn calico(&mut self) {
        let [vxlan, ipip, backend] =
            ["calico_vxlan_mode", "calico_ipip_mode", "calico_network_backend"].map(|name| self.text(name));
        let said = [&vxlan, &ipip, &backend].into_iter().flatten().next().map(|(_, place)| place.clone());
        if let Some(place) = said {
            let word = |found: &Option<(String, SourceLine)>| found.as_ref().map(|(text, _)| text.to_ascii_lowercase());
            let bird = word(&backend).as_deref() == Some("bird");
            // Kubespray's defaults: VXLAN always.
            let vxlan = word(&vxlan).unwrap_or_else(|| {
                if bird || word(&ipip).is_some_and(|mode| mode != "never") { "never" } else { "always" }.to_owned()
            });
            let ipip = word(&ipip).unwrap_or_else(|| "never".to_owned());
            let (mode, wrapped) = match (vxlan.as_str(), ipip.as_str()) {
                ("never", "never") => ("bgp", None),
                ("never", wrapped) => ("ipip", Some(wrapped)),
                (wrapped, _) => ("vxlan", Some(wrapped)),
            };
            let encapsulation = match wrapped {
                None => None,
                Some("always") => Some("always"),
                Some("crosssubnet") => Some("cross-subnet"),
                Some(other) => {
                    let message = format!("Calico's mode `{other}` is none of Always, CrossSubnet and Never");
                    return self.reading.problems.add(&place, message);
                }
            };
            self.settings.set("network.calico.mode", mode);
            if let Some(encapsulation) = encapsulation {
                self.settings.set("network.calico.encapsulation", encapsulation);
            }
        }
        // The MTU of the pods' interfaces takes precedence; Kubespray writes both variables into the same place.
        let mtu = self.number("calico_veth_mtu").or_else(|| self.number("calico_mtu"));
        if let Some((mtu, _)) = mtu.filter(|(mtu, _)| *mtu > 0) {
            self.settings.set("network.calico.mtu", mtu);
        }
        if let Some((method, place)) = self.text("calico_ip_auto_method") {
            match method.strip_prefix("cidr=").map(str::parse::<Cidr>) {
                Some(Ok(cidr)) => self.settings.set("network.calico.node-cidr", cidr),
                _ => self.remark(&place, format!("`calico_ip_auto_method: {method}` is left out; kinstall takes a network, `network.calico.node-cidr`")),
            }
        }
    }

    /// Reports Calico's variables, which have no effect with another network.
    fn calico_of_another(&mut self, plugin: &str) {
        let names = [
            "calico_ipip_mode",
            "calico_vxlan_mode",
            "calico_network_backend",
            "calico_mtu",
            "calico_veth_mtu",
            "calico_ip_auto_method",
        ];
        for name in names {
            let found = self.reading.groups.written(self.node, name).filter(|found| found.value != Value::Null);
            if let Some(place) = found.map(|found| found.place.clone()) {
                self.remark(
                    &place,
                    format!("`{name}` is left out; it is for Calico, and `kube_network_plugin` is `{plugin}`"),
                );
            }
        }
    }
}
