//! kinstall's own certificates: the authority of etcd and what it signs. Kubernetes' own certificates are kubeadm's.
//!
//! Keys are ECDSA P-256, written as SEC1 PEM (`EC PRIVATE KEY`), the form that kubeadm's certificate download reads back; it rejects
//! PKCS#8. All certificates are valid for ten years: no program on a site renews them by itself, kubeadm does not renew those of an
//! external etcd either, and an etcd that stops after a year stops the cluster.

mod certificate;
mod check;
mod key;

use std::collections::BTreeSet;
use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyUsagePurpose, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

pub use certificate::{Certificate, Signature, general_name};
pub use check::{Unfit, check, public_key, public_key_hash};
pub use key::PrivateKey;

const LIFETIME: Duration = Duration::days(3650);
/// Other hosts' clocks may be behind this host's.
const BACKDATED: Duration = Duration::hours(1);

/// Why a key or certificate cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The system gave no random bytes.
    #[error("the system provides no random bytes: {reason}")]
    Random {
        /// The system's error.
        reason: String,
    },
    /// A key of another kind than kinstall writes.
    #[error("not an EC P-256 private key in SEC1 PEM form: {reason}")]
    Key {
        /// The parser's error.
        reason: String,
    },
    /// A certificate that cannot be made.
    #[error("cannot make the certificate of {subject}")]
    Certificate {
        /// Its common name.
        subject: String,
        /// The cause.
        source: rcgen::Error,
    },
}

/// What a certificate's holder may do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It connects to servers.
    Client,
    /// It serves, and connects to others of its kind: etcd's members do both, and its gateway connects to its own member.
    Server,
}

impl Usage {
    fn purposes(self) -> Vec<ExtendedKeyUsagePurpose> {
        match self {
            Self::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Self::Server => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        }
    }
}

/// The holder that a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The subject's common name.
    pub common_name: String,
    /// The subject's organisation, which Kubernetes and etcd read as the group.
    pub organisation: Option<String>,
    /// DNS names at which it is reached.
    pub names: BTreeSet<String>,
    /// Addresses at which it is reached.
    pub addresses: BTreeSet<IpAddr>,
    /// What the holder may do with it.
    pub usage: Usage,
}

/// A certificate and its key, both PEM.
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: PrivateKey,
}

/// A certificate authority.
pub struct Authority {
    common_name: String,
    key: PrivateKey,
}

impl Authority {
    /// The authority with this name and key. These two define the authority; its certificate is only for others.
    #[must_use]
    pub fn new(common_name: &str, key: PrivateKey) -> Self {
        Self { common_name: common_name.to_owned(), key }
    }

    /// A new certificate of the authority, signed by itself.
    pub fn certificate(&self) -> Result<String, PkiError> {
        let failed = |source| PkiError::Certificate { subject: self.common_name.clone(), source };
        let params = self.params()?;
        Ok(params.self_signed(&self.key).map_err(failed)?.pem())
    }

    /// Makes a key and a certificate for `identity`.
    pub fn issue(&self, identity: &Identity) -> Result<Pair, PkiError> {
        let failed = |source| PkiError::Certificate { subject: identity.common_name.clone(), source };
        let key = PrivateKey::generate()?;
        let mut params = params(&identity.common_name, &key)?;
        if let Some(organisation) = &identity.organisation {
            params.distinguished_name.push(DnType::OrganizationName, organisation.as_str());
        }
        for name in &identity.names {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into().map_err(failed)?));
        }
        params.subject_alt_names.extend(identity.addresses.iter().copied().map(SanType::IpAddress));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = identity.usage.purposes();
        let issuer = Issuer::new(self.params()?, &self.key);
        let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
        Ok(Pair { certificate: certificate.pem(), key })
    }

    fn params(&self) -> Result<CertificateParams, PkiError> {
        let mut params = params(&self.common_name, &self.key)?;
        // No authority that signs other authorities is ever needed here.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(params)
    }
}

/// The fields that all certificates share.
fn params(common_name: &str, key: &PrivateKey) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACKDATED;
    params.not_after = now + LIFETIME;
    params.serial_number = Some(serial_number()?);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.use_authority_key_identifier_extension = true;
    params.key_identifier_method = KeyIdMethod::PreSpecified(key.identifier());
    Ok(params)
}

