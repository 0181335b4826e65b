//! What the user wants: `cluster.yaml`, typed. Everything has a default, so an empty file, or no file, is a cluster.
//!
//! Without a section `hosts` the cluster is the host that kinstall runs on. Unknown keys are refused, so that a file written
//! for a newer kinstall is not half understood by an older one.

mod addon_settings;
mod calico;
pub mod change;
mod cidrs;
mod components;
mod defaults;
mod error;
mod etcd;
mod examine;
mod example;
mod hosts;
mod kube_proxy;
mod kubelet;
mod names;
mod networks;
mod patches;
mod registries;
mod rules;
mod security;
mod share;

use std::net::IpAddr;

use kbundle_cli::yaml;
use kbundle_format::{ComponentName, KubeVersion};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use addon_settings::{AddonSettings, AddressRange, LocalPathProvisioner, Metallb};
pub use calico::{Calico, CalicoMode, Encapsulation};
pub use cidrs::{Cidrs, IpFamily};
pub use components::{Admission, ApiServer, Component, ExtraVolume, FlagValue, Flags, Oidc};
pub use error::ConfigError;
pub use etcd::{EtcdSpec, ExternalEtcd};
pub use example::EXAMPLE;
pub use hosts::{Architecture, Connection, HostSpec, Ssh, Sudo};
pub use kube_proxy::{KubeProxy, KubeProxyMode};
pub use kubelet::{HostKubelet, Kubelet};
pub use names::{Cidr, DnsName};
pub use patches::{KubeadmPatch, PatchKind, PatchTarget};
pub use registries::{EVERY_OTHER, Registry};
pub use rules::{Problem, owned};
pub use security::{PodSecurity, Security};
pub use share::Difference;

/// Fields of a configuration of Kubernetes, as it names them.
pub type Fields = serde_json::Map<String, serde_json::Value>;

/// The version of `cluster.yaml` that this program reads.
pub const SCHEMA: u32 = 1;

/// `cluster.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ClusterSpec {
    /// Version of the file format; always 1.
    pub schema: u32,
    /// The cluster's name in kubeconfigs and in the default name of the API.
    pub name: DnsName,
    /// The hosts. Absent: the cluster is the host that kinstall runs on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostSpec>,
    /// How the hosts are reached.
    #[serde(skip_serializing_if = "Ssh::is_default")]
    pub ssh: Ssh,
    /// Addresses and names inside the cluster.
    pub network: Network,
    /// Registries of the site that images are pulled from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<Registry>,
    /// Add-ons of the bundle, by name, in the order in which they are applied. One that is taken off the list is removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addons: Vec<DnsName>,
    /// Settings of add-ons that are listed.
    #[serde(skip_serializing_if = "AddonSettings::is_default")]
    pub addon_settings: AddonSettings,
    /// How the API server is reached.
    pub api: Api,
    /// Hardening.
    pub security: Security,
    /// Settings of the kubelet.
    pub kubelet: Kubelet,
    /// Settings of the API server.
    #[serde(skip_serializing_if = "ApiServer::is_default")]
    pub api_server: ApiServer,
    /// Settings of the controller manager.
    #[serde(skip_serializing_if = "Component::is_default")]
    pub controller_manager: Component,
    /// Settings of the scheduler.
    #[serde(skip_serializing_if = "Component::is_default")]
    pub scheduler: Component,
    /// Where the cluster's data is.
    #[serde(skip_serializing_if = "EtcdSpec::is_default")]
    pub etcd: EtcdSpec,
    /// Changes to what kubeadm writes, for settings that have no key here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kubeadm_patches: Vec<KubeadmPatch>,
    /// Whether kinstall prepares hosts: opens the ports of their roles in the firewall, keeps
    /// NetworkManager off the interfaces of pods, comments out settings that would undo kinstall's at boot. The same as `run --prepare`.
    #[serde(skip_serializing_if = "Switch::is_disabled")]
    pub host_preparation: Switch,
}

