//! The API server as a client of etcd: its certificate is signed on this host if it has etcd's authority, or else comes from another host.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};

use super::certificates::{self, Placed};
use super::{authority, layout};
use crate::failure::Advise;
use crate::host::{Host, Owner};
use crate::inputs::Inputs;
use crate::join_material::{self, Pair};
use crate::kubeadm;
use crate::pki::{self, Identity, PrivateKey, Usage};
use crate::steps::{Check, Context, Step, needed};
use kbundle_format::Role;

/// Gives the API server its certificate for etcd.
pub struct EtcdClient;

/// The holder of the certificate, with kubeadm's name for it.
pub(super) fn identity() -> Identity {
    Identity {
        common_name: "kube-apiserver-etcd-client".to_owned(),
        organisation: None,
        names: BTreeSet::new(),
        addresses: BTreeSet::new(),
        usage: Usage::Client,
    }
}

/// The certificate for the API server of a control plane without a member, signed by the authority `handed`.
pub fn issue_client(handed: &Pair) -> anyhow::Result<join_material::EtcdClient> {
    let pair = authority::signer(PrivateKey::from_pem(&handed.key)?).issue(&identity())?;
    let pair = Pair { certificate: pair.certificate, key: pair.key.to_pem() };
    Ok(join_material::EtcdClient { authority: handed.certificate.clone(), pair })
}

fn placed() -> Placed {
    Placed {
        certificate: layout::CLIENT_CERTIFICATE_PATH.to_owned(),
        key: layout::CLIENT_KEY_PATH.to_owned(),
        owner: Owner::ROOT,
        identity: identity(),
    }
}

impl Step for EtcdClient {
    fn id(&self) -> &'static str {
        "etcd-client"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "give the API server a certificate for etcd".to_owned()
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.has(Role::ControlPlane) && inputs.spec.etcd.external.is_none()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let host = &context.host;
        let Some(certificate) = host.read_text(layout::CLIENT_CA_PATH)? else {
            return needed("the certificate of etcd's authority is not in place");
        };
        if expected_authority(context)?.is_some_and(|expected| expected != certificate) {
            return needed("the certificate of etcd's authority is not the one that signs");
        }
        let Some(authority) = pki::public_key(&certificate) else {
            return needed(format!("{} is not a certificate", layout::CLIENT_CA_PATH));
        };
        Ok(match certificates::unfit(host, &placed(), &authority)? {
            Some(reason) => Check::Needed(format!("{}: {reason}", layout::CLIENT_CERTIFICATE_PATH)),
            None => Check::Done,
        })
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        context.host.claim_tree(kubeadm::DIRECTORY)?;
        let certificate =
            expected_authority(context)?.context("this host neither has nor received etcd's authority")?;
        context.host.write_file(layout::CLIENT_CA_PATH, certificate.as_bytes(), 0o644)?;
        let host = &mut context.host;
        if let Some(key) = authority::key(host)? {
            return certificates::issue(host, &placed(), &key);
        }
        let Some(client) = &context.material.etcd_client else {
            bail!("this host did not receive the API server's certificate for etcd")
        };
        write_pair(host, &client.pair)
    }
}

/// The authority's certificate from this host, or from the host that sent the client's certificate.
fn expected_authority(context: &Context<'_>) -> anyhow::Result<Option<String>> {
    let here = context.host.read_text(layout::CA_PATH)?;
    Ok(here.or_else(|| context.material.etcd_client.as_ref().map(|client| client.authority.clone())))
}

/// Renews the certificate if the host has etcd's authority; otherwise takes the one that was `handed`.
pub fn renew_client(host: &mut Host, handed: Option<&join_material::EtcdClient>) -> anyhow::Result<()> {
    if let Some(key) = authority::key(host)? {
        return certificates::renew(host, &placed(), &key);
    }
    let Some(client) = handed else {
        return Err(anyhow::anyhow!("the authority of etcd is on other hosts, which have to sign it"))
            .hint("run it for the whole cluster: `kinstall certs renew apiserver-etcd-client --config cluster.yaml`");
    };
    write_pair(host, &client.pair)
}

fn write_pair(host: &mut Host, pair: &Pair) -> anyhow::Result<()> {
    host.write_file(layout::CLIENT_KEY_PATH, pair.key.as_bytes(), 0o600)?;
    host.own(layout::CLIENT_KEY_PATH, Owner::ROOT)?;
    Ok(host.write_file(layout::CLIENT_CERTIFICATE_PATH, pair.certificate.as_bytes(), 0o644)?)
}