/// 127 random bits: positive, and within the 20 octets of RFC 5280, section 4.1.2.2.
fn serial_number() -> Result<SerialNumber, PkiError> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|error| PkiError::Random { reason: error.to_string() })?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&serial))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    fn server() -> Identity {
        Identity {
            common_name: "node-1".into(),
            organisation: None,
            names: ["localhost".into(), "node-1".into()].into(),
            addresses: ["10.0.0.5".parse().unwrap(), "::1".parse().unwrap()].into(),
            usage: Usage::Server,
        }
    }

    /// Runs the real `openssl` and returns its output.
    fn openssl(directory: &Path, arguments: &[&str]) -> String {
        let output = Command::new("openssl").args(arguments).current_dir(directory).output().expect("openssl runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?}: {said}");
        said
    }

    #[test]
    fn openssl_accepts_what_the_authority_signs() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| fs_err::write(directory.path().join(name), text).unwrap();
        let authority = Authority::new("etcd-ca", PrivateKey::generate().unwrap());
        let pair = authority.issue(&server()).unwrap();
        file("ca.crt", &authority.certificate().unwrap());
        file("server.crt", &pair.certificate);
        file("server.key", &pair.key.to_pem());

        for purpose in ["sslserver", "sslclient"] {
            openssl(
                directory.path(),
                &["verify", "-x509_strict", "-purpose", purpose, "-CAfile", "ca.crt", "server.crt"],
            );
        }
        openssl(directory.path(), &["verify", "-x509_strict", "-CAfile", "ca.crt", "ca.crt"]);
        for (kind, name) in [("-verify_ip", "10.0.0.5"), ("-verify_ip", "::1"), ("-verify_hostname", "node-1")] {
            openssl(directory.path(), &["verify", kind, name, "-CAfile", "ca.crt", "server.crt"]);
        }
        let public_of_key = openssl(directory.path(), &["ec", "-in", "server.key", "-pubout"]);
        let public_of_certificate = openssl(directory.path(), &["x509", "-in", "server.crt", "-noout", "-pubkey"]);
        assert!(public_of_key.contains(public_of_certificate.trim()), "{public_of_key}\n{public_of_certificate}");
        assert!(pair.key.to_pem().starts_with("-----BEGIN EC PRIVATE KEY-----"), "kubeadm reads SEC1 alone");
        let ca = openssl(directory.path(), &["x509", "-in", "ca.crt", "-noout", "-text"]);
        assert!(ca.contains("CA:TRUE, pathlen:0") && ca.contains("Certificate Sign, CRL Sign"), "{ca}");
    }

    #[test]
    fn a_client_is_no_server() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new("etcd-ca", PrivateKey::generate().unwrap());
        let pair = authority.issue(&Identity { usage: Usage::Client, ..server() }).unwrap();
        fs_err::write(directory.path().join("client.crt"), pair.certificate).unwrap();
        let purposes = openssl(directory.path(), &["x509", "-in", "client.crt", "-noout", "-purpose"]);
        assert!(purposes.contains("SSL client : Yes") && purposes.contains("SSL server : No"), "{purposes}");
    }

    #[test]
    fn a_certificate_that_will_not_do_is_told_apart() {
        let [key, other] = [(); 2].map(|()| PrivateKey::generate().unwrap());
        let authority = Authority::new("etcd-ca", key.clone());
        let pair = authority.issue(&server()).unwrap();
        let check = |key: &PrivateKey, authority: &PrivateKey, identity: &Identity| {
            check(&pair.certificate, key, authority.public(), identity)
        };
        assert_eq!(check(&pair.key, &key, &server()), Ok(()));
        assert_eq!(check(&other, &key, &server()), Err(Unfit::OtherKey));
        assert_eq!(check(&pair.key, &other, &server()), Err(Unfit::OtherAuthority));
        let mut wider = server();
        wider.addresses.insert("10.0.0.6".parse().unwrap());
        let lacks = Unfit::Lacks { missing: vec!["10.0.0.6".into()] };
        assert_eq!(check(&pair.key, &key, &wider), Err(lacks));
        assert_eq!(super::check("nonsense", &pair.key, key.public(), &server()), Err(Unfit::Unreadable));
    }

    #[test]
    fn a_key_comes_back_from_its_file_and_is_never_shown() {
        let key = PrivateKey::generate().unwrap();
        assert_eq!(PrivateKey::from_pem(&key.to_pem()).unwrap().public(), key.public());
        assert!(PrivateKey::from_pem("nonsense").is_err());
        assert_eq!(format!("{key:?}"), "PrivateKey(hidden)");
    }

    #[test]
    fn the_hash_is_the_one_that_openssl_makes() {
        let directory = tempfile::tempdir().unwrap();
        let certificate = Authority::new("kubernetes", PrivateKey::generate().unwrap()).certificate().unwrap();
        fs_err::write(directory.path().join("ca.crt"), &certificate).unwrap();
        // The command in kubeadm's documentation.
        let pipeline = "openssl x509 -pubkey -noout -in ca.crt | openssl pkey -pubin -outform der | sha256sum";
        let output = Command::new("sh").args(["-c", pipeline]).current_dir(directory.path()).output().unwrap();
        let expected = String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap().to_owned();
        assert_eq!(public_key_hash(&certificate).unwrap(), format!("sha256:{expected}"));
        assert_eq!(public_key_hash("nonsense"), None);
    }
}
