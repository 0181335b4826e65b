//! Rules between the values of `cluster.yaml`, beyond each value's own shape. Reads only the values, and finds all problems at once.

mod addons;
mod calico;
mod etcd;
mod hosts;
mod labels;
mod networks;
pub mod owned;
mod registries;
mod reservations;
mod settings;

use std::fmt;
use std::net::IpAddr;

use kbundle_format::{KubeVersion, Role};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Api, ClusterSpec, DnsName, HostSpec, IpFamily, LoadBalancer};
pub(super) use networks::pods_do_not_fit;

/// Something that `cluster.yaml` asks for and that is not possible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// Where in the file, such as `network.pod-cidr` or `hosts[2].address`.
    pub place: String,
    /// What is wrong with what is there, and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The problems found so far.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { place: place.into(), message: message.into() });
    }
}

/// All problems of a description, for Kubernetes `version`, or else for every known version.
pub(super) fn problems(spec: &ClusterSpec, version: Option<KubeVersion>) -> Vec<Problem> {
    let mut problems = Problems::default();
    networks::check(spec, &mut problems);
    calico::check(&spec.network, &mut problems);
    api(spec, &mut problems);
    hosts::check(spec, &mut problems);
    registries::check(spec, &mut problems);
    addons::check(spec, &mut problems);
    etcd::check(spec, &mut problems);
    settings::check(spec, version, &mut problems);
    problems.0
}

/// The parts of a description that Kubernetes `version` does not accept.
pub(super) fn problems_with(spec: &ClusterSpec, version: KubeVersion) -> Vec<Problem> {
    let mut problems = Problems::default();
    settings::check(spec, Some(version), &mut problems);
    problems.0
}

fn api(spec: &ClusterSpec, problems: &mut Problems) {
    let Api { address, port, certificate_sans, .. } = &spec.api;
    in_front(spec, problems);
    if let Some(address) = *address {
        usable(spec, "api.address", "api.address", address, problems);
        of_main_family(spec, "api.address", "api.address", address, problems);
    }
    if spec.api_name().parse::<DnsName>().is_err() {
        problems.add(
            "name",
            "the name is too long for the API's default name to be a DNS name; shorten it, or set `api.endpoint`",
        );
    }
    if *port == 0 {
        problems.add("api.port", "api.port 0 is not a port; 6443 is usual");
    }
    for (index, san) in certificate_sans.iter().enumerate() {
        let name = san.strip_prefix("*.").unwrap_or(san);
        if san.parse::<IpAddr>().is_err() && name.parse::<DnsName>().is_err() {
            let message = format!("certificate-sans has `{san}`, which is neither an address nor a DNS name");
            problems.add(format!("api.certificate-sans[{index}]"), message);
        }
    }
}

/// Rules for what is in front of the API servers.
fn in_front(spec: &ClusterSpec, problems: &mut Problems) {
    let (kind, several) = (spec.api.load_balancer, !spec.hosts.is_empty());
    match (kind, spec.api.address) {
        (LoadBalancer::External | LoadBalancer::Vip, _) if !several => problems.add(
            "api.load-balancer",
            format!(
                "load-balancer {} is for clusters of several hosts, and there is no list of hosts; add `hosts`",
                kind.as_str()
            ),
        ),
        (LoadBalancer::External, None) if spec.api.endpoint.is_none() => problems.add(
            "api.address",
            "load-balancer external needs the load balancer's address; add `api.address`, or `api.endpoint` where only its name is known",
        ),
        (LoadBalancer::Vip, None) => {
            problems.add("api.address", "load-balancer vip needs a free address of the hosts' network; add `api.address`");
        }
        (LoadBalancer::NodeLocal, Some(address)) if several => problems.add(
            "api.address",
            format!(
                "api.address {address} is only for `load-balancer: external` or `vip`, because each of several hosts has its own \
                 address; remove it, or add `load-balancer`"
            ),
        ),
        (LoadBalancer::External | LoadBalancer::Vip, Some(address)) => of_nobody_else(spec, address, problems),
        (LoadBalancer::NodeLocal, _) | (LoadBalancer::External, None) => {}
    }
    if spec.api.interface.is_some() && kind != LoadBalancer::Vip {
        problems.add("api.interface", "api.interface is only for `load-balancer: vip`; remove it");
    }
    // The kernel's own rule: `dev_valid_name` in net/core/dev.c.
    let odd = |name: &str| {
        name.is_empty() || name.len() > 15 || name.contains(['/', ':']) || name.contains(char::is_whitespace)
    };
    if let Some(name) = spec.api.interface.as_deref().filter(|name| odd(name)) {
        problems.add("api.interface", format!("api.interface `{name}` is not the name of a network interface"));
    }
}

/// A load balancer beside an API server would take its port, and a virtual IP cannot be a host's own address.
fn of_nobody_else(spec: &ClusterSpec, address: IpAddr, problems: &mut Problems) {
    let is_taken = |host: &&HostSpec| {
        host.address == address
            && (spec.api.load_balancer == LoadBalancer::Vip || host.roles.contains(&Role::ControlPlane))
    };
    if let Some(host) = spec.hosts.iter().find(is_taken) {
        let message = format!("api.address {address} is that of host {}; take another", host.name);
        problems.add("api.address", message);
    }
}

/// Checks that hosts can have `address` and reach each other at it. `what` begins the message.
fn usable(spec: &ClusterSpec, place: &str, what: &str, address: IpAddr, problems: &mut Problems) {
    let reaches_nobody = match address {
        IpAddr::V4(v4) => v4.is_unspecified() || v4.is_loopback() || v4.is_multicast() || v4.is_broadcast(),
        // A link-local address needs an interface's name beside it, which differs from host to host.
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_loopback() || v6.is_multicast() || v6.is_unicast_link_local(),
    };
    if reaches_nobody {
        problems.add(place, format!("{what} {address} is not an address that other hosts can reach"));
    }
    if address != address.to_canonical() {
        problems.add(place, format!("{what} {address} is an IPv4 address; write it as {}", address.to_canonical()));
    }
    for (key, cidrs) in [("pod-cidr", &spec.network.pod_cidr), ("service-cidr", &spec.network.service_cidr)] {
        for cidr in cidrs.iter().filter(|cidr| cidr.contains(address)) {
            problems.add(place, format!("{what} {address} lies in {key} {cidr}; they need addresses of their own"));
        }
    }
}

/// Checks that `address`, at which hosts reach each other or the API, is of the cluster's main family. `what` begins the message.
///
/// Source: the API server does not start with an advertised address of another family than the first of its networks of Services
/// (cmd/kube-apiserver/app/options, `validatePublicIPServiceClusterIPRangeIPFamilies`).
fn of_main_family(spec: &ClusterSpec, place: &str, what: &str, address: IpAddr, problems: &mut Problems) {
    let (found, wanted) = (IpFamily::of(address), spec.network.main_family());
    if found != wanted {
        let (found, wanted) = (found.name(), wanted.name());
        let message = format!(
            "{what} {address} is {found}, and service-cidr {} is {wanted}, which the API server wants its own address to be of; \
             write an {wanted} address, or begin network.service-cidr and network.pod-cidr with an {found} network",
            spec.network.service_cidr.first()
        );
        problems.add(place, message);
    }
}

#[cfg(test)]
mod tests;

/// For tests: the violated rules of a file.
#[cfg(test)]
fn told(text: &str) -> String {
    match ClusterSpec::parse(text) {
        Ok(_) => "fine".to_owned(),
        Err(error @ super::ConfigError::Invalid { .. }) => error.to_string(),
        Err(error) => panic!("{error:?}"),
    }
}
