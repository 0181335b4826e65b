//! The signature of a token.

use cms::cert::x509::attr::Attribute;
use cms::cert::x509::der::asn1::{ObjectIdentifier, OctetString};
use cms::cert::x509::der::{Choice, DecodeValue, Encode as _};
use cms::signed_data::{SignerIdentifier, SignerInfo};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_parser::asn1_rs::BitString;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{
    OID_PKCS1_RSAENCRYPTION, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::verify::verify_signature;
use x509_parser::x509::AlgorithmIdentifier;

use super::{SHA_256, TST_INFO, TimestampError, TimestampToken};

const SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");

impl TimestampToken {
    /// The signer. RFC 3161 requires exactly one.
    pub(super) fn signer(&self) -> Result<&SignerInfo, TimestampError> {
        match self.signed.signer_infos.0.as_slice() {
            [signer] => Ok(signer),
            others => Err(self.forged(&format!("it has {} signatures, and one is allowed", others.len()))),
        }
    }

    /// Whether the key of `certificate` signed the content.
    pub(super) fn check_signature(&self, certificate: &X509Certificate<'_>) -> Result<(), TimestampError> {
        let signer = self.signer()?;
        let attributes = signer.signed_attrs.as_ref().ok_or_else(|| self.forged("it has no signed attributes"))?;
        let hash = hash(signer.digest_alg.oid, &self.content)
            .ok_or_else(|| self.untrusted(format!("it is hashed by {}, not by SHA-2", signer.digest_alg.oid)))?;
        let kind = the_value::<ObjectIdentifier>(attributes.iter(), CONTENT_TYPE);
        let digest = the_value::<OctetString>(attributes.iter(), MESSAGE_DIGEST);
        if kind != Some(TST_INFO) || digest.is_none_or(|digest| digest.as_bytes() != hash) {
            return Err(self.forged("the signed attributes are about other content"));
        }
        // The signature is over the attributes as a SET, not with the tag that they have in the message (RFC 5652, section 5.4).
        let signed = attributes.to_der().map_err(|error| self.forged(&error.to_string()))?;
        let algorithm = signer.signature_algorithm.to_der().map_err(|error| self.forged(&error.to_string()))?;
        let (_, named) =
            AlgorithmIdentifier::from_der(&algorithm).map_err(|_| self.forged("its algorithm is unreadable"))?;
        let algorithm = with_hash(named, signer.digest_alg.oid);
        let signature = BitString::new(0, signer.signature.as_bytes());
        verify_signature(certificate.public_key(), &algorithm, &signature, &signed).map_err(|error| match error {
            X509Error::SignatureUnsupportedAlgorithm => {
                self.untrusted(format!("it is signed by the algorithm {}, which is not supported", algorithm.algorithm))
            }
            _ => self.forged("the signature does not verify"),
        })
    }
}

/// RSA's own identifier names no hash: CMS has it in another field.
fn with_hash(named: AlgorithmIdentifier<'_>, hash: ObjectIdentifier) -> AlgorithmIdentifier<'_> {
    if named.algorithm != OID_PKCS1_RSAENCRYPTION {
        return named;
    }
    let algorithm = match hash {
        SHA_384 => OID_PKCS1_SHA384WITHRSA,
        SHA_512 => OID_PKCS1_SHA512WITHRSA,
        _ => OID_PKCS1_SHA256WITHRSA,
    };
    AlgorithmIdentifier::new(algorithm, None)
}

fn hash(algorithm: ObjectIdentifier, content: &[u8]) -> Option<Vec<u8>> {
    match algorithm {
        SHA_256 => Some(Sha256::digest(content).to_vec()),
        SHA_384 => Some(Sha384::digest(content).to_vec()),
        SHA_512 => Some(Sha512::digest(content).to_vec()),
        _ => None,
    }
}

/// The value of an attribute that occurs once and has one value.
fn the_value<'a, T>(attributes: impl Iterator<Item = &'a Attribute>, kind: ObjectIdentifier) -> Option<T>
where
    T: for<'b> Choice<'b> + for<'b> DecodeValue<'b>,
{
    let mut found = attributes.filter(|attribute| attribute.oid == kind);
    let (Some(one), None) = (found.next(), found.next()) else { return None };
    match one.values.as_slice() {
        [value] => value.decode_as().ok(),
        _ => None,
    }
}

/// Whether `signer` names `certificate`.
pub(super) fn names(signer: &SignerIdentifier, certificate: &X509Certificate<'_>) -> bool {
    match signer {
        SignerIdentifier::IssuerAndSerialNumber(named) => {
            let issuer = named.issuer.to_der().ok();
            issuer.as_deref() == Some(certificate.issuer().as_raw())
                && number(named.serial_number.as_bytes()) == number(certificate.raw_serial())
        }
        SignerIdentifier::SubjectKeyIdentifier(named) => certificate.extensions().iter().any(|extension| {
            matches!(extension.parsed_extension(), ParsedExtension::SubjectKeyIdentifier(id) if id.0 == named.0.as_bytes())
        }),
    }
}

/// A serial number without leading zeros.
fn number(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}
