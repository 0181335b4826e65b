//! KubeKey's cluster file, by the fields in its documentation and its types (`kubekey.kubesphere.io/v1alpha2`, 2.x and 3.x).

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::Role;

use super::document::{Documents, Reader, Section, VERSION};
use super::{ImportError, Imported, Resolver, k0sctl, take_common};
use crate::config::{Cidrs, DnsName, HostSpec, Registry, Ssh, Sudo};

const ROLES: [(&str, Role); 4] = [
    ("control-plane", Role::ControlPlane),
    ("master", Role::ControlPlane),
    ("etcd", Role::Etcd),
    ("worker", Role::Worker),
];
const SECRET: &str = "passwords and keys are not copied; kinstall logs in with keys, by OpenSSH's agent or `ssh.key`";

/// Reads the documents of a file.
pub(super) fn read(documents: &Documents, resolver: Resolver<'_>) -> Result<Imported, ImportError> {
    let mut reader = Reader::new(resolver);
    let mut hosts = Vec::new();
    for document in &documents.0 {
        let whole = document.section();
        let version = document.api_version().unwrap_or_default();
        match (version.split_once('/'), document.kind()) {
            (Some(("kubekey.kubesphere.io", "v1alpha1" | "v1alpha2")), Some("Cluster")) => {
                hosts.extend(cluster(&mut reader, &whole));
            }
            (Some(("kubekey.kubesphere.io", other)), _) => {
                reader.problem(
                    whole.line(),
                    format!("version `{other}` of KubeKey's files is not read; v1alpha1 and v1alpha2 are"),
                );
            }
            _ => reader.remark(whole.line(), k0sctl::other(document)),
        }
    }
    if hosts.is_empty() {
        reader.problems.add_whole("no host of `spec.hosts` is in a group of `spec.roleGroups`");
    }
    reader.tell_what_is_left();
    reader.problems.none()?;
    hosts.sort_by_key(|host: &HostSpec| !host.roles.contains(&Role::ControlPlane));
    let ssh = take_common(&mut hosts);
    Ok(Imported { hosts, ssh, settings: reader.settings, remarks: reader.remarks.sorted() })
}

fn cluster(reader: &mut Reader<'_>, whole: &Section<'_>) -> Vec<HostSpec> {
    whole.get("apiVersion");
    whole.get("kind");
    let metadata = whole.section("metadata");
    reader.set::<DnsName>(&metadata, "name", "name");
    let spec = whole.section("spec");
    let roles = roles(reader, &spec.section("roleGroups"));
    let hosts: Vec<_> = spec.sections("hosts").iter().filter_map(|section| host(reader, section, &roles)).collect();
    endpoint(reader, &spec.section("controlPlaneEndpoint"));
    kubernetes(reader, &spec.section("kubernetes"));
    etcd(reader, &spec.section("etcd"));
    network(reader, &spec.section("network"));
    registry(reader, &spec.section("registry"));
    reader.leave(&spec, "system", "kinstall leaves packages, time and scripts of hosts alone");
    reader.leave(&spec, "addons", "charts and manifests of the site are applied once the cluster runs");
    reader.leave_rest(&metadata);
    reader.leave_rest(&spec);
    reader.leave_rest(whole);
    hosts
}

/// The roles of each name. A group names hosts, or a range such as `node[2:10]`.
fn roles(reader: &mut Reader<'_>, groups: &Section<'_>) -> BTreeMap<String, BTreeSet<Role>> {
    let mut roles: BTreeMap<String, BTreeSet<Role>> = BTreeMap::new();
    for (group, role) in ROLES {
        let line = groups.get(group).map_or(0, |node| node.line);
        for pattern in groups.texts(group) {
            match crate::import::inventory::expand(&pattern) {
                Ok(names) => {
                    for name in names {
                        roles.entry(name).or_default().insert(role);
                    }
                }
                Err(problem) => reader.problem(line, problem),
            }
        }
    }
    if !roles.values().any(|roles| roles.contains(&Role::Etcd)) {
        reader.remarks.add_whole("no host is in group `etcd`; etcd goes beside the control planes");
        for roles in roles.values_mut().filter(|roles| roles.contains(&Role::ControlPlane)) {
            roles.insert(Role::Etcd);
        }
    }
    reader.leave_rest(groups);
    roles
}

