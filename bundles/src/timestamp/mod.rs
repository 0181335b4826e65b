//! Time stamps: the statement of a third party that a list existed at a moment ([RFC 3161]).
//!
//! A token is CMS signed data ([RFC 5652]) around a `TSTInfo`, which names the SHA-256 of `bundle.json` and the moment. It is a file beside
//! the bundle, so that a bundle can get one after it was signed. A token proves that the list, with every digest in it, is not younger than the
//! moment; who signed the list is another question.
//!
//! [RFC 3161]: https://www.rfc-editor.org/rfc/rfc3161
//! [RFC 5652]: https://www.rfc-editor.org/rfc/rfc5652

mod authorities;
mod signer;

use cms::cert::x509::der::asn1::{Null, ObjectIdentifier, OctetString};
use cms::cert::x509::der::{self, Any, Decode as _, Encode as _};
use cms::cert::x509::spki::AlgorithmIdentifierOwned;
use cms::content_info::ContentInfo;
use cms::signed_data::SignedData;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use x509_tsp::{MessageImprint, TimeStampReq, TimeStampResp, TspVersion, TstInfo};

pub use authorities::Authorities;

use crate::digest::hex;
use crate::{Digest, Moment};

/// The file extension of a time stamp beside a bundle.
pub const SUFFIX: &str = "tsr";

const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

/// Why a time stamp is not valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// Not an answer or a token of RFC 3161.
    #[error("{file} is not a time stamp of RFC 3161: {reason}")]
    Shape {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The authority gave no token.
    #[error("{file} is the refusal of a time stamp: {status}")]
    Refused {
        /// The file.
        file: String,
        /// The authority's words, or the number of its status.
        status: String,
    },
    /// It covers something else.
    #[error("{file} is not about this bundle: it covers {found}, the list is {expected}")]
    OtherList {
        /// The file.
        file: String,
        /// Hash in the token.
        found: String,
        /// Digest of the list.
        expected: Digest,
    },
    /// The signature does not fit the content.
    #[error("{file} was changed, or is not what its authority signed: {reason}")]
    Signature {
        /// The file.
        file: String,
        /// What does not fit.
        reason: String,
    },
    /// It was signed by somebody who is not trusted.
    #[error("{file} is not by a trusted authority: {reason}")]
    Untrusted {
        /// The file.
        file: String,
        /// What is missing.
        reason: String,
    },
}

/// A time stamp that a trusted authority signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timestamp {
    /// The moment, by the authority's clock.
    pub time: Moment,
    /// The subject of the certificate that signed it.
    pub authority: String,
    /// The authority's policy, an object identifier.
    pub policy: String,
    /// The number of the token, in hex digits.
    pub serial: String,
}

/// The request for a time stamp of a list: DER, of the type `application/timestamp-query`.
///
/// It has no nonce. A token of an earlier request for the same list is as good.
///
/// # Errors
/// When DER cannot encode it.
pub fn request(list_bytes: &[u8]) -> der::Result<Vec<u8>> {
    let sha_256 = AlgorithmIdentifierOwned { oid: SHA_256, parameters: Some(Any::from(Null)) };
    let hashed_message = OctetString::new(Digest::of(list_bytes).as_bytes().as_slice())?;
    TimeStampReq {
        version: TspVersion::V1,
        message_imprint: MessageImprint { hash_algorithm: sha_256, hashed_message },
        req_policy: None,
        nonce: None,
        cert_req: true,
        extensions: None,
    }
    .to_der()
}

/// A token whose signature is not verified yet.
pub struct TimestampToken {
    file: String,
    signed: SignedData,
    /// The `TSTInfo` in DER, which is signed.
    content: Vec<u8>,
    info: TstInfo,
}

impl TimestampToken {
    /// Reads an authority's answer (`TimeStampResp`), or the token alone, in DER. `file` is its name in errors.
    ///
    /// # Errors
    /// [`TimestampError::Shape`], [`TimestampError::Refused`].
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, TimestampError> {
        let shape = |reason: &str| TimestampError::Shape { file: file.to_owned(), reason: reason.to_owned() };
        let broken = |error: der::Error| TimestampError::Shape { file: file.to_owned(), reason: error.to_string() };
        let token = match TimeStampResp::from_der(bytes) {
            Ok(answer) => answer.time_stamp_token.clone().ok_or_else(|| refusal(file, &answer))?,
            Err(error) => ContentInfo::from_der(bytes).map_err(|_| broken(error))?,
        };
        if token.content_type != SIGNED_DATA {
            return Err(shape("it is not signed data"));
        }
        let signed: SignedData = token.content.decode_as().map_err(broken)?;
        let inner = &signed.encap_content_info;
        let content = inner.econtent.as_ref().filter(|_| inner.econtent_type == TST_INFO);
        let content = content.ok_or_else(|| shape("what it signs is not a time stamp"))?;
        let content = content.decode_as::<OctetString>().map_err(broken)?.into_bytes();
        let info = TstInfo::from_der(&content).map_err(broken)?;
        Ok(Self { file: file.to_owned(), signed, content, info })
    }

    /// Checks that it covers the list with `list_bytes`.
    ///
    /// # Errors
    /// [`TimestampError::OtherList`].
    pub fn check_subject(&self, list_bytes: &[u8]) -> Result<(), TimestampError> {
        let MessageImprint { hash_algorithm, hashed_message } = &self.info.message_imprint;
        let expected = Digest::of(list_bytes);
        if hash_algorithm.oid == SHA_256 && hashed_message.as_bytes() == expected.as_bytes() {
            return Ok(());
        }
        let algorithm =
            if hash_algorithm.oid == SHA_256 { "sha256".to_owned() } else { hash_algorithm.oid.to_string() };
        Err(TimestampError::OtherList {
            file: self.file.clone(),
            found: format!("{algorithm}:{}", hex(hashed_message.as_bytes())),
            expected,
        })
    }

    /// Checks that it covers the list, and that one of `authorities` vouches for its signer.
    ///
    /// Uses the certificate that verifies the signature; ignores the attribute that names it (`ESSCertID`).
    ///
    /// # Errors
    /// [`TimestampError`].
    pub fn verify(&self, list_bytes: &[u8], authorities: &Authorities) -> Result<Timestamp, TimestampError> {
        self.check_subject(list_bytes)?;
        let time = self.time()?;
        let authority = authorities.verify(self, time)?;
        let serial = hex(self.info.serial_number.as_bytes());
        Ok(Timestamp { time: Moment::of(time), authority, policy: self.info.policy.to_string(), serial })
    }

    fn time(&self) -> Result<OffsetDateTime, TimestampError> {
        let seconds = self.info.gen_time.to_unix_duration().as_secs();
        let time = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        time.ok_or_else(|| TimestampError::Shape { file: self.file.clone(), reason: "its time is no time".to_owned() })
    }

    fn forged(&self, reason: &str) -> TimestampError {
        TimestampError::Signature { file: self.file.clone(), reason: reason.to_owned() }
    }

    fn untrusted(&self, reason: impl Into<String>) -> TimestampError {
        TimestampError::Untrusted { file: self.file.clone(), reason: reason.into() }
    }
}

fn refusal(file: &str, answer: &TimeStampResp<'_>) -> TimestampError {
    let words: Vec<_> = answer.status.status_string.iter().flatten().map(ToString::to_string).collect();
    let status = if words.is_empty() { format!("status {:?}", answer.status.status) } else { words.join("; ") };
    TimestampError::Refused { file: file.to_owned(), status }
}
