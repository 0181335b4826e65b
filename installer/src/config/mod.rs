//! What the user wants: `cluster.yaml`, typed. Everything has a default, so that an empty file, or none, is a cluster.
//!
//! Without a section `hosts` the cluster is the host that kinstall runs on. Unknown keys are refused, so that a file written
//! for a newer kinstall is not half understood by an older one.

mod hosts;
mod names;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use hosts::{Connection, HostSpec, Ssh, Sudo};
pub use names::{Cidr, DnsName, NameError};

/// The version of `cluster.yaml` that this program reads.
pub const SCHEMA: u32 = 1;

/// `cluster.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ClusterSpec {
    /// Version of the file's form; always [`SCHEMA`].
    pub schema: u32,
    /// Names the cluster in kubeconfigs and in the API's default name.
    pub name: DnsName,
    /// The hosts; none where the cluster is this host alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostSpec>,
    /// How the hosts are reached.
    #[serde(skip_serializing_if = "Ssh::is_default")]
    pub ssh: Ssh,
    /// Addresses and names inside the cluster.
    pub network: Network,
    /// How the API server is reached.
    pub api: Api,
    /// What hardening is in force.
    pub security: Security,
    /// Settings of the kubelet.
    pub kubelet: Kubelet,
}

/// Addresses and names inside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Network {
    /// Where pods get their addresses.
    pub pod_cidr: Cidr,
    /// Where Services get their addresses.
    pub service_cidr: Cidr,
    /// The DNS domain of Services and pods.
    pub dns_domain: DnsName,
    /// What connects pods.
    pub cni: Cni,
}

/// What connects pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cni {
    /// The standard plugins and routes between hosts of one flat network; needs no image.
    Bridge,
    /// Flannel, from the bundle.
    Flannel,
    /// Calico, from the bundle.
    Calico,
}

impl Cni {
    /// The name in files and in the bundle's add-ons.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Flannel => "flannel",
            Self::Calico => "calico",
        }
    }
}

/// How the API server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Api {
    /// The name clients use; `api.<cluster name>.internal` where absent.
    pub endpoint: Option<DnsName>,
    /// The address that a single host advertises; that of the default route's interface where absent. Several hosts have
    /// their own each, and this is the address of an `external` load balancer.
    pub address: Option<IpAddr>,
    /// What spreads requests over several control planes.
    #[serde(skip_serializing_if = "LoadBalancer::is_default")]
    pub load_balancer: LoadBalancer,
    /// Its TCP port.
    pub port: u16,
    /// Further names and addresses for its certificate.
    pub certificate_sans: Vec<String>,
}

/// What spreads requests over several control planes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadBalancer {
    /// `HAProxy` on every worker, for that worker.
    #[default]
    NodeLocal,
    /// One of the site's own, at `address`.
    External,
}

impl LoadBalancer {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "it is what serde asks for")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What hardening is in force. All of it, by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Security {
    /// Secrets are encrypted before etcd stores them.
    pub encryption_at_rest: Switch,
    /// The API server writes an audit log.
    pub audit_log: Switch,
}

/// On or off, in words that YAML does not turn into something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// In force.
    Enabled,
    /// Not in force.
    Disabled,
}

/// Settings of the kubelet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Kubelet {
    /// Most pods on a host.
    pub max_pods: u16,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            name: DnsName::known("kubernetes"),
            hosts: Vec::new(),
            ssh: Ssh::default(),
            network: Network::default(),
            api: Api::default(),
            security: Security::default(),
            kubelet: Kubelet::default(),
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            pod_cidr: Cidr::known([10, 244, 0, 0], 16),
            service_cidr: Cidr::known([10, 96, 0, 0], 12),
            dns_domain: DnsName::known("cluster.local"),
            cni: Cni::Bridge,
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            endpoint: None,
            address: None,
            load_balancer: LoadBalancer::default(),
            port: 6443,
            certificate_sans: Vec::new(),
        }
    }
}

impl Default for Security {
    fn default() -> Self {
        Self { encryption_at_rest: Switch::Enabled, audit_log: Switch::Enabled }
    }
}

impl Default for Kubelet {
    fn default() -> Self {
        // The kubelet's own default.
        Self { max_pods: 110 }
    }
}

