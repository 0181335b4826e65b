//! Variables about the endpoint of the API servers.

use std::net::IpAddr;

use super::Cluster;
use crate::config::DnsName;
use crate::import::{SourceLine, resolve};

const USUAL_PORT: u16 = 6443;

impl Cluster<'_, '_> {
    pub(super) fn api(&mut self) {
        let port = self.number("kube_apiserver_port").map(|(port, _)| port);
        if let Some(port) = port.filter(|&port| port != USUAL_PORT) {
            self.settings.set("api.port", port);
        }
        let port = port.unwrap_or(USUAL_PORT);
        let external = self.external(port);
        let vip = self.vip();
        if !vip && !external {
            self.node_local(port);
        }
        self.endpoint();
        self.certificate_names();
    }

    /// The site's own load balancer. Returns whether there is one.
    fn external(&mut self, port: u16) -> bool {
        let Some(found) = self.value("loadbalancer_apiserver") else { return false };
        let place = found.place;
        let part = |name: &str| found.value.get(name).map(|node| &node.value);
        let Some(address) = part("address").and_then(super::Value::filled_text) else {
            self.reading.problems.add(&place, "`loadbalancer_apiserver` has no `address`");
            return true;
        };
        if let Some(other) = part("port").and_then(super::Value::integer).filter(|&other| other != i64::from(port)) {
            let message = format!(
                "`loadbalancer_apiserver.port` {other} is left out; in kinstall the load balancer has the port of the API servers, {port}"
            );
            self.remark(&place, message);
        }
        match address.parse::<IpAddr>() {
            Ok(address) => self.balance("external", address),
            Err(_) => self.external_by_name(&address, &place),
        }
        true
    }

    fn external_by_name(&mut self, name: &str, place: &SourceLine) {
        if let Some(address) = resolve(name, self.reading.resolver) {
            self.balance("external", address.into());
            self.remark(
                place,
                format!("the load balancer `{name}` has the address that its name resolves to here, {address}"),
            );
            return;
        }
        // `apiserver_loadbalancer_domain_name` is the endpoint if it is set too.
        match name.parse::<DnsName>() {
            Ok(endpoint) => {
                self.settings.set("api.load-balancer", "external");
                self.settings.set("api.endpoint", endpoint);
                let message = format!(
                    "the load balancer `{name}` is known by its name alone, which resolves to no address here; hosts and pods have to resolve it"
                );
                self.remark(place, message);
            }
            Err(error) => {
                self.reading.problems.add(place, format!("the load balancer `{name}` has no name of DNS: {error}"));
            }
        }
    }

    fn balance(&mut self, kind: &str, address: IpAddr) {
        self.settings.set("api.load-balancer", kind);
        self.settings.set("api.address", address);
    }

    /// A virtual IP of the control planes, which Kubespray may name as an external load balancer too.
    fn vip(&mut self) -> bool {
        let on = |found: Option<(bool, SourceLine)>| found.is_some_and(|(on, _)| on);
        if !on(self.truth("kube_vip_enabled")) || !on(self.truth("kube_vip_controlplane_enabled")) {
            return false;
        }
        let Some((address, place)) = self.text("kube_vip_address") else { return false };
        let Ok(address) = address.parse() else {
            self.reading.problems.add(&place, format!("`kube_vip_address`: `{address}` is not an address"));
            return true;
        };
        if !on(self.truth("kube_vip_arp_enabled")) {
            self.remark(
                &place,
                "kinstall's kube-vip tells its address by ARP, also where `kube_vip_arp_enabled` is not true",
            );
        }
        self.balance("vip", address);
        if let Some((interface, _)) = self.text("kube_vip_interface") {
            self.settings.set("api.interface", interface);
        }
        true
    }

    fn node_local(&mut self, port: u16) {
        if let Some((false, place)) = self.truth("loadbalancer_apiserver_localhost") {
            self.remark(&place, "`loadbalancer_apiserver_localhost: false` is left out; each worker has a HAProxy of its own in front of the API servers");
        }
        if let Some((kind, place)) = self.text("loadbalancer_apiserver_type").filter(|(kind, _)| kind != "haproxy") {
            self.remark(
                &place,
                format!("`loadbalancer_apiserver_type: {kind}` is left out; it is HAProxy on every worker"),
            );
        }
        if let Some((other, place)) = self.number("loadbalancer_apiserver_port").filter(|(other, _)| *other != port) {
            self.remark(&place, format!("`loadbalancer_apiserver_port: {other}` is left out; HAProxy has the port of the API servers, {port}"));
        }
    }

    fn endpoint(&mut self) {
        let Some((name, place)) = self.text("apiserver_loadbalancer_domain_name") else { return };
        match name.parse::<DnsName>() {
            _ if name == "localhost" || name.parse::<IpAddr>().is_ok() => {
                self.remark(&place, format!("`apiserver_loadbalancer_domain_name: {name}` is left out; the API has a name of its own (`api.endpoint`)"));
            }
            Ok(name) => self.settings.set("api.endpoint", name),
            Err(error) => self.reading.problems.add(&place, format!("`apiserver_loadbalancer_domain_name`: {error}")),
        }
    }

    fn certificate_names(&mut self) {
        let Some(found) = self.value("supplementary_addresses_in_ssl_keys") else { return };
        let names: Option<Vec<_>> =
            found.value.items().map(|items| items.iter().filter_map(|node| node.value.text()).collect());
        match names {
            Some(names) => self.settings.set("api.certificate-sans", names),
            None => self.reading.problems.add(&found.place, "`supplementary_addresses_in_ssl_keys` is not a list"),
        }
    }
}
