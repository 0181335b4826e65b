//! The rule of each key.

use std::borrow::Cow;

use super::Effect;

const NEW_CLUSTER: &str = "set up a new cluster with it and move the applications there";
const ADD_AGAIN: &str = "remove the host with `kinstall remove`, and add it again as it is to be";
const API_SERVERS: &str = "the API servers, one after another";
const KUBELETS: &str = "kubelets, one after another; pods live on";

const fn rolled_out(how: &'static str, restarts: &'static str) -> Effect {
    Effect::RolledOut { how: Cow::Borrowed(how), restarts: Some(Cow::Borrowed(restarts)) }
}

const fn without_restart(how: &'static str) -> Effect {
    Effect::RolledOut { how: Cow::Borrowed(how), restarts: None }
}

const fn refused(reason: &'static str, by_hand: &'static str) -> Effect {
    Effect::Refused { reason: Cow::Borrowed(reason), by_hand: Cow::Borrowed(by_hand) }
}

const fn new_hosts(note: &'static str) -> Effect {
    Effect::NewHosts { note: Cow::Borrowed(note) }
}

const API_SERVER: Effect = rolled_out("the static pods of the API servers", API_SERVERS);
const PATCHES: Effect = rolled_out("the static pods that the patch is for", "these pods, one after another");

/// A host that is new in the list.
pub const HOST_ADDED: Effect = without_restart("the host joins");
/// A host that was removed from the list.
pub const HOST_GONE: Effect =
    new_hosts("the run leaves it in the cluster, if it is still there; `kinstall remove` takes it out");
/// A list of hosts where there was none, or the reverse.
pub const LIST_OF_HOSTS: Effect = refused(
    "a cluster without a list has the host's own name in its certificates and in etcd",
    "put the list back as it was, or back the cluster up and set up a new one",
);
/// For a key without a rule. A test ensures that there is none.
pub const UNKNOWN: Effect = refused("this kinstall has no rule for it", "put the former value back");

/// The rules by place. No place is inside of another.
pub const RULES: &[(&str, Effect)] = &[
    ("schema", refused("it is the version of the file's form", "write `schema: 1`")),
    ("name", refused("certificates, kubeconfigs and the API's name have it", NEW_CLUSTER)),
    (
        "hosts[].name",
        new_hosts("a new name is a new host, which joins; one that is gone stays until `kinstall remove`"),
    ),
    ("hosts[].address", refused("certificates, etcd and the node have it", ADD_AGAIN)),
    ("hosts[].second-address", refused("certificates, etcd and the node have it", ADD_AGAIN)),
    ("hosts[].arch", without_restart("it is compared with the host")),
    ("hosts[].roles", refused("other programs would have to run there", ADD_AGAIN)),
    ("hosts[].ssh", without_restart("kinstall connects by it")),
    (
        "hosts[].labels",
        without_restart("the node's labels; one that kinstall gave is removed when it is no longer listed"),
    ),
    (
        "hosts[].taints",
        without_restart("the node's taints; one that kinstall gave is removed when it is no longer listed"),
    ),
    ("hosts[].kubelet", rolled_out("the configuration of this host's kubelet", "this host's kubelet; pods live on")),
    ("hosts[].kubeadm-patches", PATCHES),
    ("ssh", without_restart("kinstall connects by it")),
    ("network.pod-cidr", refused("every pod has its address from it", NEW_CLUSTER)),
    ("network.service-cidr", refused("every Service has its address from it, that of the DNS too", NEW_CLUSTER)),
    ("network.node-cidr-mask-size", refused("every node has its part of that size", NEW_CLUSTER)),
    ("network.node-cidr-mask-size-ipv6", refused("every node has its part of that size", NEW_CLUSTER)),
    ("network.dns-domain", refused("pods look names up in it, and certificates have it", NEW_CLUSTER)),
    ("network.cni", refused("pods that run are connected by it", NEW_CLUSTER)),
    ("network.calico", refused("pods that run are connected by it", NEW_CLUSTER)),
    ("network.kube-proxy.mode", refused("rules of the former mode would stay in the kernels", NEW_CLUSTER)),
    ("network.kube-proxy.strict-arp", rolled_out("kube-proxy's configuration", "kube-proxy, host by host")),
    ("network.kube-proxy.config", rolled_out("kube-proxy's configuration", "kube-proxy, host by host")),
    ("registries", rolled_out("containerd's registries", "containerd; containers live on")),
    ("addons", without_restart("add-ons are applied and removed; charts that are no longer listed stay")),
    ("addon-settings", without_restart("the add-ons are applied again")),
    (
        "api.endpoint",
        refused("certificates and kubeconfigs of all hosts have it", "add the new name to `api.certificate-sans`"),
    ),
    (
        "api.address",
        refused("certificates and kubeconfigs of all hosts have it", "add the new address to `api.certificate-sans`"),
    ),
    ("api.interface", refused("the address would leave the API servers for a while", NEW_CLUSTER)),
    ("api.load-balancer", refused("kubelets of all hosts reach the API by it", NEW_CLUSTER)),
    ("api.port", refused("kubeconfigs of all hosts have it", NEW_CLUSTER)),
    ("api.certificate-sans", rolled_out("the certificates of the API servers", API_SERVERS)),
    ("security.encryption-at-rest", refused("Secrets in etcd were stored the former way", NEW_CLUSTER)),
    ("security.audit-log", API_SERVER),
    ("security.pod-security", API_SERVER),
    ("kubelet", rolled_out("the configuration of the kubelets", KUBELETS)),
    ("api-server", API_SERVER),
    (
        "controller-manager",
        rolled_out("the static pods of the controller managers", "the controller managers, one after another"),
    ),
    ("scheduler", rolled_out("the static pods of the schedulers", "the schedulers, one after another")),
    ("etcd", refused("the cluster's state lies there", NEW_CLUSTER)),
    ("kubeadm-patches", PATCHES),
    (
        "host-preparation",
        without_restart("hosts are made fit where it is enabled; `kinstall reset` alone takes that back"),
    ),
];
