//! `InitConfiguration`: the first control plane.

use std::collections::BTreeMap;
use std::net::IpAddr;

use kbundle_format::Role;
use serde_json::Value;

use super::cluster::wrong;
use super::{Import, KubeadmError, Section, flags, kind_of};
use crate::config::{DnsName, Fields, HostSpec, KubeProxyMode};
use crate::kubeadm::{CRI_SOCKET, PATCHES_DIRECTORY};

/// The name of a host if the file does not give one.
const UNNAMED: &str = "control-plane-1";

/// Settings of the first control plane.
#[derive(Default)]
pub(super) struct Node {
    name: Option<String>,
    pub(super) address: Option<IpAddr>,
    /// Its address of the other IP family.
    second_address: Option<IpAddr>,
    pub(super) port: Option<u16>,
    labels: BTreeMap<String, String>,
    /// `None` if kubeadm's own taint is used.
    taints: Option<Vec<String>>,
}

/// Whether kinstall wrote an `InitConfiguration`: only kinstall forbids pulling images and has its patches in that directory.
pub(super) fn is_of_kinstall(document: &Fields) -> bool {
    let text = |map: &str, field: &str| document.get(map).and_then(|map| map[field].as_str());
    kind_of(document) == "InitConfiguration"
        && text("nodeRegistration", "imagePullPolicy") == Some("Never")
        && text("patches", "directory") == Some(PATCHES_DIRECTORY)
}

