//! Rules for the settings of add-ons.

use std::net::IpAddr;

use super::Problems;
use crate::config::{ClusterSpec, LocalPathProvisioner, Metallb};

pub(super) fn check(spec: &ClusterSpec, problems: &mut Problems) {
    for (index, name) in spec.addons.iter().enumerate() {
        if spec.addons[..index].contains(name) {
            problems.add(format!("addons[{index}]"), format!("addons lists {name} twice; remove one of them"));
        }
    }
    if let Some(settings) = &spec.addon_settings.metallb {
        is_listed(spec, "metallb", problems);
        metallb(spec, settings, problems);
    }
    if let Some(settings) = &spec.addon_settings.local_path_provisioner {
        is_listed(spec, "local-path-provisioner", problems);
        local_path(settings, problems);
    }
}

fn is_listed(spec: &ClusterSpec, name: &str, problems: &mut Problems) {
    if !spec.addons.iter().any(|addon| addon.as_str() == name) {
        let message =
            format!("addon-settings has {name}, and addons does not list it; add it there, or remove its settings");
        problems.add(format!("addon-settings.{name}"), message);
    }
}

fn metallb(spec: &ClusterSpec, settings: &Metallb, problems: &mut Problems) {
    let place = "addon-settings.metallb.addresses";
    if settings.addresses.is_empty() {
        problems.add(place, "metallb has no addresses to give to Services; add some, or leave its settings out");
    }
    let networks = [("pod-cidr", &spec.network.pod_cidr), ("service-cidr", &spec.network.service_cidr)];
    let networks: Vec<_> =
        networks.into_iter().flat_map(|(key, cidrs)| cidrs.iter().map(move |cidr| (key, cidr))).collect();
    let hosts = spec.hosts.iter().map(|host| (format!("that of host {}", host.name), host.address));
    let taken: Vec<_> = hosts.chain(spec.api.address.map(|address| ("api.address".to_owned(), address))).collect();
    for (index, range) in settings.addresses.iter().enumerate() {
        let place = format!("{place}[{index}]");
        for (key, network) in &networks {
            if range.overlaps(network) {
                problems.add(
                    &place,
                    format!("{range} and {key} {network} overlap; Services need addresses of the hosts' network"),
                );
            }
        }
        for (whose, address) in &taken {
            if matches!(address, IpAddr::V4(address) if range.contains(*address)) {
                problems.add(&place, format!("{range} has {address}, which is {whose}; take free addresses"));
            }
        }
    }
}

fn local_path(settings: &LocalPathProvisioner, problems: &mut Problems) {
    let is_folder = |path: &str| {
        path.len() > 1 && path.starts_with('/') && !path.split('/').any(|part| part == ".." || part == ".")
    };
    if let Some(path) = settings.path.as_deref().filter(|path| !is_folder(path)) {
        let message =
            format!("path `{path}` is not a folder for volumes; it has to begin with `/`, without `.` and `..`");
        problems.add("addon-settings.local-path-provisioner.path", message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::told;

    #[test]
    fn settings_are_for_add_ons_that_are_listed() {
        assert_eq!(
            told("addons: [metallb]\naddon-settings: {metallb: {addresses: [192.0.2.240-192.0.2.250]}}"),
            "fine"
        );
        assert_eq!(
            told(
                "addons: [local-path-provisioner]\naddon-settings: {local-path-provisioner: {path: /srv/volumes, default-class: enabled}}"
            ),
            "fine"
        );
        insta::assert_snapshot!(told("addon-settings: {metallb: {addresses: [192.0.2.7/32]}, local-path-provisioner: {path: ../x}}\naddons: [a, a]"), @"
        addons lists a twice; remove one of them
        addon-settings has metallb, and addons does not list it; add it there, or remove its settings
        addon-settings has local-path-provisioner, and addons does not list it; add it there, or remove its settings
        path `../x` is not a folder for volumes; it has to begin with `/`, without `.` and `..`
        ");
    }

    #[test]
    fn addresses_are_free_ones() {
        insta::assert_snapshot!(told("addons: [metallb]\naddon-settings: {metallb: {addresses: []}}"), @"metallb has no addresses to give to Services; add some, or leave its settings out");
        insta::assert_snapshot!(told("hosts: [{name: a, address: 192.0.2.11, roles: [control-plane, etcd, worker]}]\naddons: [metallb]\naddon-settings: {metallb: {addresses: [192.0.2.0/24, 10.96.0.1-10.96.0.9]}}"), @"
        192.0.2.0-192.0.2.255 has 192.0.2.11, which is that of host a; take free addresses
        10.96.0.1-10.96.0.9 and service-cidr 10.96.0.0/12 overlap; Services need addresses of the hosts' network
        ");
    }
}
