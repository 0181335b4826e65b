//! Whether an existing certificate is still suitable.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kbundle_format::Digest;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use time::{Duration, OffsetDateTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

use super::{Identity, PrivateKey};

/// A certificate with less time left than this is renewed by the next run.
const RENEWED_BEFORE_END: Duration = Duration::days(365);

/// Why a certificate is not suitable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// Not a certificate in PEM form.
    #[error("it is not a certificate")]
    Unreadable,
    /// Signed by another authority.
    #[error("it was not signed by the authority that is there")]
    OtherAuthority,
    /// For another private key.
    #[error("it does not belong to the private key beside it")]
    OtherKey,
    /// It expires soon, or has expired.
    #[error("it expires on {on}")]
    Ending {
        /// The day.
        on: String,
    },
    /// Names or addresses are missing.
    #[error("it lacks {}", missing.join(", "))]
    Lacks {
        /// The missing names and addresses.
        missing: Vec<String>,
    },
}

/// Checks that the certificate `pem` belongs to `key`, was signed by the holder of the public key `authority` (SEC1 point), does not end
/// soon, and has everything that `identity` asks for.
pub fn check(pem: &str, key: &PrivateKey, authority: &[u8], identity: &Identity) -> Result<(), Unfit> {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).map_err(|_| Unfit::Unreadable)?;
    let certificate = pem.parse_x509().map_err(|_| Unfit::Unreadable)?;
    if certificate.public_key().subject_public_key.data.as_ref() != key.public() {
        return Err(Unfit::OtherKey);
    }
    if !signed_by(&certificate, authority) {
        return Err(Unfit::OtherAuthority);
    }
    let end = certificate.validity().not_after.to_datetime();
    if end < OffsetDateTime::now_utc() + RENEWED_BEFORE_END {
        return Err(Unfit::Ending { on: end.date().to_string() });
    }
    let (names, addresses) = subject_alternative_names(&certificate);
    let mut missing: Vec<_> = identity.names.difference(&names).cloned().collect();
    missing.extend(identity.addresses.difference(&addresses).map(IpAddr::to_string));
    if missing.is_empty() { Ok(()) } else { Err(Unfit::Lacks { missing }) }
}

/// The public key in a certificate, in the form of SEC1; `None` if the text is not a certificate.
#[must_use]
pub fn public_key(pem: &str) -> Option<Vec<u8>> {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).ok()?;
    let certificate = pem.parse_x509().ok()?;
    Some(certificate.public_key().subject_public_key.data.to_vec())
}

fn signed_by(certificate: &X509Certificate<'_>, authority: &[u8]) -> bool {
    let key = VerifyingKey::from_sec1_bytes(authority);
    let signature = Signature::from_der(&certificate.signature_value.data);
    match (key, signature) {
        (Ok(key), Ok(signature)) => key.verify(certificate.tbs_certificate.as_ref(), &signature).is_ok(),
        _ => false,
    }
}

fn subject_alternative_names(certificate: &X509Certificate<'_>) -> (BTreeSet<String>, BTreeSet<IpAddr>) {
    let mut names = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    let extension = certificate.subject_alternative_name().ok().flatten();
    for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => drop(names.insert((*name).to_owned())),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
                addresses.extend(v4.or(v6));
            }
            _ => {}
        }
    }
    (names, addresses)
}

/// SHA-256 of a certificate's public key in DER form, as `--discovery-token-ca-cert-hash` takes it; `None` if the text is not a
/// certificate.
#[must_use]
pub fn public_key_hash(certificate: &str) -> Option<String> {
    let (_, pem) = parse_x509_pem(certificate.as_bytes()).ok()?;
    let certificate = pem.parse_x509().ok()?;
    Some(format!("sha256:{}", Digest::of(certificate.public_key().raw).hex()))
}