/// Why `cluster.yaml` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not YAML, or not of the file's shape; the cause names line, column and key.
    #[error("the configuration cannot be read")]
    Syntax {
        /// The parser's words.
        source: serde_yaml::Error,
    },
    /// A version that this program does not know.
    #[error("the configuration has schema {found}, this program knows {SCHEMA}")]
    Schema {
        /// The version in the file.
        found: u32,
    },
    /// Two networks share addresses.
    #[error("pod-cidr {pod} and service-cidr {service} overlap; they need addresses of their own")]
    Overlap {
        /// Pods.
        pod: Cidr,
        /// Services.
        service: Cidr,
    },
    /// A network that is too small or of the wrong family.
    #[error("{key} {cidr} {reason}")]
    Network {
        /// The key in the file.
        key: &'static str,
        /// Its value.
        cidr: Cidr,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl ClusterSpec {
    /// Reads and validates a file's text.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        // An empty file is YAML's null, which no structure is read from.
        let empty = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        let spec: Self = if empty {
            Self::default()
        } else {
            serde_yaml::from_str(text).map_err(|source| ConfigError::Syntax { source })?
        };
        spec.validate()?;
        Ok(spec)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let Network { pod_cidr, service_cidr, .. } = &self.network;
        if self.schema != SCHEMA {
            return Err(ConfigError::Schema { found: self.schema });
        }
        for (key, cidr) in [("pod-cidr", pod_cidr), ("service-cidr", service_cidr)] {
            let wrong = |reason| Err(ConfigError::Network { key, cidr: *cidr, reason });
            if cidr.address().is_ipv6() {
                return wrong("is IPv6, which is not supported yet");
            }
            if cidr.prefix() > 24 {
                return wrong("is too small; a prefix of at most 24 is needed");
            }
        }
        // The service allocator of the API server takes at most 2^20 addresses.
        if service_cidr.prefix() < 12 {
            let reason = "is too large; the API server takes a prefix of at least 12";
            return Err(ConfigError::Network { key: "service-cidr", cidr: *service_cidr, reason });
        }
        if pod_cidr.overlaps(service_cidr) {
            return Err(ConfigError::Overlap { pod: *pod_cidr, service: *service_cidr });
        }
        Ok(())
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
          dns-domain: cluster.local
          cni: bridge
        api:
          endpoint: null
          address: null
          port: 6443
          certificate-sans: []
        security:
          encryption-at-rest: enabled
          audit-log: enabled
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
        insta::assert_snapshot!(refusal("nodes: []"), @"the configuration cannot be read: unknown field `nodes`, expected one of `schema`, `name`, `hosts`, `ssh`, `network`, `api`, `security`, `kubelet`");
        insta::assert_snapshot!(refusal("schema: 2"), @"the configuration has schema 2, this program knows 1");
        insta::assert_snapshot!(refusal("network: {cni: weave}"), @"the configuration cannot be read: network.cni: unknown variant `weave`, expected one of `bridge`, `flannel`, `calico` at line 1 column 16");
        insta::assert_snapshot!(refusal("name: Not_A_Name"), @"the configuration cannot be read: `Not_A_Name` is not a DNS name (RFC 1123: lowercase letters, digits, `-` and `.`)");
    }

    #[test]
    fn refuses_networks_that_cannot_work() {
        insta::assert_snapshot!(refusal("network: {pod-cidr: 10.96.4.0/22}"), @"pod-cidr 10.96.4.0/22 and service-cidr 10.96.0.0/12 overlap; they need addresses of their own");
        insta::assert_snapshot!(refusal("network: {service-cidr: 10.0.0.0/8}"), @"service-cidr 10.0.0.0/8 is too large; the API server takes a prefix of at least 12");
        insta::assert_snapshot!(refusal("network: {service-cidr: 10.96.0.0/25}"), @"service-cidr 10.96.0.0/25 is too small; a prefix of at most 24 is needed");
        insta::assert_snapshot!(refusal("network: {pod-cidr: 'fd00::/48'}"), @"pod-cidr fd00::/48 is IPv6, which is not supported yet");
        insta::assert_snapshot!(refusal("network: {pod-cidr: 10.244.1.0/16}"), @"the configuration cannot be read: network: `10.244.1.0/16` is not a network such as `10.244.0.0/16` (no bits set after the prefix) at line 1 column 10");
    }
}
