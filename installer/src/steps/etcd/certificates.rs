//! etcd's authority and the three certificates that it signs on a host: server, peer, and the API server as a client.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::Context as _;

use super::layout;
use crate::host::{Host, HostError, Owner};
use crate::pki::{self, Authority, Identity, PrivateKey, Usage};

const AUTHORITY: &str = "etcd-ca";

/// A certificate and its key on this host.
struct Placed {
    certificate: String,
    key: String,
    owner: Owner,
    identity: Identity,
}

/// The certificates of a member with this name and address, whose keys etcd's user reads; and the API server's.
fn wanted(name: &str, address: IpAddr, etcd: Owner) -> Vec<Placed> {
    let loopback = ["127.0.0.1", "::1"].map(|text| text.parse().expect("an address"));
    let identity = |extra: &[&str], addresses: &[IpAddr]| Identity {
        common_name: name.to_owned(),
        organisation: None,
        names: extra.iter().copied().chain([name]).map(str::to_owned).collect(),
        addresses: addresses.iter().copied().chain([address]).collect(),
        usage: Usage::Server,
    };
    let member = |kind: &str, identity| Placed {
        certificate: format!("{}/{kind}.crt", layout::PKI_DIRECTORY),
        key: format!("{}/{kind}.key", layout::PKI_DIRECTORY),
        owner: etcd,
        identity,
    };
    let client = Identity {
        common_name: "kube-apiserver-etcd-client".to_owned(),
        organisation: None,
        names: BTreeSet::new(),
        addresses: BTreeSet::new(),
        usage: Usage::Client,
    };
    vec![
        member("server", identity(&["localhost"], &loopback)),
        member("peer", identity(&[], &[])),
        Placed {
            certificate: layout::CLIENT_CERTIFICATE_PATH.to_owned(),
            key: layout::CLIENT_KEY_PATH.to_owned(),
            owner: Owner::ROOT,
            identity: client,
        },
    ]
}

/// Why the certificates on the host will not do, or `None` when they will.
pub fn flaw(host: &Host, name: &str, address: IpAddr, etcd: Owner) -> anyhow::Result<Option<String>> {
    let Some(authority) = authority_key(host)? else { return Ok(Some("etcd has no authority yet".to_owned())) };
    let certificates = [layout::CA_PATH, layout::CLIENT_CA_PATH].map(|path| host.read_text(path));
    let [for_members, for_clients] = certificates;
    if for_members?.is_none_or(|text| for_clients.ok().flatten() != Some(text)) {
        return Ok(Some("the authority's certificate is not in place".to_owned()));
    }
    for placed in wanted(name, address, etcd) {
        if let Some(reason) = unfit(host, &placed, &authority)? {
            return Ok(Some(format!("{}: {reason}", placed.certificate)));
        }
    }
    Ok(None)
}

/// Makes what is missing or will not do. An authority that is there stays.
pub fn make(host: &mut Host, name: &str, address: IpAddr, etcd: Owner) -> anyhow::Result<()> {
    let key = if let Some(key) = authority_key(host)? {
        key
    } else {
        let key = PrivateKey::generate()?;
        write_key(host, layout::CA_KEY_PATH, &key, Owner::ROOT)?;
        key
    };
    let authority = Authority::new(AUTHORITY, key.clone());
    // Certificates already given out stay good: they name the authority and its key, not this certificate of it.
    let certificate = match host.read_text(layout::CA_PATH)? {
        Some(certificate) => certificate,
        None => authority.certificate()?,
    };
    for path in [layout::CA_PATH, layout::CLIENT_CA_PATH] {
        if !host.has_file(path, certificate.as_bytes(), 0o644)? {
            host.write_file(path, certificate.as_bytes(), 0o644)?;
        }
    }
    for placed in wanted(name, address, etcd) {
        if unfit(host, &placed, &key)?.is_some() {
            let pair = authority.issue(&placed.identity)?;
            write_key(host, &placed.key, &pair.key, placed.owner)?;
            host.write_file(&placed.certificate, pair.certificate.as_bytes(), 0o644)?;
        }
    }
    Ok(())
}

fn unfit(host: &Host, placed: &Placed, authority: &PrivateKey) -> anyhow::Result<Option<String>> {
    let (Some(certificate), Some(key)) = (host.read_text(&placed.certificate)?, host.read_text(&placed.key)?) else {
        return Ok(Some("it or its key is not there".to_owned()));
    };
    if host.owner(&placed.key)? != Some(placed.owner) || !host.has_file(&placed.key, key.as_bytes(), 0o600)? {
        return Ok(Some(format!("its key is not readable by user {} alone", placed.owner.user)));
    }
    let Ok(key) = PrivateKey::from_pem(&key) else { return Ok(Some("its key cannot be read".to_owned())) };
    Ok(pki::check(&certificate, &key, authority, &placed.identity).err().map(|unfit| unfit.to_string()))
}

fn authority_key(host: &Host) -> anyhow::Result<Option<PrivateKey>> {
    let Some(pem) = host.read_text(layout::CA_KEY_PATH)? else { return Ok(None) };
    PrivateKey::from_pem(&pem).map(Some).with_context(|| format!("while reading {}", layout::CA_KEY_PATH))
}

fn write_key(host: &mut Host, path: &str, key: &PrivateKey, owner: Owner) -> Result<(), HostError> {
    host.write_file(path, key.to_pem().as_bytes(), 0o600)?;
    host.own(path, owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SystemCommands;
    use std::path::Path;

    fn host(root: &Path) -> (Host, Owner) {
        let host = Host::under(root, Box::new(SystemCommands)).unwrap();
        let owner = Owner { user: nix::unistd::geteuid().as_raw(), group: nix::unistd::getegid().as_raw() };
        (host, owner)
    }

    #[test]
    fn what_is_good_stays_and_what_is_not_is_made_anew() {
        let root = tempfile::tempdir().unwrap();
        let (mut host, etcd) = host(root.path());
        let address = IpAddr::from([10, 0, 0, 5]);
        let read = |host: &Host, path: &str| host.read_text(path).unwrap().unwrap();
        let server = format!("{}/server.crt", layout::PKI_DIRECTORY);
        let peer_key = format!("{}/peer.key", layout::PKI_DIRECTORY);

        assert_eq!(flaw(&host, "n", address, etcd).unwrap().unwrap(), "etcd has no authority yet");
        make(&mut host, "n", address, etcd).unwrap();
        assert_eq!(flaw(&host, "n", address, etcd).unwrap(), None);
        let (authority, first) = (read(&host, layout::CA_PATH), read(&host, &server));
        make(&mut host, "n", address, etcd).unwrap();
        assert_eq!(read(&host, &server), first, "a good certificate was replaced");

        let moved = IpAddr::from([10, 0, 0, 6]);
        let reason = flaw(&host, "n", moved, etcd).unwrap().unwrap();
        assert_eq!(reason, "/etc/etcd/pki/server.crt: it lacks 10.0.0.6");
        make(&mut host, "n", moved, etcd).unwrap();
        assert_eq!(flaw(&host, "n", moved, etcd).unwrap(), None);
        assert_eq!(read(&host, layout::CA_PATH), authority, "the authority was replaced");

        host.write_file(&peer_key, b"half a ke", 0o600).unwrap();
        assert_eq!(flaw(&host, "n", moved, etcd).unwrap().unwrap(), "/etc/etcd/pki/peer.crt: its key cannot be read");
        make(&mut host, "n", moved, etcd).unwrap();
        assert_eq!(flaw(&host, "n", moved, etcd).unwrap(), None);
    }
}