/// Addresses and names inside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Network {
    /// Where pods get their addresses: a network, or a list with one of each IP family.
    pub pod_cidr: Cidrs,
    /// Where Services get their addresses: as many as `pod-cidr`, the families in the same order.
    pub service_cidr: Cidrs,
    /// The size of each node's IPv4 part of `pod-cidr`, as the length of its prefix.
    pub node_cidr_mask_size: u8,
    /// The same for IPv6.
    #[serde(skip_serializing_if = "is_usual_ipv6_part")]
    pub node_cidr_mask_size_ipv6: u8,
    /// The DNS domain of Services and pods.
    pub dns_domain: DnsName,
    /// The pod network. Default: the one that the bundle has, or `bridge` if it has none.
    pub cni: Option<Cni>,
    /// How Calico carries packets between hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calico: Option<Calico>,
    /// kube-proxy, which brings requests to Services to their pods.
    pub kube_proxy: KubeProxy,
}

/// The controller manager's default size of a node's pod network for IPv4, as the length of its prefix.
pub const USUAL_NODE_PART: u8 = 24;
/// The same for IPv6.
pub const USUAL_NODE_PART_IPV6: u8 = 64;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_usual_ipv6_part(prefix: &u8) -> bool {
    *prefix == USUAL_NODE_PART_IPV6
}

impl Network {
    /// The size of each node's part of the pods' network of this family, as the length of its prefix.
    #[must_use]
    pub fn node_part(&self, family: IpFamily) -> u8 {
        match family {
            IpFamily::Ipv4 => self.node_cidr_mask_size,
            IpFamily::Ipv6 => self.node_cidr_mask_size_ipv6,
        }
    }

    /// The address family with which the parts of the cluster reach each other.
    #[must_use]
    pub fn main_family(&self) -> IpFamily {
        self.service_cidr.first().family()
    }

    /// Whether pods and Services have addresses of this family.
    #[must_use]
    pub fn has(&self, family: IpFamily) -> bool {
        self.pod_cidr.of(family).is_some()
    }
}

/// The pod network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cni {
    /// The standard plugins and routes between hosts of one flat network; needs no image.
    Bridge,
    /// Flannel, from the bundle.
    Flannel,
    /// Calico, from the bundle.
    Calico,
    /// None: the site installs one. Until then nodes are not ready and most pods wait.
    None,
}

impl Cni {
    /// The name in files and in the bundle's add-ons.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Flannel => ComponentName::Flannel.as_str(),
            Self::Calico => ComponentName::Calico.as_str(),
            Self::None => "none",
        }
    }
}

/// How the API server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Api {
    /// The name clients use. Default: `api.<cluster name>.internal`.
    pub endpoint: Option<DnsName>,
    /// The address that a single host advertises. Default: that of the default route's interface. Several hosts have
    /// their own each, and this is the address of an `external` load balancer, or the `vip`. An `external` one without an
    /// address is known by the name `endpoint` alone, which the site's DNS resolves.
    pub address: Option<IpAddr>,
    /// The network interface that gets the `vip`. Default: the one whose network it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// What distributes requests over several control planes.
    pub load_balancer: LoadBalancer,
    /// Its TCP port.
    pub port: u16,
    /// Further names and addresses for its certificate.
    pub certificate_sans: Vec<String>,
}

/// What distributes requests over several control planes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoadBalancer {
    /// `HAProxy` on every worker, for that worker alone.
    #[default]
    NodeLocal,
    /// One of the site's own, at `address`, or known by the name `endpoint` alone.
    External,
    /// A virtual IP, `address`, which `kube-vip` moves between the control planes. It does not distribute requests.
    Vip,
}

impl LoadBalancer {
    /// The name in cluster.yaml.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NodeLocal => "node-local",
            Self::External => "external",
            Self::Vip => "vip",
        }
    }
}

/// On or off, in words that YAML does not turn into something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

impl Switch {
    /// Whether it is off.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        *self == Self::Disabled
    }
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            name: DnsName::known("kubernetes"),
            hosts: Vec::new(),
            ssh: Ssh::default(),
            network: Network::default(),
            registries: Vec::new(),
            addons: Vec::new(),
            addon_settings: AddonSettings::default(),
            api: Api::default(),
            security: Security::default(),
            kubelet: Kubelet::default(),
            api_server: ApiServer::default(),
            controller_manager: Component::default(),
            scheduler: Component::default(),
            etcd: EtcdSpec::default(),
            kubeadm_patches: Vec::new(),
            host_preparation: Switch::Disabled,
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            pod_cidr: Cidr::known([10, 244, 0, 0], 16).into(),
            service_cidr: Cidr::known([10, 96, 0, 0], 12).into(),
            node_cidr_mask_size: USUAL_NODE_PART,
            node_cidr_mask_size_ipv6: USUAL_NODE_PART_IPV6,
            dns_domain: DnsName::known("cluster.local"),
            kube_proxy: KubeProxy::default(),
            cni: None,
            calico: None,
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            endpoint: None,
            address: None,
            interface: None,
            load_balancer: LoadBalancer::default(),
            port: 6443,
            certificate_sans: Vec::new(),
        }
    }
}

