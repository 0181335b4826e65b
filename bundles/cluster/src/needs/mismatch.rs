//! Why a bundle does not suit a cluster, and what adds the missing parts.

use kbundle_cli::yaml::Finding;
use kbundle_format::host_file::HostPath;
use kbundle_format::{ComponentName, KubeVersion};

use super::{LOAD_BALANCER_IMAGE, MissingImage, NetworkError, VIRTUAL_ADDRESS_IMAGE};
use crate::config::{Architecture, Cni, ConfigError, Problem};
use crate::version_rules::{OLDEST_KUBERNETES, pairing};

/// Why a bundle does not fit a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The bundle is for other hosts.
    #[error("the bundle has nothing for linux/{}, which is the platform of hosts[{index}]; build it with `{}`", arch.as_str(), arch_flags(carried, *arch))]
    NoArchitecture {
        /// The host's architecture.
        arch: Architecture,
        /// The architectures of the bundle.
        carried: Vec<String>,
        /// The host's index under `hosts`.
        index: usize,
    },
    /// The host has another architecture than in cluster.yaml.
    #[error("the host has the architecture {found}, and hosts[{index}].arch says {}; correct the one or the other", stated.as_str())]
    OtherArchitecture {
        /// The architecture in cluster.yaml.
        stated: Architecture,
        /// The architecture of the host.
        found: String,
        /// Its index under `hosts`.
        index: usize,
    },
    /// The bundle's Kubernetes is too old.
    #[error("Kubernetes {version} is too old for this kinstall; the oldest that it installs is {OLDEST_KUBERNETES}")]
    TooOld {
        /// The bundle's version.
        version: KubeVersion,
    },
    /// The bundle has a component that its Kubernetes does not accept.
    #[error(transparent)]
    Pairing(#[from] pairing::TooOld),
    /// kube-proxy does not have the wanted mode.
    #[error(
        "the kube-proxy of Kubernetes {version} has no mode nftables yet, which needs {first}; set network.kube-proxy.mode to iptables"
    )]
    NoNftables {
        /// The bundle's version.
        version: KubeVersion,
        /// The first version that has it.
        first: KubeVersion,
    },
    /// Kubernetes does not accept a setting that is passed on to it.
    #[error("{0}")]
    Settings(ConfigError),
    /// A node has too few addresses for its pods.
    #[error("{0}")]
    TooFewAddresses(Problem),
    /// The bundle lacks binaries.
    #[error("the bundle has no {} for this host's platform", components.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", "))]
    NoProgram {
        /// The components.
        components: Vec<ComponentName>,
    },
    /// The bundle lacks an image.
    #[error(transparent)]
    NoImage(#[from] MissingImage),
    /// The bundle's network and the configuration contradict each other.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The bundle lacks an add-on.
    #[error(
        "the bundle has no add-on {name}, which the configuration lists under addons; build it with `--addon {name}`"
    )]
    NoAddon {
        /// Its name.
        name: String,
        /// Its index under `addons`.
        index: usize,
    },
    /// An add-on needs another one first, which is not listed.
    #[error("{of} needs {name} first, which addons does not list; add {name} to addons in cluster.yaml")]
    NotListed {
        /// The add-on.
        of: String,
        /// The add-on that it needs.
        name: String,
        /// The index of `of` under `addons`.
        index: usize,
    },
    /// A file of the site has a path that kinstall uses itself.
    #[error(
        "the bundle has a file of the site for {path}, which is kinstall's own; choose another path in bundle.yaml, or a setting of cluster.yaml"
    )]
    OwnPath {
        /// Its path on hosts.
        path: HostPath,
    },
    /// The bundle lacks helm, which installs charts.
    #[error(
        "the bundle has no helm for this host's platform, which charts are installed with; build it for that platform as well"
    )]
    NoHelm,
    /// The bundle lacks the load balancer.
    #[error(
        "the bundle has no haproxy image for this host's platform, which the load balancer `node-local` is; build it without \
         `--load-balancer none`, or set api.load-balancer to `external` or `vip`"
    )]
    NoLoadBalancer,
    /// The bundle lacks kube-vip, which moves the address.
    #[error(
        "the bundle has no kube-vip image for this host's platform, which the load balancer `vip` is; build it with \
         `--addon kube-vip`, or set api.load-balancer to `node-local`"
    )]
    NoVirtualAddress,
}

/// The architectures in a bundle, and one more.
fn architectures(carried: &[String], further: Architecture) -> impl Iterator<Item = &str> {
    carried.iter().map(String::as_str).chain([further.as_str()])
}

fn arch_flags(carried: &[String], further: Architecture) -> String {
    architectures(carried, further).map(|arch| format!("--arch {arch}")).collect::<Vec<_>>().join(" ")
}

/// The setting of a build that adds what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// The flag of `kbundle build`.
    pub flag: String,
    /// The key of bundle.yaml.
    pub key: String,
}

impl Remedy {
    fn new(flag: impl Into<String>, key: impl Into<String>) -> Self {
        Self { flag: flag.into(), key: key.into() }
    }
}

impl Mismatch {
    /// The mismatch as text, with the keys of cluster.yaml that it concerns.
    #[must_use]
    pub fn findings(self) -> Vec<Finding> {
        let place = self.place();
        match self {
            Self::Settings(error) => error.findings(),
            Self::TooFewAddresses(problem) => vec![problem.into()],
            error => vec![Finding { place, message: error.to_string(), position: None }],
        }
    }

    /// The key of cluster.yaml that needs the missing part; empty if there is no single key.
    fn place(&self) -> String {
        match self {
            Self::NoArchitecture { index, .. } | Self::OtherArchitecture { index, .. } => {
                format!("hosts[{index}].arch")
            }
            Self::NoAddon { index, .. } | Self::NotListed { index, .. } => format!("addons[{index}]"),
            Self::Network(NetworkError::Settings { .. }) => "network.calico".to_owned(),
            Self::Network(NetworkError::Another { .. }) => "network.cni".to_owned(),
            Self::NoNftables { .. } => "network.kube-proxy.mode".to_owned(),
            Self::NoVirtualAddress => "api.load-balancer".to_owned(),
            _ => String::new(),
        }
    }

    /// The setting that adds it to a bundle; `None` if another bundle would not help, or if no single setting does.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::NoArchitecture { arch, carried, .. } => Remedy::new(
                arch_flags(carried, *arch),
                format!("arch: [{}]", architectures(carried, *arch).collect::<Vec<_>>().join(", ")),
            ),
            Self::NoNftables { first, .. } => Remedy::new(format!("--k8s {first}"), format!("kubernetes: {first}")),
            Self::Network(NetworkError::Another { asked, .. }) => {
                let cni = if *asked == Cni::None { Cni::Bridge } else { *asked };
                Remedy::new(format!("--cni {}", cni.as_str()), format!("cni: {}", cni.as_str()))
            }
            Self::NoAddon { name, .. } => Remedy::new(format!("--addon {name}"), format!("addons: [{name}]")),
            Self::NoLoadBalancer => Remedy::new(
                format!("--load-balancer {LOAD_BALANCER_IMAGE}"),
                format!("load-balancer: {LOAD_BALANCER_IMAGE}"),
            ),
            Self::NoVirtualAddress => {
                Remedy::new(format!("--addon {VIRTUAL_ADDRESS_IMAGE}"), format!("addons: [{VIRTUAL_ADDRESS_IMAGE}]"))
            }
            _ => return None,
        })
    }
}
