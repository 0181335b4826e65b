//! etcd's certificate authority: made once on one host, and the same on every host with a member.

use anyhow::{Context as _, bail};

use super::layout;
use crate::host::{Host, HostError, Owner};
use crate::join_material::Pair;
use crate::pki::{Authority, PrivateKey};

const NAME: &str = "etcd-ca";

/// The authority's key, if this host has it.
pub(super) fn key(host: &Host) -> anyhow::Result<Option<PrivateKey>> {
    let Some(pem) = host.read_text(layout::CA_KEY_PATH)? else { return Ok(None) };
    PrivateKey::from_pem(&pem).map(Some).with_context(|| format!("while reading {}", layout::CA_KEY_PATH))
}

/// The authority's certificate and key, if this host has both.
pub fn authority(host: &Host) -> anyhow::Result<Option<Pair>> {
    let (Some(key), Some(certificate)) = (key(host)?, host.read_text(layout::CA_PATH)?) else { return Ok(None) };
    Ok(Some(Pair { certificate, key: key.to_pem() }))
}

/// Makes the authority if there is none, and returns it: the one that was `handed`, or a new one.
///
/// # Errors
/// When the host has another authority than the one that was handed: two clusters of etcd cannot become one.
pub fn make_authority(host: &mut Host, handed: Option<&Pair>) -> anyhow::Result<Pair> {
    let key = match (key(host)?, handed) {
        (Some(here), Some(handed)) if PrivateKey::from_pem(&handed.key)?.public() != here.public() => {
            bail!(
                "this host has an authority for etcd that is not the cluster's ({}); reset the host first",
                layout::CA_KEY_PATH
            )
        }
        (Some(here), _) => here,
        (None, handed) => {
            let key = handed.map_or_else(PrivateKey::generate, |pair| PrivateKey::from_pem(&pair.key))?;
            write_key(host, layout::CA_KEY_PATH, &key, Owner::ROOT)?;
            key
        }
    };
    // Issued certificates stay valid: they name the authority and its key, not this certificate of the authority.
    let certificate = match (host.read_text(layout::CA_PATH)?, handed) {
        (Some(here), _) => here,
        (None, Some(handed)) => handed.certificate.clone(),
        (None, None) => signer(key.clone()).certificate()?,
    };
    if !host.has_file(layout::CA_PATH, certificate.as_bytes(), 0o644)? {
        host.write_file(layout::CA_PATH, certificate.as_bytes(), 0o644)?;
    }
    Ok(Pair { certificate, key: key.to_pem() })
}

/// The authority with this key, to sign with.
pub(super) fn signer(key: PrivateKey) -> Authority {
    Authority::new(NAME, key)
}

/// Writes a key that only its owner can read.
pub(super) fn write_key(host: &mut Host, path: &str, key: &PrivateKey, owner: Owner) -> Result<(), HostError> {
    host.write_file(path, key.to_pem().as_bytes(), 0o600)?;
    host.own(path, owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;

    #[test]
    fn an_authority_is_made_once_and_handed_on() {
        let (first, second) = (Bench::new(), Bench::new());
        let made = make_authority(&mut first.host(), None).unwrap();
        assert_eq!(make_authority(&mut first.host(), None).unwrap(), made);
        assert_eq!(authority(&first.host()).unwrap().unwrap(), made);
        assert_eq!(make_authority(&mut second.host(), Some(&made)).unwrap(), made);
        assert_eq!(authority(&second.host()).unwrap().unwrap(), made);

        let stranger = make_authority(&mut Bench::new().host(), None).unwrap();
        let refusal = make_authority(&mut first.host(), Some(&stranger)).unwrap_err();
        assert!(refusal.to_string().contains("not the cluster's"), "{refusal}");
    }
}
