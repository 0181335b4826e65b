//! Certificates that etcd's authority signs, and their places on a host.

use std::net::IpAddr;

use anyhow::Context as _;

use super::authority::write_key;
use super::{authority, layout};
use crate::host::{Host, Owner};
use crate::pki::{self, Identity, PrivateKey, Usage};

/// A certificate and its key on this host.
pub(super) struct Placed {
    pub certificate: String,
    pub key: String,
    pub owner: Owner,
    pub identity: Identity,
}

/// One of a member's certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberCertificate {
    /// The certificate with which it serves clients.
    Server,
    /// The certificate for connections with its peers.
    Peer,
}

/// The server and peer certificates of a member with this name and address. etcd's user reads their keys.
fn of_member(name: &str, address: IpAddr, etcd: Owner) -> [Placed; 2] {
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
    [member("server", identity(&["localhost"], &loopback)), member("peer", identity(&[], &[]))]
}

/// Why a member's certificates on the host are not suitable, or `None` if they are.
pub fn flaw(host: &Host, name: &str, address: IpAddr, etcd: Owner) -> anyhow::Result<Option<String>> {
    let Some(authority) = authority::key(host)? else { return Ok(Some("etcd has no authority yet".to_owned())) };
    if !host.exists(layout::CA_PATH) {
        return Ok(Some("the authority's certificate is not in place".to_owned()));
    }
    for placed in of_member(name, address, etcd) {
        if let Some(reason) = unfit(host, &placed, authority.public())? {
            return Ok(Some(format!("{}: {reason}", placed.certificate)));
        }
    }
    Ok(None)
}

/// Makes those of a member's certificates that are missing or not suitable. The host has the authority.
pub fn make(host: &mut Host, key: &PrivateKey, name: &str, address: IpAddr, etcd: Owner) -> anyhow::Result<()> {
    of_member(name, address, etcd).iter().try_for_each(|placed| issue(host, placed, key))
}

/// Makes the certificate, unless the existing one is suitable.
pub(super) fn issue(host: &mut Host, placed: &Placed, authority: &PrivateKey) -> anyhow::Result<()> {
    if unfit(host, placed, authority.public())?.is_some() { renew(host, placed, authority) } else { Ok(()) }
}

/// Makes the certificate, even if a suitable one exists.
pub(super) fn renew(host: &mut Host, placed: &Placed, authority: &PrivateKey) -> anyhow::Result<()> {
    let pair = authority::signer(authority.clone()).issue(&placed.identity)?;
    write_key(host, &placed.key, &pair.key, placed.owner)?;
    Ok(host.write_file(&placed.certificate, pair.certificate.as_bytes(), 0o644)?)
}

/// Renews one of the certificates of this host's member. The host has the authority; the member has to be restarted.
pub fn renew_member(host: &mut Host, name: &str, address: IpAddr, which: MemberCertificate) -> anyhow::Result<()> {
    let etcd = host.user(layout::USER)?.context("the user etcd is not there")?;
    let authority = authority::key(host)?.context("this host does not have the key of etcd's authority")?;
    let [server, peer] = of_member(name, address, etcd);
    let placed = match which {
        MemberCertificate::Server => server,
        MemberCertificate::Peer => peer,
    };
    renew(host, &placed, &authority)
}

/// Why the certificate on the host will not do; `authority` is the public key that has to have signed it.
pub(super) fn unfit(host: &Host, placed: &Placed, authority: &[u8]) -> anyhow::Result<Option<String>> {
    let (Some(certificate), Some(key)) = (host.read_text(&placed.certificate)?, host.read_text(&placed.key)?) else {
        return Ok(Some("it or its key is not there".to_owned()));
    };
    if host.owner(&placed.key)? != Some(placed.owner) || !host.has_file(&placed.key, key.as_bytes(), 0o600)? {
        return Ok(Some(format!("its key is not readable by user {} alone", placed.owner.user)));
    }
    let Ok(key) = PrivateKey::from_pem(&key) else { return Ok(Some("its key cannot be read".to_owned())) };
    Ok(pki::check(&certificate, &key, authority, &placed.identity).err().map(|unfit| unfit.to_string()))
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
        authority::make_authority(&mut host, None).unwrap();
        let key = authority::key(&host).unwrap().unwrap();
        make(&mut host, &key, "n", address, etcd).unwrap();
        assert_eq!(flaw(&host, "n", address, etcd).unwrap(), None);
        let first = read(&host, &server);
        make(&mut host, &key, "n", address, etcd).unwrap();
        assert_eq!(read(&host, &server), first, "a good certificate was replaced");

        let moved = IpAddr::from([10, 0, 0, 6]);
        let reason = flaw(&host, "n", moved, etcd).unwrap().unwrap();
        assert_eq!(reason, "/etc/etcd/pki/server.crt: it lacks 10.0.0.6");
        make(&mut host, &key, "n", moved, etcd).unwrap();
        assert_eq!(flaw(&host, "n", moved, etcd).unwrap(), None);

        host.write_file(&peer_key, b"half a ke", 0o600).unwrap();
        assert_eq!(flaw(&host, "n", moved, etcd).unwrap().unwrap(), "/etc/etcd/pki/peer.crt: its key cannot be read");
        make(&mut host, &key, "n", moved, etcd).unwrap();
        assert_eq!(flaw(&host, "n", moved, etcd).unwrap(), None);
    }
}
