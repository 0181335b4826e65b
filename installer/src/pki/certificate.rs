//! Reads certificates, whoever made them, and verifies whether an authority signed them.

use std::net::IpAddr;

use kbundle_format::Digest;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

/// A certificate that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// The subject, such as `CN=kube-apiserver`.
    pub subject: String,
    /// The issuer, in the same form.
    pub issuer: String,
    /// The serial number, hexadecimal.
    pub serial: String,
    /// Subject alternative names: DNS names and addresses, in the certificate's order.
    pub names: Vec<String>,
    /// Not valid before.
    pub begins: OffsetDateTime,
    /// Not valid after.
    pub ends: OffsetDateTime,
}

/// Whether an authority signed a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// The authority signed it.
    Good,
    /// Another authority signed it, or the certificate was changed.
    Foreign,
    /// The signature's algorithm is one that this program does not know.
    UnknownAlgorithm,
}

impl Certificate {
    /// The certificates in a PEM text, which may contain keys as well; `None` if one of its parts cannot be read.
    #[must_use]
    pub fn read_all(text: &[u8]) -> Option<Vec<Self>> {
        let parts: Vec<_> = Pem::iter_from_buffer(text).collect::<Result<_, _>>().ok()?;
        parts.into_iter().filter(|part| part.label == "CERTIFICATE").map(|part| Self::from_der(part.contents)).collect()
    }

    /// Reads a certificate in DER form.
    #[must_use]
    pub fn from_der(der: Vec<u8>) -> Option<Self> {
        let (_, found) = X509Certificate::from_der(&der).ok()?;
        let validity = found.validity();
        let read = Self {
            subject: found.subject().to_string(),
            issuer: found.issuer().to_string(),
            serial: format!("{:x}", found.serial),
            names: names(&found)?,
            begins: validity.not_before.to_datetime(),
            ends: validity.not_after.to_datetime(),
            der: Vec::new(),
        };
        drop(found);
        Some(Self { der, ..read })
    }

    /// SHA-256 of the certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// Whether `authority` may sign certificates and has signed this one. An authority has signed its own certificate.
    #[must_use]
    pub fn signature_by(&self, authority: &Self) -> Signature {
        let parsed = (X509Certificate::from_der(&self.der), X509Certificate::from_der(&authority.der));
        let (Ok((_, certificate)), Ok((_, authority))) = parsed else { return Signature::Foreign };
        if !authority.is_ca() || certificate.issuer().as_raw() != authority.subject().as_raw() {
            return Signature::Foreign;
        }
        match certificate.verify_signature(Some(authority.public_key())) {
            Ok(()) => Signature::Good,
            Err(X509Error::SignatureUnsupportedAlgorithm) => Signature::UnknownAlgorithm,
            Err(_) => Signature::Foreign,
        }
    }
}

/// DNS names and addresses; `None` if the extension cannot be read.
fn names(certificate: &X509Certificate<'_>) -> Option<Vec<String>> {
    let extension = certificate.subject_alternative_name().ok()?;
    let names = extension.iter().flat_map(|extension| &extension.value.general_names);
    Some(names.filter_map(general_name).collect())
}

/// A DNS name or an address as text; `None` for names of other kinds.
#[must_use]
pub fn general_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Authority, Identity, PrivateKey, Usage};

    fn identity() -> Identity {
        Identity {
            common_name: "node-1".into(),
            organisation: Some("system:nodes".into()),
            names: ["localhost".into()].into(),
            addresses: ["10.0.0.5".parse().unwrap()].into(),
            usage: Usage::Client,
        }
    }

    fn only(pem: &str) -> Certificate {
        let [one] = <[Certificate; 1]>::try_from(Certificate::read_all(pem.as_bytes()).unwrap()).unwrap();
        one
    }

    #[test]
    fn a_certificate_is_read_and_its_authority_is_told_from_another_of_the_same_name() {
        let [authority, stranger] = [(); 2].map(|()| Authority::new("etcd-ca", PrivateKey::generate().unwrap()));
        let [own, other] = [&authority, &stranger].map(|of| only(&of.certificate().unwrap()));
        let leaf = only(&authority.issue(&identity()).unwrap().certificate);
        assert_eq!((leaf.subject.as_str(), leaf.issuer.as_str()), ("CN=node-1, O=system:nodes", "CN=etcd-ca"));
        assert_eq!(leaf.names, ["localhost", "10.0.0.5"]);
        assert_eq!(leaf.signature_by(&own), Signature::Good);
        assert_eq!(own.signature_by(&own), Signature::Good);
        assert_eq!(leaf.signature_by(&other), Signature::Foreign);
        assert_eq!(leaf.signature_by(&leaf), Signature::Foreign, "what is not an authority signs nothing");
    }

    /// kubeadm's certificates are signed by RSA, which p256 does not verify.
    #[test]
    fn signatures_by_rsa_are_verified() {
        let directory = tempfile::tempdir().unwrap();
        let openssl = |command: &str| {
            let output = std::process::Command::new("sh").args(["-c", command]).current_dir(directory.path()).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        };
        openssl("openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj /CN=kubernetes -out ca.crt");
        openssl("openssl req -newkey rsa:2048 -nodes -keyout leaf.key -subj /CN=leaf -out leaf.csr");
        openssl("openssl x509 -req -in leaf.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3 -out leaf.crt");
        let read = |name: &str| only(&fs_err::read_to_string(directory.path().join(name)).unwrap());
        assert_eq!(read("leaf.crt").signature_by(&read("ca.crt")), Signature::Good);
        let stranger = Authority::new("kubernetes", PrivateKey::generate().unwrap()).certificate().unwrap();
        assert_eq!(read("leaf.crt").signature_by(&only(&stranger)), Signature::Foreign);
    }

    #[test]
    fn keys_beside_certificates_are_passed_over_and_damage_is_not() {
        let pair = Authority::new("a", PrivateKey::generate().unwrap()).issue(&identity()).unwrap();
        let both = format!("{}{}", pair.certificate, pair.key.to_pem());
        assert_eq!(Certificate::read_all(both.as_bytes()).unwrap().len(), 1);
        assert_eq!(Certificate::read_all(b"nonsense"), Some(Vec::new()));
        let cut = &pair.certificate[..pair.certificate.len() / 2];
        assert_eq!(Certificate::read_all(cut.as_bytes()), None);
        let broken = pair.certificate.replace("MI", "MA");
        assert_eq!(Certificate::read_all(broken.as_bytes()), None);
    }
}
