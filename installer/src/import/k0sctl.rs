//! `k0sctl.yaml`, by the fields that k0sctl's README and k0s's configuration page document (k0sctl 0.25, k0s 1.3x).

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::Role;

use super::document::{Document, Documents, Reader, Section, VERSION, jump};
use super::{ImportError, Imported, Resolver, take_common};
use crate::config::{Cidr, Connection, DnsName, HostSpec, Ssh, Sudo};

/// Reads the documents of a file: the cluster, and k0s's own configuration in it or beside it.
pub(super) fn read(documents: &Documents, resolver: Resolver<'_>) -> Result<Imported, ImportError> {
    let mut reader = Reader::new(resolver);
    let mut hosts = Vec::new();
    for document in &documents.0 {
        let whole = document.section();
        match (document.api_version().unwrap_or_default().split('/').next(), document.kind()) {
            (Some("k0sctl.k0sproject.io"), Some("Cluster" | "cluster")) => hosts.extend(cluster(&mut reader, &whole)),
            (Some("k0s.k0sproject.io"), _) => configuration(&mut reader, &whole),
            _ => reader.remark(whole.line(), other(document)),
        }
    }
    if hosts.is_empty() {
        reader.problems.add_whole("`spec.hosts` lists no host");
    }
    reader.tell_what_is_left();
    reader.problems.none()?;
    hosts.sort_by_key(|host: &HostSpec| !host.roles.contains(&Role::ControlPlane));
    let ssh = take_common(&mut hosts);
    Ok(Imported { hosts, ssh, settings: reader.settings, remarks: reader.remarks.sorted() })
}

/// The remark about a document of another kind.
pub(super) fn other(document: &Document) -> String {
    format!("this document, `{}`, is left out", document.kind().unwrap_or("without a kind"))
}

fn cluster(reader: &mut Reader<'_>, whole: &Section<'_>) -> Vec<HostSpec> {
    whole.get("apiVersion");
    whole.get("kind");
    let metadata = whole.section("metadata");
    reader.set::<DnsName>(&metadata, "name", "name");
    reader.leave_rest(&metadata);
    let spec = whole.section("spec");
    let hosts: Vec<_> = spec.sections("hosts").iter().filter_map(|section| host(reader, section)).collect();
    let k0s = spec.section("k0s");
    reader.leave(&k0s, "version", VERSION);
    configuration(reader, &k0s.section("config"));
    reader.leave_rest(&k0s);
    reader.leave(&spec, "options", "they are about how k0sctl works");
    reader.leave_rest(&spec);
    reader.leave_rest(whole);
    hosts
}

fn host(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<HostSpec> {
    let line = section.line();
    let flags = flags(reader, section);
    let schedules = section.truth("noTaints") == Some(true) || flags.schedules;
    let role = reader.text(section, "role").unwrap_or_default();
    let roles: BTreeSet<_> = match role.as_str() {
        // A controller is no node in k0s. In kubeadm's clusters, control planes are nodes without users' pods.
        "controller" => [Role::ControlPlane, Role::Etcd].into(),
        "controller+worker" if !schedules => [Role::ControlPlane, Role::Etcd].into(),
        "controller+worker" | "single" => [Role::ControlPlane, Role::Etcd, Role::Worker].into(),
        "worker" => [Role::Worker].into(),
        other => {
            reader.problem(line, format!("role `{other}` is none of controller, controller+worker, single and worker"));
            return None;
        }
    };
    if role == "controller" {
        reader.remark(line, "a controller is a node here, with the taint that keeps pods of users away");
    }
    let ssh = connection(reader, section);
    let private = reader.text(section, "privateAddress");
    let reached = private.or_else(|| ssh.address.clone());
    let hostname = reader.text(section, "hostname");
    reader.leave_rest(section);
    let Some(reached) = reached else {
        reader.problem(line, "this host has no address; add `privateAddress`");
        return None;
    };
    let address = reader.address(&reached, line);
    let name = reader.node_name(hostname.as_ref().or(ssh.address.as_ref()).unwrap_or(&reached), line);
    let address = address?;
    let ssh = Ssh { address: ssh.address.filter(|text| text.parse() != Ok(address)), ..ssh };
    Some(HostSpec { ssh, labels: flags.labels, taints: flags.taints, ..HostSpec::new(name?, address.into(), roles) })
}

/// How a host is reached, and its address.
fn connection(reader: &mut Reader<'_>, section: &Section<'_>) -> Ssh {
    let local = section.section("localhost");
    if local.truth("enabled") == Some(true) {
        reader.leave_rest(&local);
        return Ssh { connection: Some(Connection::Local), ..Ssh::default() };
    }
    let (own, open) = (section.section("ssh"), section.section("openSSH"));
    let used = if own.is_given() { &own } else { &open };
    let mut ssh = login(reader, used);
    if own.is_given() {
        // This is k0sctl's own default; its OpenSSH client leaves the user to OpenSSH.
        ssh.user = ssh.user.or_else(|| Some("root".to_owned()));
    }
    let bastion = used.section("bastion");
    if bastion.is_given() {
        let through = login(reader, &bastion);
        let through = Ssh { user: through.user.or_else(|| Some("root".to_owned())), ..through };
        ssh.jump = jump(&through);
        ssh.jump_key = through.key;
        reader.leave_rest(&bastion);
    }
    if ssh.user.as_ref().is_some_and(|user| user != "root") {
        // k0sctl asks for no password.
        ssh.sudo = Some(Sudo::Passwordless);
    }
    reader.leave_rest(used);
    ssh
}

fn login(reader: &mut Reader<'_>, section: &Section<'_>) -> Ssh {
    Ssh {
        address: reader.text(section, "address"),
        user: reader.text(section, "user"),
        port: reader.number(section, "port").filter(|&port| port != 22),
        key: reader.text(section, "keyPath").map(Into::into),
        ..Ssh::default()
    }
}

/// The settings of a node in the flags of `k0s install`.
#[derive(Default)]
struct Flags {
    labels: BTreeMap<String, String>,
    taints: Vec<String>,
    schedules: bool,
}

fn flags(reader: &mut Reader<'_>, section: &Section<'_>) -> Flags {
    let mut flags = Flags::default();
    let line = section.get("installFlags").map_or(0, |node| node.line);
    let words: Vec<_> = section
        .texts("installFlags")
        .iter()
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let mut value =
            || value.or_else(|| words.next().map(String::as_str)).unwrap_or_default().trim_matches(['"', '\'']);
        match name {
            "--no-taints" => flags.schedules = true,
            "--labels" => {
                flags.labels.extend(
                    value()
                        .split(',')
                        .filter_map(|label| label.split_once('='))
                        .map(|(key, value)| (key.to_owned(), value.to_owned())),
                );
            }
            "--taints" => flags.taints.extend(value().split(',').map(str::to_owned)),
            "--enable-worker" => {}
            other => reader.remark(
                line,
                format!("the flag `{other}` of `k0s install` is left out; kinstall does not install k0s"),
            ),
        }
    }
    flags
}

