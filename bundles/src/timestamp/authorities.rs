//! Certificates of authorities, and the chain from a token's signer to one of them.

use cms::cert::CertificateChoices;
use cms::cert::x509::der::Encode as _;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::signer::names;
use super::{TimestampError, TimestampToken};

/// Most certificates between a signer and a trusted one.
const MAX_CHAIN: usize = 8;

/// Trusted certificates: of an authority for time stamps itself, or of the issuer of its certificate.
pub struct Authorities(Vec<Vec<u8>>);

impl Authorities {
    /// The certificates of a file in PEM; `None` if it has none, or a damaged one.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let blocks: Vec<_> = Pem::iter_from_buffer(bytes).collect::<Result<_, _>>().ok()?;
        let ders: Vec<_> =
            blocks.into_iter().filter(|block| block.label == "CERTIFICATE").map(|block| block.contents).collect();
        let whole = !ders.is_empty() && ders.iter().all(|der| parsed(der).is_some());
        whole.then_some(Self(ders))
    }

    /// The subject of the certificate that signed `token` at `time`.
    pub(super) fn verify(&self, token: &TimestampToken, time: OffsetDateTime) -> Result<String, TimestampError> {
        let carried = carried(token);
        let carried: Vec<_> = carried.iter().filter_map(|der| parsed(der)).collect();
        let trusted: Vec<_> = self.0.iter().filter_map(|der| parsed(der)).collect();
        let sid = &token.signer()?.sid;
        let signer = carried.iter().chain(&trusted).find(|certificate| names(sid, certificate)).ok_or_else(|| {
            token.untrusted("the certificate of its signer is neither in it nor among the trusted ones")
        })?;
        token.check_signature(signer)?;
        let subject: String = signer.subject().to_string().chars().filter(|letter| !letter.is_control()).collect();
        let for_time = signer.extended_key_usage().ok().flatten().is_some_and(|usage| usage.value.time_stamping);
        if !for_time {
            return Err(token.untrusted(format!("the certificate of {subject} is not for time stamps")));
        }
        let at = ASN1Time::from(time);
        if leads_to_trust(signer, &carried, &trusted, at) {
            return Ok(subject);
        }
        Err(token
            .untrusted(format!("no way leads from the certificate of {subject}, valid at the time, to a trusted one")))
    }
}

fn parsed(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

/// The certificates that the token carries, in DER.
fn carried(token: &TimestampToken) -> Vec<Vec<u8>> {
    let certificates = token.signed.certificates.iter().flat_map(|set| set.0.iter());
    let ders = certificates.filter_map(|choice| match choice {
        CertificateChoices::Certificate(certificate) => certificate.to_der().ok(),
        CertificateChoices::Other(_) => None,
    });
    ders.collect()
}

/// Whether a chain of certificates that the token carries leads from `certificate` to a trusted one. All have to be valid `at` the time.
fn leads_to_trust<'a>(
    certificate: &X509Certificate<'a>,
    carried: &[X509Certificate<'a>],
    trusted: &[X509Certificate<'a>],
    at: ASN1Time,
) -> bool {
    let mut current = certificate;
    for _ in 0..MAX_CHAIN {
        if !current.validity().is_valid_at(at) {
            return false;
        }
        if trusted.iter().any(|one| one.as_raw() == current.as_raw()) {
            return true;
        }
        if trusted.iter().any(|one| issued(one, current) && one.validity().is_valid_at(at)) {
            return true;
        }
        match carried.iter().find(|one| one.as_raw() != current.as_raw() && issued(one, current)) {
            Some(issuer) => current = issuer,
            None => return false,
        }
    }
    false
}

/// Whether `issuer`, which may issue certificates, issued `certificate`.
fn issued(issuer: &X509Certificate<'_>, certificate: &X509Certificate<'_>) -> bool {
    issuer.is_ca()
        && issuer.subject().as_raw() == certificate.issuer().as_raw()
        && certificate.verify_signature(Some(issuer.public_key())).is_ok()
}
