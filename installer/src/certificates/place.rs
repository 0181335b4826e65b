//! Where the certificates of a host are, by its roles.

use std::fmt;
use std::str::FromStr;

use kbundle_format::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::etcd_layout as etcd;
use crate::host::{Change, Host, HostError};
use crate::kubeadm::{self, AUTHORITY_PATH, PKI, Part, credential};
use crate::kubectl::{ADMIN_KUBECONFIG, KUBELET_KUBECONFIG};
use crate::topology::Member;

/// The end of the path of a copy of the administrator's kubeconfig.
pub const KUBECONFIG_COPY: &str = "/.kube/config";
const FRONT_PROXY_AUTHORITY: &str = "/etc/kubernetes/pki/front-proxy-ca.crt";
/// The certificate that a kubelet signs for itself when it has none to serve with.
pub const KUBELET_SERVER: &str = "/var/lib/kubelet/pki/kubelet.crt";
/// The key to it.
pub const KUBELET_SERVER_KEY: &str = "/var/lib/kubelet/pki/kubelet.key";
/// The certificate that the cluster signs for the kubelet, if the kubelet asks for one.
const KUBELET_SERVER_SIGNED: &str = "/var/lib/kubelet/pki/kubelet-server-current.pem";

/// Who renews a certificate before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RenewedBy {
    /// `kinstall certs renew`, and the timer that runs it.
    Kinstall,
    /// The kubelet, by itself.
    Kubelet,
    /// Nobody: it is an authority.
    Nobody,
}

/// A certificate that `kinstall certs renew` renews, by the name that it has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Renewable {
    /// etcd's member as a server.
    EtcdServer,
    /// etcd's member among its peers.
    EtcdPeer,
    /// The API server as a client of etcd.
    ApiserverEtcdClient,
    /// The API server.
    Apiserver,
    /// The API server as a client of kubelets.
    ApiserverKubeletClient,
    /// The API server as a client of extension servers.
    FrontProxyClient,
    /// The administrator's kubeconfig, and the copies of it that kinstall made.
    #[serde(rename = "admin.conf")]
    AdminConf,
    /// The kubeconfig that no role binding can fail, from 1.29 on.
    #[serde(rename = "super-admin.conf")]
    SuperAdminConf,
    /// The controller manager's kubeconfig.
    #[serde(rename = "controller-manager.conf")]
    ControllerManagerConf,
    /// The scheduler's kubeconfig.
    #[serde(rename = "scheduler.conf")]
    SchedulerConf,
    /// The certificate that the kubelet signed for itself.
    KubeletServer,
}

impl Renewable {
    /// All of them, in the order in which they are made.
    pub const ALL: [Self; 11] = [
        Self::EtcdServer,
        Self::EtcdPeer,
        Self::ApiserverEtcdClient,
        Self::Apiserver,
        Self::ApiserverKubeletClient,
        Self::FrontProxyClient,
        Self::AdminConf,
        Self::SuperAdminConf,
        Self::ControllerManagerConf,
        Self::SchedulerConf,
        Self::KubeletServer,
    ];

    /// Its name; kubeadm's own name for the certificates that kubeadm makes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EtcdServer => "etcd-server",
            Self::EtcdPeer => "etcd-peer",
            Self::ApiserverEtcdClient => "apiserver-etcd-client",
            Self::Apiserver => "apiserver",
            Self::ApiserverKubeletClient => "apiserver-kubelet-client",
            Self::FrontProxyClient => "front-proxy-client",
            Self::AdminConf => "admin.conf",
            Self::SuperAdminConf => "super-admin.conf",
            Self::ControllerManagerConf => "controller-manager.conf",
            Self::SchedulerConf => "scheduler.conf",
            Self::KubeletServer => "kubelet-server",
        }
    }
}

impl fmt::Display for Renewable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Renewable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.into_iter().map(Self::as_str).collect();
            format!("kinstall renews no certificate of this name; it renews {}", names.join(", "))
        })
    }
}

/// The authority that has to have signed a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// That of the certificate in the file with this path.
    File(&'static str),
    /// The last certificate in the certificate's own file.
    Own,
}

/// A certificate's place on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePlace {
    /// What it is called.
    pub name: String,
    /// The file: PEM, or a kubeconfig that holds it.
    pub path: String,
    /// The authority that has to have signed it.
    pub authority: Authority,
    /// Who renews it.
    pub renewed_by: RenewedBy,
}

impl CertificatePlace {
    fn new(name: &str, path: impl Into<String>, authority: Authority, renewed_by: RenewedBy) -> Self {
        Self { name: name.to_owned(), path: path.into(), authority, renewed_by }
    }

    fn renewable(name: Renewable, path: impl Into<String>, authority: &'static str) -> Self {
        Self::new(name.as_str(), path, Authority::File(authority), RenewedBy::Kinstall)
    }

    fn authority(name: &str, path: &'static str) -> Self {
        Self::new(name, path, Authority::Own, RenewedBy::Nobody)
    }