/// k0s's own configuration.
fn configuration(reader: &mut Reader<'_>, whole: &Section<'_>) {
    if !whole.is_given() {
        return;
    }
    for key in ["apiVersion", "kind", "metadata"] {
        whole.get(key);
    }
    let spec = whole.section("spec");
    api(reader, &spec.section("api"));
    network(reader, &spec.section("network"));
    let storage = spec.section("storage");
    if let Some(kind) = reader.text(&storage, "type").filter(|kind| kind != "etcd") {
        reader.remark(storage.line(), format!("`spec.storage.type: {kind}` is left out; the cluster has etcd"));
    }
    reader.leave_rest(&storage);
    reader.leave_rest(&spec);
    reader.leave_rest(whole);
}

fn api(reader: &mut Reader<'_>, api: &Section<'_>) {
    if let Some(port) = reader.number(api, "port").filter(|&port| port != 6443) {
        reader.settings.set("api.port", port);
    }
    let names = api.texts("sans");
    if !names.is_empty() {
        reader.settings.set("api.certificate-sans", names);
    }
    if let Some(address) = reader.text(api, "externalAddress")
        && let Some(address) = reader.address(&address, api.line())
    {
        reader.settings.set("api.load-balancer", "external");
        reader.settings.set("api.address", address);
    }
    reader.leave_rest(api);
}

fn network(reader: &mut Reader<'_>, network: &Section<'_>) {
    reader.set::<Cidr>(network, "podCIDR", "network.pod-cidr");
    reader.set::<Cidr>(network, "serviceCIDR", "network.service-cidr");
    reader.set::<DnsName>(network, "clusterDomain", "network.dns-domain");
    match reader.text(network, "provider").as_deref() {
        Some("calico") => reader.settings.set("network.cni", "calico"),
        Some("custom") => reader.settings.set("network.cni", "none"),
        Some(other) => {
            reader.remark(
                network.line(),
                format!("`spec.network.provider: {other}` is left out; the network is one that the bundle has"),
            );
        }
        None => {}
    }
    let calico = network.section("calico");
    let (mode, overlay) = (reader.text(&calico, "mode"), reader.text(&calico, "overlay"));
    if mode.is_some() || overlay.is_some() {
        calico_mode(reader, mode.as_deref().unwrap_or("vxlan"), overlay.as_deref().unwrap_or("Always"), calico.line());
    }
    if let Some(mtu) = reader.number(&calico, "mtu").filter(|&mtu| mtu > 0) {
        reader.settings.set("network.calico.mtu", mtu);
    }
    reader.leave_rest(&calico);
    let proxy = network.section("kubeProxy");
    if proxy.truth("disabled") == Some(true) {
        reader.settings.set("network.kube-proxy.mode", "none");
    } else if let Some(mode) = reader.text(&proxy, "mode") {
        if mode == "ipvs" && proxy.section("ipvs").truth("strictARP") == Some(true) {
            reader.settings.set("network.kube-proxy.strict-arp", true);
        }
        reader.settings.set("network.kube-proxy.mode", mode);
    }
    reader.leave_rest(&proxy);
    // Here each worker has its own load balancer.
    network.section("nodeLocalLoadBalancing").truth("enabled");
    network.section("dualStack").truth("enabled");
    reader.leave(
        network,
        "dualStack",
        "hosts of k0sctl.yaml have one address; write `second-address` of each, and networks of both IP families under `network`",
    );
    reader.leave_rest(network);
}

fn calico_mode(reader: &mut Reader<'_>, mode: &str, overlay: &str, line: usize) {
    let encapsulation = match overlay.to_ascii_lowercase().as_str() {
        "always" => "always",
        "crosssubnet" => "cross-subnet",
        "never" => return reader.settings.set("network.calico.mode", "bgp"),
        _ => {
            return reader
                .problem(line, format!("Calico's overlay `{overlay}` is none of Always, CrossSubnet and Never"));
        }
    };
    match mode {
        "vxlan" => reader.settings.set("network.calico.mode", "vxlan"),
        // `bird`, and its older name `ipip`.
        "bird" | "ipip" => reader.settings.set("network.calico.mode", "ipip"),
        other => return reader.problem(line, format!("Calico's mode `{other}` is none of vxlan and bird")),
    }
    reader.settings.set("network.calico.encapsulation", encapsulation);
}
