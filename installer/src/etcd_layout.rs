//! Where etcd's files are and where etcd listens. etcd itself, kubeadm's configuration and the health checks agree by these values.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The unit.
pub const UNIT: &str = "etcd.service";
/// The unit's file.
pub const UNIT_PATH: &str = "/etc/systemd/system/etcd.service";
/// The user it runs as.
pub const USER: &str = "etcd";
/// Its data: the log and the database.
pub const DATA_DIRECTORY: &str = "/var/lib/etcd";
/// Its configuration.
pub const CONFIG_PATH: &str = "/etc/etcd/etcd.yaml";
/// Keys and certificates of the member and its authority.
pub const PKI_DIRECTORY: &str = "/etc/etcd/pki";
/// The authority's key; only root may read it.
pub const CA_KEY_PATH: &str = "/etc/etcd/pki/ca.key";
/// The authority's certificate, for the members.
pub const CA_PATH: &str = "/etc/etcd/pki/ca.crt";

/// The authority's certificate, for the API server.
pub const CLIENT_CA_PATH: &str = "/etc/kubernetes/pki/etcd/ca.crt";
/// The API server's certificate as a client of etcd, in the place where kubeadm writes it and looks for it.
pub const CLIENT_CERTIFICATE_PATH: &str = "/etc/kubernetes/pki/apiserver-etcd-client.crt";
/// The key to it.
pub const CLIENT_KEY_PATH: &str = "/etc/kubernetes/pki/apiserver-etcd-client.key";

const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
const METRICS_PORT: u16 = 2381;
/// Ports of a member while kinstall alone uses it: no API server and no other member knows them.
const PRIVATE_CLIENT_PORT: u16 = 22379;
const PRIVATE_PEER_PORT: u16 = 22380;
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where clients reach the member at `address`.
#[must_use]
pub fn client_url(address: IpAddr) -> String {
    url("https", address, CLIENT_PORT)
}

/// Where other members reach the member at `address`.
#[must_use]
pub fn peer_url(address: IpAddr) -> String {
    url("https", address, PEER_PORT)
}

/// Where metrics and health are served without a certificate: to this host only.
#[must_use]
pub fn metrics_url() -> String {
    url("http", LOOPBACK, METRICS_PORT)
}

/// Where kinstall reaches a member that nobody else is to use.
#[must_use]
pub fn private_client_url() -> String {
    url("https", LOOPBACK, PRIVATE_CLIENT_PORT)
}

/// Where such a member would listen for others.
#[must_use]
pub fn private_peer_url() -> String {
    url("https", LOOPBACK, PRIVATE_PEER_PORT)
}

fn url(scheme: &str, address: IpAddr, port: u16) -> String {
    format!("{scheme}://{}", SocketAddr::new(address, port))
}