fn host(reader: &mut Reader<'_>, section: &Section<'_>, roles: &BTreeMap<String, BTreeSet<Role>>) -> Option<HostSpec> {
    let line = section.line();
    let name = reader.text(section, "name")?;
    let reached = reader.text(section, "address").unwrap_or_else(|| name.clone());
    // With IPv6 too, `internalAddress` has both with a comma between.
    let internal = reader.text(section, "internalAddress");
    let internal = internal.as_ref().and_then(|both| both.split(',').next()).unwrap_or(&reached).trim().to_owned();
    let second = section.get("internalAddress").and_then(|node| node.value.text());
    let second = second.as_deref().and_then(|both| both.split_once(',')).map(|(_, second)| second.trim().to_owned());
    let second_address = second.as_ref().and_then(|second| second.parse().ok());
    if second.is_some() && second_address.is_none() {
        reader.problem(line, "the second address of `internalAddress` is not an address");
    }
    let asks = section.get("password").is_some();
    reader.leave(section, "password", SECRET);
    reader.leave(section, "privateKey", SECRET);
    let user = reader.text(section, "user").unwrap_or_else(|| "root".to_owned());
    let sudo = (user != "root").then_some(if asks { Sudo::Password } else { Sudo::Passwordless });
    let port = reader.number(section, "port").filter(|&port| port != 22);
    let key = reader.text(section, "privateKeyPath").map(Into::into);
    let labels = section.section("labels");
    let labels = section.get("labels").and_then(|node| node.value.entries()).unwrap_or_default().iter().filter_map(
        |(key, node)| {
            labels.get(key);
            Some((key.clone(), node.value.text()?))
        },
    );
    let labels: BTreeMap<_, _> = labels.collect();
    section.get("arch");
    reader.leave_rest(section);
    let Some(roles) = roles.get(&name) else {
        reader.remark(line, format!("host `{name}` is in no group of `spec.roleGroups`, so it is left out"));
        return None;
    };
    let address = reader.address(&internal, line);
    let is_node = roles.iter().any(|role| *role != Role::Etcd);
    let node_name = reader.node_name(&name, line);
    let address = address?;
    let ssh = Ssh {
        address: Some(reached).filter(|reached| reached.parse() != Ok(address)),
        port,
        user: Some(user),
        key,
        sudo,
        ..Ssh::default()
    };
    let labels = if is_node { labels } else { BTreeMap::new() };
    Some(HostSpec { second_address, ssh, labels, ..HostSpec::new(node_name?, address.into(), roles.clone()) })
}

fn endpoint(reader: &mut Reader<'_>, endpoint: &Section<'_>) {
    reader.set::<DnsName>(endpoint, "domain", "api.endpoint");
    if let Some(port) = reader.number(endpoint, "port").filter(|&port| port != 6443) {
        reader.settings.set("api.port", port);
    }
    let kind = match reader.text(endpoint, "internalLoadbalancer").as_deref() {
        // HAProxy on every worker, which is the default of kinstall.
        Some("haproxy") => None,
        Some("kube-vip") => Some("vip"),
        Some(other) => {
            return reader
                .problem(endpoint.line(), format!("`internalLoadbalancer: {other}` is none of haproxy and kube-vip"));
        }
        None => Some("external"),
    };
    if let Some(text) = reader.text(endpoint, "address")
        && let (Some(kind), Some(address)) = (kind, reader.address(&text, endpoint.line()))
    {
        reader.settings.set("api.load-balancer", kind);
        reader.settings.set("api.address", address);
    }
    reader.leave_rest(endpoint);
}

fn kubernetes(reader: &mut Reader<'_>, kubernetes: &Section<'_>) {
    reader.leave(kubernetes, "version", VERSION);
    let domain = if kubernetes.get("dnsDomain").is_some() { "dnsDomain" } else { "clusterName" };
    kubernetes.get("clusterName");
    reader.set::<DnsName>(kubernetes, domain, "network.dns-domain");
    if let Some(number) = reader.number(kubernetes, "maxPods") {
        reader.settings.set("kubelet.max-pods", number);
    }
    if let Some(size) = reader.number(kubernetes, "nodeCidrMaskSize") {
        reader.settings.set("network.node-cidr-mask-size", size);
    }
    let names = kubernetes.texts("apiserverCertExtraSans");
    if !names.is_empty() {
        reader.settings.set("api.certificate-sans", names);
    }
    let mode = reader.text(kubernetes, "proxyMode");
    if kubernetes.truth("disableKubeProxy") == Some(true) {
        reader.settings.set("network.kube-proxy.mode", "none");
    } else if let Some(mode) = mode {
        reader.settings.set("network.kube-proxy.mode", mode);
    }
    let audit = kubernetes.section("audit");
    if let Some(on) = audit.truth("enabled") {
        reader.settings.set("security.audit-log", if on { "enabled" } else { "disabled" });
    }
    reader.leave_rest(&audit);
    if let Some(runtime) = reader.text(kubernetes, "containerManager").filter(|runtime| runtime != "containerd") {
        reader.remark(
            kubernetes.line(),
            format!("`containerManager: {runtime}` is left out; the container runtime is containerd"),
        );
    }
    reader.leave_rest(kubernetes);
}