impl Import<'_> {
    pub(super) fn init(&mut self, mut section: Section) -> Result<(), KubeadmError> {
        let mut endpoint = section.section("localAPIEndpoint");
        if let Some(text) = endpoint.text("advertiseAddress") {
            let address: IpAddr =
                text.parse().map_err(|_| wrong(&endpoint, "advertiseAddress", &text, "an address"))?;
            self.node.address = Some(address);
            self.spec.api.address = Some(address);
        }
        if let Some(text) = endpoint.text("bindPort") {
            let port = text.parse().map_err(|_| wrong(&endpoint, "bindPort", &text, "a port"))?;
            self.node.port = Some(port);
            self.spec.api.port = port;
        }
        self.rest(endpoint);
        self.registration(section.section("nodeRegistration"));
        if section.section("patches").text("directory").is_some_and(|directory| directory != PATCHES_DIRECTORY) {
            self.remark(section.place("patches"), "left out: write each patch under `kubeadm-patches`");
        }
        for phase in section.texts("skipPhases") {
            if phase == "addon/kube-proxy" {
                self.spec.network.kube_proxy.mode = KubeProxyMode::None;
            } else {
                self.remark(section.place("skipPhases"), format!("`{phase}` is left out: kinstall decides on phases"));
            }
        }
        for (field, message) in [
            ("bootstrapTokens", "left out: kinstall makes tokens itself"),
            ("certificateKey", "left out: kinstall copies keys over SSH"),
            ("timeouts", "left out: kinstall waits as long as it takes"),
        ] {
            if section.take(field).is_some() {
                self.remark(section.place(field), message);
            }
        }
        self.rest(section);
        Ok(())
    }

    fn registration(&mut self, mut section: Section) {
        self.node.name = section.text("name");
        if section.text("criSocket").is_some_and(|socket| !is_containerd(&socket)) {
            self.remark(section.place("criSocket"), "left out: kinstall uses the containerd of the bundle");
        }
        // Images are loaded before the kubelet asks for them.
        section.take("imagePullPolicy");
        section.take("imagePullSerial");
        if let Some(Value::Array(taints)) = section.take("taints") {
            self.node.taints = Some(taints.iter().filter_map(taint).collect());
        }
        if !section.texts("ignorePreflightErrors").is_empty() {
            self.remark(
                section.place("ignorePreflightErrors"),
                "left out: `kinstall run --ignore` names checks of its own",
            );
        }
        self.kubelet_flags(&mut section);
        self.rest(section);
    }

    fn kubelet_flags(&mut self, section: &mut Section) {
        let place = section.place("kubeletExtraArgs");
        let mut given = flags::take(section, "kubeletExtraArgs");
        for label in flags::take_list(&mut given, "node-labels") {
            let (key, value) = label.split_once('=').unwrap_or((&label, ""));
            self.node.labels.insert(key.to_owned(), value.to_owned());
        }
        let taints = flags::take_list(&mut given, "register-with-taints");
        if !taints.is_empty() {
            self.node.taints.get_or_insert_default().extend(taints);
        }
        for address in flags::take_list(&mut given, "node-ip") {
            let address: Option<IpAddr> = address.parse().ok();
            let is_other = |own: &IpAddr| address.is_some_and(|address| address.is_ipv6() != own.is_ipv6());
            match self.node.address {
                Some(own) if is_other(&own) => self.node.second_address = address,
                Some(own) if address.is_none_or(|address| own != address) => {
                    let message = "left out: it is the address of the host, `localAPIEndpoint.advertiseAddress`";
                    self.remark(format!("{place}.node-ip"), message);
                }
                _ => {}
            }
        }
        for (name, value) in given {
            match (name.as_str(), value.all()) {
                ("max-pods", [most]) if most.parse::<u16>().is_ok() => {
                    self.spec.kubelet.max_pods = most.parse().unwrap_or_default();
                }
                ("cgroup-driver", [driver]) if driver == "systemd" => {}
                _ => self.remark(
                    format!("{place}.{name}"),
                    "left out: write the field that the kubelet's configuration has for it under `kubelet.config`",
                ),
            }
        }
    }

    /// Lists the first control plane as a host if it has settings that only a host entry can hold.
    pub(super) fn place_node(&mut self) {
        let Node { name, address, second_address, labels, taints, .. } = std::mem::take(&mut self.node);
        let own_taints: Vec<_> =
            taints.iter().flatten().filter(|taint| !is_of_control_planes(taint)).cloned().collect();
        if labels.is_empty() && own_taints.is_empty() {
            if name.is_some() && !self.is_of_kinstall {
                self.remark(
                    "InitConfiguration.nodeRegistration.name",
                    "left out: a cluster of one host has the host's own name",
                );
            }
            return;
        }
        let place = "InitConfiguration.nodeRegistration";
        let Some(address) = address else {
            return self
                .remark(place, "labels and taints are left out: a host needs localAPIEndpoint.advertiseAddress");
        };
        let name = name.and_then(|name| name.parse::<DnsName>().ok()).unwrap_or_else(|| {
            self.remark(place, format!("the host is called {UNNAMED}; give it its name under `hosts`"));
            UNNAMED.parse().expect("a name of this program's own")
        });
        let mut roles = [Role::ControlPlane].into_iter().collect::<std::collections::BTreeSet<_>>();
        if self.spec.etcd.external.is_none() {
            roles.insert(Role::Etcd);
        }
        // Own taints replace kubeadm's taint, which keeps pods away.
        if taints.is_some_and(|taints| !taints.iter().any(|taint| is_of_control_planes(taint))) {
            roles.insert(Role::Worker);
        }
        self.spec.api.address = None;
        self.spec.hosts =
            vec![HostSpec { second_address, labels, taints: own_taints, ..HostSpec::new(name, address, roles) }];
    }
}

/// Whether a socket is the usual one of containerd; `/var/run` is `/run`.
fn is_containerd(socket: &str) -> bool {
    let path = socket.trim_start_matches("unix://").trim_start_matches("/var");
    CRI_SOCKET.ends_with(path)
}

fn is_of_control_planes(taint: &str) -> bool {
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"].iter().any(|key| taint.starts_with(key))
}

/// A taint in the form of cluster.yaml.
fn taint(value: &Value) -> Option<String> {
    let text = |key: &str| value[key].as_str().filter(|text| !text.is_empty());
    let of_value = text("value").map(|value| format!("={value}")).unwrap_or_default();
    Some(format!("{}{of_value}:{}", text("key")?, text("effect")?))
}
