//! Revocations: keys whose signatures do not count any more, and bundles that must not be used any more, in one signed file.
//!
//! The file is a DSSE envelope of the type [`PAYLOAD_TYPE`]. At least one trusted key has to have signed it; a key may revoke itself. The
//! page about the form is `docs/revocations-format.md`. Readers apply it when they verify a bundle's list ([`TrustPolicy::revoking`]).
//!
//! [`TrustPolicy::revoking`]: crate::TrustPolicy::revoking

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::envelope::{self, EnvelopeError};
use crate::limits::MAX_REVOCATIONS_BYTES;
use crate::text::{TextError, is_plain_line};
use crate::{Digest, KeyId, Moment, SigningKey, VerifyingKey, text_type};

/// The type of the envelope's payload.
pub const PAYLOAD_TYPE: &str = "application/vnd.kbundle.revocations+json";
const SCHEMA: u64 = 1;
const MAX_REASON_CHARS: usize = 200;

/// Why a file of revocations is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationsError {
    /// It is not such a file, or has a newer form.
    #[error("{file} is not a file of revocations that this program reads")]
    Shape {
        /// The file.
        file: String,
    },
    /// It is larger than a reader accepts.
    #[error("{file} is larger than {MAX_REVOCATIONS_BYTES} bytes")]
    Size {
        /// The file.
        file: String,
    },
    /// None of its signatures is by one of the keys.
    #[error("{file} has no signature by a trusted key")]
    Untrusted {
        /// The file.
        file: String,
    },
    /// It names one of the keys as its signer, but the key's signature does not match its content.
    #[error("{file} is not what {key} signed: it was changed afterwards")]
    Altered {
        /// The file.
        file: String,
        /// The key.
        key: KeyId,
    },
}

/// Why something was revoked: one line of at most 200 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Reason(String);

impl FromStr for Reason {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if !text.trim().is_empty() && is_plain_line(text, MAX_REASON_CHARS) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TextError::new(text, "a reason (one line of at most 200 characters)"))
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(Reason, r"^[^\x00-\x1f\x7f]+$", "maxLength": MAX_REASON_CHARS);

/// Keys and bundles that are revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revocations {
    schema: u64,
    /// Grows by one with each change of the file.
    pub number: u64,
    /// The time of the last change, by the clock of whoever signed it.
    pub time: Moment,
    /// Revoked keys.
    pub keys: BTreeMap<KeyId, RevokedKey>,
    /// Revoked bundles, by the digest of their list.
    pub bundles: BTreeMap<Digest, RevokedBundle>,
}

/// Why a key is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevokedKey {
    /// The reason.
    pub reason: Reason,
}

/// Why a bundle is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevokedBundle {
    /// The reason.
    pub reason: Reason,
    /// The digest of the list of the bundle to use instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<Digest>,
}

impl Revocations {
    /// An empty list, before its first change.
    #[must_use]
    pub fn new(time: Moment) -> Self {
        Self { schema: SCHEMA, number: 0, time, keys: BTreeMap::new(), bundles: BTreeMap::new() }
    }

    /// The file, signed by `keys`.
    #[must_use]
    pub fn sign(&self, keys: &[&SigningKey]) -> Vec<u8> {
        envelope::sign(PAYLOAD_TYPE, self, keys)
    }

    /// Reads a file, which messages call `file`. Also returns the keys of `trusted` that signed it.
    ///
    /// # Errors
    /// When none of them signed it, or it is another kind of file.
    pub fn read(file: &str, bytes: &[u8], trusted: &[VerifyingKey]) -> Result<(Self, Vec<KeyId>), RevocationsError> {
        let file = || file.to_owned();
        if u64::try_from(bytes.len()).is_ok_and(|size| size > MAX_REVOCATIONS_BYTES) {
            return Err(RevocationsError::Size { file: file() });
        }
        let (read, signers): (Self, _) = envelope::open(PAYLOAD_TYPE, bytes, trusted).map_err(|error| match error {
            EnvelopeError::Shape => RevocationsError::Shape { file: file() },
            EnvelopeError::Untrusted => RevocationsError::Untrusted { file: file() },
            EnvelopeError::Altered { key } => RevocationsError::Altered { file: file(), key },
        })?;
        if read.schema == SCHEMA { Ok((read, signers)) } else { Err(RevocationsError::Shape { file: file() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Algorithm;

    fn reason(text: &str) -> Reason {
        text.parse().unwrap()
    }

    fn revocations(key: &KeyId) -> Revocations {
        let mut made = Revocations::new("2026-11-28T12:00:00Z".parse().unwrap());
        made.keys.insert(*key, RevokedKey { reason: reason("the laptop was stolen") });
        let newer = Some(Digest::of(b"newer"));
        made.bundles.insert(Digest::of(b"list"), RevokedBundle { reason: reason("CVE-2026-1"), superseded_by: newer });
        made
    }

    #[test]
    fn a_file_is_read_as_it_was_signed_and_by_trusted_keys_only() {
        let [key, stranger] = [(); 2].map(|()| SigningKey::generate(Algorithm::EcdsaP256).unwrap());
        let made = revocations(&stranger.verifying_key().id());
        let file = made.sign(&[&key]);
        let (read, signers) = Revocations::read("it", &file, &[key.verifying_key()]).unwrap();
        assert_eq!((read, signers), (made, vec![key.verifying_key().id()]));
        let error = Revocations::read("it", &file, &[stranger.verifying_key()]).unwrap_err();
        assert!(matches!(error, RevocationsError::Untrusted { .. }), "{error}");
    }

    #[test]
    fn a_file_that_was_changed_and_other_files_are_refused() {
        let key = SigningKey::generate(Algorithm::Ed25519).unwrap();
        let trusted = [key.verifying_key()];
        let made = revocations(&trusted[0].id());
        let [mut file, emptied] = [&made, &Revocations::new(made.time)]
            .map(|one| serde_json::from_slice::<serde_json::Value>(&one.sign(&[&key])).unwrap());
        file["payload"] = emptied["payload"].clone();
        let read = |bytes: &[u8]| Revocations::read("it", bytes, &trusted).unwrap_err();
        assert!(matches!(read(file.to_string().as_bytes()), RevocationsError::Altered { .. }));
        assert!(matches!(read(b"{}"), RevocationsError::Shape { .. }));
        assert!(matches!(read(&vec![b' '; (4 << 20) + 1]), RevocationsError::Size { .. }));
        let later = Revocations { schema: 2, ..made };
        assert!(matches!(read(&later.sign(&[&key])), RevocationsError::Shape { .. }));
    }

    #[test]
    fn a_reason_is_one_plain_line() {
        assert_eq!(reason("lost").to_string(), "lost");
        for wrong in ["", " ", "a\nb", "\u{1b}[2J", &"x".repeat(201)] {
            assert!(wrong.parse::<Reason>().is_err(), "{wrong:?}");
        }
    }
}
