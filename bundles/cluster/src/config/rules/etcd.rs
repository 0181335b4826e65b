//! Rules for an etcd of the site's own.

use std::net::IpAddr;

use kbundle_format::Role;

use super::Problems;
use super::settings::is_path;
use crate::config::{ClusterSpec, DnsName};

pub(super) fn check(spec: &ClusterSpec, problems: &mut Problems) {
    let Some(external) = &spec.etcd.external else { return };
    if external.endpoints.is_empty() {
        problems.add(
            "etcd.external.endpoints",
            "no endpoint of the external etcd is given; add one for each of its members",
        );
    }
    for (index, endpoint) in external.endpoints.iter().enumerate().filter(|(_, endpoint)| !is_endpoint(endpoint)) {
        let message = format!("`{endpoint}` is not an endpoint of etcd such as `https://192.0.2.31:2379`");
        problems.add(format!("etcd.external.endpoints[{index}]"), message);
    }
    for (key, path) in external.files() {
        if !is_path(path) {
            let message =
                format!("{key} `{path}` is not an absolute path without `..`; it lies on every control plane");
            problems.add(format!("etcd.external.{key}"), message);
        }
    }
    for (index, host) in spec.hosts.iter().enumerate().filter(|(_, host)| host.roles.contains(&Role::Etcd)) {
        let message =
            format!("host {} has the role etcd, and the cluster has an external etcd; remove one of them", host.name);
        problems.add(format!("hosts[{index}].roles"), message);
    }
}

fn is_endpoint(text: &str) -> bool {
    let Some((name, port)) = text.strip_prefix("https://").and_then(|rest| rest.rsplit_once(':')) else { return false };
    let is_host = name.parse::<DnsName>().is_ok() || name.parse::<IpAddr>().is_ok();
    is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}