fn etcd(reader: &mut Reader<'_>, etcd: &Section<'_>) {
    match reader.text(etcd, "type").as_deref() {
        None | Some("kubekey") => {}
        Some("kubeadm") => {
            reader.remark(etcd.line(), "`etcd.type: kubeadm` is left out; etcd is a service of its host");
        }
        Some(other) => {
            reader.problem(
                etcd.line(),
                format!("`etcd.type: {other}` is not imported; give hosts of the file the group `etcd`, or write `etcd.external` in cluster.yaml"),
            );
        }
    }
    reader.leave_rest(etcd);
}

fn network(reader: &mut Reader<'_>, network: &Section<'_>) {
    match reader.text(network, "plugin").as_deref() {
        Some(plugin @ ("calico" | "flannel")) => reader.settings.set("network.cni", plugin),
        Some(other) => {
            reader.settings.set("network.cni", "none");
            if other != "none" {
                let message =
                    format!("kinstall does not set up `{other}`; with `network.cni: none` the site brings it");
                reader.remark(network.line(), message);
            }
        }
        None => {}
    }
    for (key, target) in [("kubePodsCIDR", "network.pod-cidr"), ("kubeServiceCIDR", "network.service-cidr")] {
        let Some(text) = reader.text(network, key) else { continue };
        let line = network.get(key).map_or(0, |node| node.line);
        match text.parse::<Cidrs>() {
            Ok(cidrs) => reader.settings.set(target, cidrs),
            Err(error) => reader.problem(line, format!("`{key}`: {error}")),
        }
    }
    calico(reader, &network.section("calico"));
    reader.leave_rest(network);
}

fn calico(reader: &mut Reader<'_>, calico: &Section<'_>) {
    let [ipip, vxlan] =
        ["ipipMode", "vxlanMode"].map(|key| reader.text(calico, key).map(|mode| mode.to_ascii_lowercase()));
    if ipip.is_some() || vxlan.is_some() {
        // KubeKey's defaults: IP in IP always.
        let vxlan = vxlan.unwrap_or_else(|| "never".to_owned());
        let ipip = ipip.unwrap_or_else(|| if vxlan == "never" { "always" } else { "never" }.to_owned());
        let (mode, wrapped) = match (vxlan.as_str(), ipip.as_str()) {
            ("never", "never") => ("bgp", None),
            ("never", wrapped) => ("ipip", Some(wrapped)),
            (wrapped, _) => ("vxlan", Some(wrapped)),
        };
        reader.settings.set("network.calico.mode", mode);
        match wrapped {
            None => {}
            Some("always") => reader.settings.set("network.calico.encapsulation", "always"),
            Some("crosssubnet") => reader.settings.set("network.calico.encapsulation", "cross-subnet"),
            Some(other) => reader
                .problem(calico.line(), format!("Calico's mode `{other}` is none of Always, CrossSubnet and Never")),
        }
    }
    if let Some(mtu) = reader.number(calico, "vethMTU").filter(|&mtu| mtu > 0) {
        reader.settings.set("network.calico.mtu", mtu);
    }
    reader.leave_rest(calico);
}

fn registry(reader: &mut Reader<'_>, registry: &Section<'_>) {
    let mirrors = registry.texts("registryMirrors");
    if !mirrors.is_empty() {
        reader.settings.set("registries", [Registry { host: "docker.io".to_owned(), mirrors, ca: None }]);
    }
    reader.leave(registry, "auths", "passwords of registries are not copied");
    for key in ["privateRegistry", "namespaceOverride", "insecureRegistries"] {
        reader.leave(registry, key, "images come with the bundle");
    }
    reader.leave_rest(registry);
}