/// The JSON schema of `cluster.yaml`, as `docs/cluster.schema.json` has it.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(ClusterSpec).into()
}

impl ClusterSpec {
    /// Reads and validates a file's text.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let spec = Self::read(text)?;
        spec.validate()?;
        Ok(spec)
    }

    /// Reads a file's text without hosts, which becomes a cluster only together with hosts from elsewhere.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        if examine::is_empty(text) {
            return Ok(Self::default());
        }
        yaml::read(text).map_err(|source| ConfigError::Syntax { source })
    }

    /// Checks that it is a possible cluster; the error names all problems.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.schema != SCHEMA {
            return Err(ConfigError::Schema { found: self.schema });
        }
        let problems = rules::problems(self, None);
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid { problems }) }
    }

    /// Checks that Kubernetes `version` accepts all settings that are passed on to it.
    pub fn validate_for(&self, version: KubeVersion) -> Result<(), ConfigError> {
        let problems = rules::problems_with(self, version);
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid { problems }) }
    }

    /// Why a node has too few addresses for its pods with this network; `None` if it has enough.
    #[must_use]
    pub fn pods_do_not_fit(&self, cni: Cni) -> Option<Problem> {
        rules::pods_do_not_fit(self, cni)
    }

    /// The same cluster with all defaults filled in, and with the complete `ssh` of each host.
    #[must_use]
    pub fn filled_in(&self) -> Self {
        let mut spec = self.clone();
        // Only a cluster with a name that validation refuses has none.
        spec.api.endpoint = self.api_name().parse().ok();
        for host in &mut spec.hosts {
            host.ssh = host.ssh.or(&self.ssh);
        }
        spec
    }

    /// The same cluster, with `--prepare`: kinstall makes its hosts fit.
    #[must_use]
    pub fn with_hosts_prepared(self) -> Self {
        Self { host_preparation: Switch::Enabled, ..self }
    }

    /// The name clients reach the API by.
    #[must_use]
    pub fn api_name(&self) -> String {
        match &self.api.endpoint {
            Some(name) => name.to_string(),
            None => format!("api.{}.internal", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn refusal(text: &str) -> String {
        let error = ClusterSpec::parse(text).unwrap_err();
        error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
    }

    #[test]
    fn nothing_is_a_whole_cluster() {
        for text in ["", "# only a comment\n", "name: kubernetes\n"] {
            assert_eq!(ClusterSpec::parse(text).unwrap(), ClusterSpec::default());
        }
        insta::assert_snapshot!(serde_yaml::to_string(&ClusterSpec::default()).unwrap(), @"
        schema: 1
        name: kubernetes
        network:
          pod-cidr: 10.244.0.0/16
          service-cidr: 10.96.0.0/12
          node-cidr-mask-size: 24
          dns-domain: cluster.local
          cni: null
          kube-proxy:
            mode: iptables
            strict-arp: false
        api:
          endpoint: null
          address: null
          load-balancer: node-local
          port: 6443
          certificate-sans: []
        security:
          encryption-at-rest: enabled
          audit-log: enabled
          pod-security: privileged
        kubelet:
          max-pods: 110
        ");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let spec = ClusterSpec { name: "plant-7".parse().unwrap(), ..ClusterSpec::default() };
        assert_eq!(ClusterSpec::parse(&serde_yaml::to_string(&spec).unwrap()).unwrap(), spec);
        assert_eq!(spec.api_name(), "api.plant-7.internal");
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        insta::assert_snapshot!(refusal("nodes: []"), @"the configuration cannot be read: line 1, column 1: unknown field `nodes`; known are `schema`, `name`, `hosts`, `ssh`, `network`, `registries`, `addons`, `addon-settings`, `api`, `security`, `kubelet`, `api-server`, `controller-manager`, `scheduler`, `etcd`, `kubeadm-patches`, `host-preparation`");
        insta::assert_snapshot!(refusal("schema: 2"), @"the configuration has schema 2, this program knows 1");
        insta::assert_snapshot!(refusal("network: {cni: weave}"), @"the configuration cannot be read: line 1, column 16: network.cni: unknown value `weave`; known are `bridge`, `flannel`, `calico`, `none`");
        insta::assert_snapshot!(refusal("api: {load-balancer: ipvs}"), @"the configuration cannot be read: line 1, column 22: api.load-balancer: unknown value `ipvs`; known are `node-local`, `external`, `vip`");
        insta::assert_snapshot!(refusal("name: Not_A_Name"), @"the configuration cannot be read: line 1, column 7: name: `Not_A_Name` is not a DNS name (RFC 1123: lowercase letters, digits, `-` and `.`)");
    }

    #[test]
    fn refuses_networks_that_cannot_work() {
        insta::assert_snapshot!(refusal("network: {pod-cidr: 10.96.4.0/22}"), @"pod-cidr 10.96.4.0/22 and service-cidr 10.96.0.0/12 overlap; they need addresses of their own");
        insta::assert_snapshot!(refusal("network: {service-cidr: 10.0.0.0/8}"), @"service-cidr 10.0.0.0/8 is too large; the API server takes a prefix of at least 12");
        insta::assert_snapshot!(refusal("network: {service-cidr: 10.96.0.0/25}"), @"service-cidr 10.96.0.0/25 is too small; a prefix of at most 24 is needed");
        insta::assert_snapshot!(refusal("network: {pod-cidr: 10.0.0.0/28, service-cidr: 10.0.0.0/8}"), @"
        pod-cidr 10.0.0.0/28 is too small; a prefix of at most 24 is needed
        service-cidr 10.0.0.0/8 is too large; the API server takes a prefix of at least 12
        ");
        insta::assert_snapshot!(refusal("network: {pod-cidr: 10.244.1.0/16}"), @"the configuration cannot be read: line 1, column 21: network.pod-cidr: `10.244.1.0/16` is not a network such as `10.244.0.0/16` (no bits set after the prefix)");
    }

    #[test]
    fn refuses_an_api_that_cannot_be_reached() {
        let host = "hosts: [{name: a, address: 192.0.2.1, roles: [control-plane, etcd]}]\n";
        insta::assert_snapshot!(refusal("api: {load-balancer: external, address: 192.0.2.9}"), @"load-balancer external is for clusters of several hosts, and there is no list of hosts; add `hosts`");
        insta::assert_snapshot!(refusal(&format!("{host}api: {{load-balancer: external}}")), @"load-balancer external needs the load balancer's address; add `api.address`, or `api.endpoint` where only its name is known");
        insta::assert_snapshot!(refusal(&format!("{host}api: {{address: 192.0.2.9}}")), @"api.address 192.0.2.9 is only for `load-balancer: external` or `vip`, because each of several hosts has its own address; remove it, or add `load-balancer`");
        insta::assert_snapshot!(refusal(&format!("{host}api: {{load-balancer: external, address: 10.100.0.1}}")), @"api.address 10.100.0.1 lies in service-cidr 10.96.0.0/12; they need addresses of their own");
        insta::assert_snapshot!(refusal(&format!("{host}api: {{load-balancer: external, address: 192.0.2.1}}")), @"api.address 192.0.2.1 is that of host a; take another");
        insta::assert_snapshot!(refusal(&format!("{host}api: {{load-balancer: external, address: 192.0.2.9, interface: eth0}}")), @"api.interface is only for `load-balancer: vip`; remove it");
        insta::assert_snapshot!(refusal(&format!("{host}api: {{load-balancer: vip}}")), @"load-balancer vip needs a free address of the hosts' network; add `api.address`");
        insta::assert_snapshot!(refusal(&format!("{host}api: {{load-balancer: vip, address: 192.0.2.9, interface: 'bond 0'}}")), @"api.interface `bond 0` is not the name of a network interface");
        insta::assert_snapshot!(refusal("api: {port: 0, certificate-sans: ['*.example.com', 192.0.2.7, 'no name']}"), @"
        api.port 0 is not a port; 6443 is usual
        certificate-sans has `no name`, which is neither an address nor a DNS name
        ");
    }
}