    /// Its name in `certs renew`; `None` if `certs renew` does not renew it.
    #[must_use]
    pub fn as_renewable(&self) -> Option<Renewable> {
        self.name.parse().ok().filter(|_| self.renewed_by == RenewedBy::Kinstall)
    }
}

/// The places on a host that is `this` member of its cluster. A place that its roles need is listed even if the file is gone.
pub fn places(host: &Host, this: &Member) -> Result<Vec<CertificatePlace>, HostError> {
    let mut places = Vec::new();
    if this.has(Role::Etcd) {
        places.extend([
            CertificatePlace::authority("etcd-ca", etcd::CA_PATH),
            CertificatePlace::renewable(
                Renewable::EtcdServer,
                format!("{}/server.crt", etcd::PKI_DIRECTORY),
                etcd::CA_PATH,
            ),
            CertificatePlace::renewable(
                Renewable::EtcdPeer,
                format!("{}/peer.crt", etcd::PKI_DIRECTORY),
                etcd::CA_PATH,
            ),
        ]);
    }
    if this.is_node() {
        places.push(CertificatePlace::authority("ca", AUTHORITY_PATH));
    }
    if this.has(Role::ControlPlane) {
        places.extend(of_control_plane(host));
    }
    if this.is_node() {
        places.extend(of_kubelet(host)?);
    }
    Ok(places)
}

fn of_control_plane(host: &Host) -> Vec<CertificatePlace> {
    let below = |name: &str| format!("{PKI}/{name}.crt");
    let kubeconfig =
        |name: Renewable| CertificatePlace::renewable(name, format!("{}/{name}", kubeadm::DIRECTORY), AUTHORITY_PATH);
    let mut places = vec![
        CertificatePlace::authority("front-proxy-ca", FRONT_PROXY_AUTHORITY),
        CertificatePlace::authority("apiserver-etcd-ca", etcd::CLIENT_CA_PATH),
        CertificatePlace::renewable(
            Renewable::ApiserverEtcdClient,
            etcd::CLIENT_CERTIFICATE_PATH,
            etcd::CLIENT_CA_PATH,
        ),
        CertificatePlace::renewable(Renewable::Apiserver, below("apiserver"), AUTHORITY_PATH),
        CertificatePlace::renewable(
            Renewable::ApiserverKubeletClient,
            below("apiserver-kubelet-client"),
            AUTHORITY_PATH,
        ),
        CertificatePlace::renewable(Renewable::FrontProxyClient, below("front-proxy-client"), FRONT_PROXY_AUTHORITY),
        kubeconfig(Renewable::AdminConf),
        kubeconfig(Renewable::ControllerManagerConf),
        kubeconfig(Renewable::SchedulerConf),
    ];
    // Only the first control plane has it, in newer versions, and administrators are told to put it elsewhere.
    let super_admin = kubeconfig(Renewable::SuperAdminConf);
    places.extend(host.exists(&super_admin.path).then_some(super_admin));
    let copies = kubeconfig_copies(host).into_iter();
    places.extend(
        copies.map(|path| {
            CertificatePlace::new("kubeconfig", path, Authority::File(AUTHORITY_PATH), RenewedBy::Kinstall)
        }),
    );
    places
}

/// Copies of the administrator's kubeconfig that kinstall wrote and that are still there.
#[must_use]
pub fn kubeconfig_copies(host: &Host) -> Vec<String> {
    let written = host.ledger().changes().iter().filter_map(|change| match change {
        Change::CreatedFile { path } | Change::ReplacedFile { path, .. } => Some(path),
        _ => None,
    });
    let written = written.filter(|path| path.ends_with(KUBECONFIG_COPY) && *path != ADMIN_KUBECONFIG);
    written.filter(|path| host.exists(path)).cloned().collect()
}

fn of_kubelet(host: &Host) -> Result<Vec<CertificatePlace>, HostError> {
    let text = host.read_text(KUBELET_KUBECONFIG)?.unwrap_or_default();
    let client = match credential(&text) {
        Some([Part::Elsewhere(path), _]) => path,
        _ => KUBELET_KUBECONFIG.to_owned(),
    };
    let mut places =
        vec![CertificatePlace::new("kubelet-client", client, Authority::File(AUTHORITY_PATH), RenewedBy::Kubelet)];
    if host.exists(KUBELET_SERVER_SIGNED) {
        let signed = Authority::File(AUTHORITY_PATH);
        places.push(CertificatePlace::new("kubelet-server-signed", KUBELET_SERVER_SIGNED, signed, RenewedBy::Kubelet));
    } else if host.exists(KUBELET_SERVER) {
        let name = Renewable::KubeletServer.as_str();
        places.push(CertificatePlace::new(name, KUBELET_SERVER, Authority::Own, RenewedBy::Kinstall));
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_on_the_command_line_and_on_the_wire() {
        for name in Renewable::ALL {
            assert_eq!(name.as_str().parse(), Ok(name));
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        }
        assert!("ca".parse::<Renewable>().unwrap_err().contains("etcd-peer"));
    }
}
