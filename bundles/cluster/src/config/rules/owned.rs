//! Flags and fields that kinstall or kubeadm decides, so that cluster.yaml cannot set them as they are; each with the reason.

use serde_json::Value;

use crate::config::Fields;
use crate::kube_types::Program;

const BY_KUBEADM: &str = "kubeadm sets it to a file that it makes";
const OF_ETCD: &str = "kinstall sets it; an etcd of the site's own is `etcd.external`";
const OF_SERVICES: &str = "it is `network.service-cidr`";
const OF_GATES: &str = "it is `feature-gates` beside `extra-args`";
const OF_OIDC: &str = "it is a key of `api-server.oidc`";
const OF_ADMISSION: &str = "it is a key of `api-server.admission`";

/// Names of flags or fields with the reason why they are refused; a name that ends in `*` is a prefix.
pub type Owned = &'static [(&'static str, &'static str)];

const OF_API_SERVER: Owned = &[
    ("admission-control-config-file", OF_ADMISSION),
    ("advertise-address", "it is the address of each control plane"),
    ("anonymous-auth", "hosts that join and load balancers ask without a credential, and RBAC gives them nothing else"),
    ("audit-log-path", "kinstall sets it to a directory that it makes; `security.audit-log` switches the log"),
    ("audit-policy-file", "it is `api-server.audit-policy`"),
    ("client-ca-file", BY_KUBEADM),
    ("disable-admission-plugins", OF_ADMISSION),
    ("enable-admission-plugins", OF_ADMISSION),
    ("enable-bootstrap-token-auth", "hosts join with such tokens"),
    ("encryption-provider-config", "kinstall makes the key; `security.encryption-at-rest` switches it"),
    ("etcd-*", OF_ETCD),
    ("feature-gates", OF_GATES),
    ("kubelet-client-*", BY_KUBEADM),
    ("oidc-*", OF_OIDC),
    ("proxy-client-*", BY_KUBEADM),
    ("requestheader-*", BY_KUBEADM),
    ("secure-port", "it is `api.port`"),
    ("service-account-issuer", "it is `api-server.service-account-issuers`"),
    ("service-account-key-file", BY_KUBEADM),
    ("service-account-signing-key-file", BY_KUBEADM),
    ("service-cluster-ip-range", OF_SERVICES),
    ("service-node-port-range", "it is `api-server.service-node-ports`"),
    ("tls-cert-file", BY_KUBEADM),
    ("tls-private-key-file", BY_KUBEADM),
];

const OF_CONTROLLER_MANAGER: Owned = &[
    ("allocate-node-cidrs", "every node gets a part of `network.pod-cidr`"),
    ("authentication-kubeconfig", BY_KUBEADM),
    ("authorization-kubeconfig", BY_KUBEADM),
    ("client-ca-file", BY_KUBEADM),
    ("cluster-cidr", "it is `network.pod-cidr`"),
    ("cluster-name", "it is `name`"),
    ("cluster-signing-cert-file", BY_KUBEADM),
    ("cluster-signing-key-file", BY_KUBEADM),
    ("feature-gates", OF_GATES),
    ("kubeconfig", BY_KUBEADM),
    ("node-cidr-mask-size", "it is `network.node-cidr-mask-size`"),
    ("node-cidr-mask-size-ipv4", "it is `network.node-cidr-mask-size`"),
    ("node-cidr-mask-size-ipv6", "it is `network.node-cidr-mask-size-ipv6`"),
    ("requestheader-client-ca-file", BY_KUBEADM),
    ("root-ca-file", BY_KUBEADM),
    ("service-account-private-key-file", BY_KUBEADM),
    ("service-cluster-ip-range", OF_SERVICES),
];

const OF_SCHEDULER: Owned = &[
    ("authentication-kubeconfig", BY_KUBEADM),
    ("authorization-kubeconfig", BY_KUBEADM),
    ("feature-gates", OF_GATES),
    ("kubeconfig", BY_KUBEADM),
];

const FORM: &str = "kinstall writes it";
const GUARDED: &str = "kinstall keeps the kubelet's API closed to all but the API server";
const KEPT_IMAGES: &str =
    "images that are collected cannot be pulled again here, so that kinstall switches the collection off";

/// The fields of the kubelet's configuration that cannot be given, by their places, each with the reason.
pub const KUBELET: Owned = &[
    ("apiVersion", FORM),
    ("authentication.anonymous", GUARDED),
    ("authentication.webhook.enabled", GUARDED),
    ("authentication.x509", BY_KUBEADM),
    ("authorization.mode", GUARDED),
    ("cgroupDriver", "it is systemd on every host, and containerd is told the same"),
    ("clusterDomain", "it is `network.dns-domain`"),
    ("containerRuntimeEndpoint", "kinstall uses the containerd of the bundle"),
    ("enableServer", "the API server reaches the kubelet by it"),
    ("failCgroupV1", "kinstall sets it on each host by what that host has"),
    ("healthzBindAddress", "kubeadm asks there whether the kubelet runs"),
    ("healthzPort", "kubeadm asks there whether the kubelet runs"),
    ("imageGCHighThresholdPercent", KEPT_IMAGES),
    ("imageMaximumGCAge", KEPT_IMAGES),
    ("imageServiceEndpoint", "kinstall uses the containerd of the bundle"),
    ("kind", FORM),
    ("maxPods", "it is `max-pods` beside `config`"),
    ("podCIDR", "the controller manager gives each node its part of `network.pod-cidr`"),
    ("port", "every kubelet listens on 10250"),
    ("protectKernelDefaults", "kinstall sets it on each host by what that host has"),
    ("readOnlyPort", GUARDED),
    ("registerNode", "every host with a kubelet is a node"),
    ("registerWithTaints", "it is `taints` of a host"),
    ("resolvConf", "kinstall sets it on each host by what that host has"),
    ("staticPodPath", "kubeadm puts the control plane there"),
];

/// The fields of kube-proxy's configuration that cannot be given, by their places, each with the reason.
pub const KUBE_PROXY: Owned = &[
    ("apiVersion", FORM),
    ("clientConnection.kubeconfig", BY_KUBEADM),
    ("clusterCIDR", "it is `network.pod-cidr`"),
    ("hostnameOverride", "kubeadm sets it to the name of each node"),
    ("ipvs.strictARP", "it is `network.kube-proxy.strict-arp`"),
    ("kind", FORM),
    ("mode", "it is `network.kube-proxy.mode`"),
];

/// Why a flag of `program` cannot be given by its name; `None` if it can.
#[must_use]
pub fn flag(program: Program, name: &str) -> Option<&'static str> {
    reason(
        match program {
            Program::ApiServer => OF_API_SERVER,
            Program::ControllerManager => OF_CONTROLLER_MANAGER,
            Program::Scheduler => OF_SCHEDULER,
        },
        name,
    )
}

/// Removes and returns the value at a place of fields; also removes maps that become empty.
pub fn remove(fields: &mut Fields, path: &str) -> Option<Value> {
    let Some((first, rest)) = path.split_once('.') else { return fields.remove(path) };
    let inner = fields.get_mut(first)?.as_object_mut()?;
    let value = remove(inner, rest);
    if value.is_some() && inner.is_empty() {
        fields.remove(first);
    }
    value
}

fn reason(owned: Owned, name: &str) -> Option<&'static str> {
    let is_meant = |pattern: &str| pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start));
    owned.iter().find(|(pattern, _)| is_meant(pattern)).map(|(_, reason)| *reason)
}
