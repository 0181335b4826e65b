//! Attestations: statements about a bundle with their own signatures.
//!
//! A statement is in-toto's ([Statement v1]); its predicate is SLSA's provenance ([Provenance v1]) or the record of an audit
//! ([`crate::audit_record`]); it travels in a DSSE envelope ([DSSE]), whose signature is over the pre-authentication encoding of its
//! payload. The subject is `bundle.json`, so a statement belongs to one list, however much of that a file carries.
//!
//! [Statement v1]: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
//! [Provenance v1]: https://slsa.dev/spec/v1.0/provenance
//! [DSSE]: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::envelope::{self, EnvelopeError};
use crate::list::LIST_PATH;
use crate::{Digest, KeyId, SigningKey, VerifyingKey};

/// The path of the provenance in a bundle.
pub const PROVENANCE_PATH: &str = "attestations/provenance.dsse.json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// Why an attestation is not trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestationError {
    /// It is not an envelope around a statement.
    #[error("{path} is not a DSSE envelope around an in-toto statement")]
    Shape {
        /// Its path in the bundle, or its file.
        path: String,
    },
    /// None of its signatures is by one of the keys.
    #[error("{path} has no signature by a trusted key")]
    Untrusted {
        /// Its path in the bundle, or its file.
        path: String,
    },
    /// It names one of the keys as its signer, but the key's signature does not match its content.
    #[error("{path} is not what {key} signed: it was changed afterwards")]
    Altered {
        /// Its path in the bundle, or its file.
        path: String,
        /// The key.
        key: KeyId,
    },
    /// It is about another bundle.
    #[error("{path} is not about this bundle: its subject is {found}, the list is {expected}")]
    Subject {
        /// Its path in the bundle, or its file.
        path: String,
        /// Digest in the statement.
        found: String,
        /// The digest of the list.
        expected: Digest,
    },
}

/// The predicate of a statement: what it says about its subject.
pub trait Predicate: Serialize + DeserializeOwned {
    /// The URI of its type.
    const TYPE: &'static str;
}

/// An in-toto statement about the list of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement<P> {
    #[serde(rename = "_type")]
    format: String,
    /// The subject.
    pub subject: Vec<ResourceDescriptor>,
    predicate_type: String,
    /// The predicate.
    pub predicate: P,
}

/// SLSA provenance v1. It has no times: they would make two builds of one lock differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// The inputs.
    pub build_definition: BuildDefinition,
    /// The builder.
    pub run_details: RunDetails,
}

impl Predicate for Provenance {
    const TYPE: &'static str = "https://slsa.dev/provenance/v1";
}

/// The inputs of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildDefinition {
    /// Names the meaning of the parameters.
    pub build_type: String,
    /// The parameters that the user gave.
    pub external_parameters: BTreeMap<String, String>,
    /// The fetched content, with digests.
    pub resolved_dependencies: Vec<ResourceDescriptor>,
}

/// The builder of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDetails {
    /// The builder.
    pub builder: Builder,
}

/// A builder and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Builder {
    /// A URI that identifies it.
    pub id: String,
    /// Versions by component.
    pub version: BTreeMap<String, String>,
}

/// Something with a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceDescriptor {
    /// Its name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address that it was fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Hex digests by algorithm.
    pub digest: BTreeMap<String, String>,
}

impl ResourceDescriptor {
    /// Fetched content.
    #[must_use]
    pub fn fetched(uri: &str, digest: &Digest) -> Self {
        Self { name: None, uri: Some(uri.to_owned()), digest: sha256(digest) }
    }

    fn of_list(list: &Digest) -> Self {
        Self { name: Some(LIST_PATH.to_owned()), uri: None, digest: sha256(list) }
    }
}

fn sha256(digest: &Digest) -> BTreeMap<String, String> {
    BTreeMap::from([("sha256".to_owned(), digest.hex())])
}

impl<P: Predicate> Statement<P> {
    /// A statement of `predicate` about the bundle with these list bytes.
    #[must_use]
    pub fn about(list_bytes: &[u8], predicate: P) -> Self {
        Self::about_lists(&[Digest::of(list_bytes)], predicate)
    }

    /// A statement of `predicate` about the bundles with these lists.
    #[must_use]
    pub fn about_lists(lists: &[Digest], predicate: P) -> Self {
        Self {
            format: STATEMENT_TYPE.to_owned(),
            subject: lists.iter().map(ResourceDescriptor::of_list).collect(),
            predicate_type: P::TYPE.to_owned(),
            predicate,
        }
    }

    /// The envelope with the statement, signed by `keys`.
    #[must_use]
    pub fn sign(&self, keys: &[&SigningKey]) -> Vec<u8> {
        envelope::sign(PAYLOAD_TYPE, self, keys)
    }

    /// Reads a statement about the list from an envelope, which messages call `path`. Also returns the keys of `trusted` that signed it.
    pub fn verify(
        path: &str,
        envelope: &[u8],
        list_bytes: &[u8],
        trusted: &[VerifyingKey],
    ) -> Result<(Self, Vec<KeyId>), AttestationError> {
        let (statement, signers) = Self::verify_signed(path, envelope, trusted)?;
        let expected = Digest::of(list_bytes);
        match statement.subject.as_slice() {
            [subject] if subject.digest == sha256(&expected) => Ok((statement, signers)),
            subjects => {
                let found = subjects.iter().flat_map(|subject| subject.digest.values()).cloned().collect::<Vec<_>>();
                Err(AttestationError::Subject { path: path.to_owned(), found: found.join(", "), expected })
            }
        }
    }

    /// The same for a statement about any list.
    pub fn verify_signed(
        path: &str,
        envelope: &[u8],
        trusted: &[VerifyingKey],
    ) -> Result<(Self, Vec<KeyId>), AttestationError> {
        let path = || path.to_owned();
        let shape = || AttestationError::Shape { path: path() };
        let (statement, signers): (Self, _) =
            envelope::open(PAYLOAD_TYPE, envelope, trusted).map_err(|error| match error {
                EnvelopeError::Shape => shape(),
                EnvelopeError::Untrusted => AttestationError::Untrusted { path: path() },
                EnvelopeError::Altered { key } => AttestationError::Altered { path: path(), key },
            })?;
        let types = (statement.format.as_str(), statement.predicate_type.as_str());
        if types == (STATEMENT_TYPE, P::TYPE) { Ok((statement, signers)) } else { Err(shape()) }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::*;
    use crate::key::Algorithm;
    use crate::list::canonical_json;

    fn statement() -> Statement<Provenance> {
        let provenance = Provenance {
            build_definition: BuildDefinition {
                build_type: "https://example.org/build/v1".into(),
                external_parameters: [("kubernetes".to_owned(), "1.25.2".to_owned())].into(),
                resolved_dependencies: vec![ResourceDescriptor::fetched("https://example.org/a", &Digest::of(b"a"))],
            },
            run_details: RunDetails {
                builder: Builder { id: "https://example.org/kbundle".into(), version: BTreeMap::new() },
            },
        };
        Statement::about(b"list", provenance)
    }

    fn verify(envelope: &[u8], list: &[u8], trusted: &[VerifyingKey]) -> Result<Vec<KeyId>, AttestationError> {
        let (read, signers) = Statement::verify("it", envelope, list, trusted)?;
        assert_eq!(read, statement());
        Ok(signers)
    }

    #[test]
    fn a_statement_is_believed_for_its_list_and_signer_only() {
        let key = SigningKey::generate(Algorithm::EcdsaP256).unwrap();
        let stranger = SigningKey::generate(Algorithm::Ed25519).unwrap();
        let envelope = statement().sign(&[&key]);
        let trusted = [key.verifying_key(), stranger.verifying_key()];
        assert_eq!(verify(&envelope, b"list", &trusted).unwrap(), [key.verifying_key().id()]);
        let error = verify(&envelope, b"another list", &trusted).unwrap_err();
        assert!(matches!(error, AttestationError::Subject { .. }), "{error}");
        let error = verify(&envelope, b"list", &trusted[1..]).unwrap_err();
        assert!(matches!(error, AttestationError::Untrusted { .. }), "{error}");
        assert!(matches!(verify(b"{}", b"list", &trusted), Err(AttestationError::Shape { .. })));
    }

    #[test]
    fn a_statement_that_was_changed_after_it_was_signed_is_told_from_one_of_a_stranger() {
        let key = SigningKey::generate(Algorithm::EcdsaP256).unwrap();
        let envelope = statement().sign(&[&key]);
        let mut changed = statement();
        changed.predicate.run_details.builder.id = "https://example.org/another".into();
        let mut value: serde_json::Value = serde_json::from_slice(&envelope).unwrap();
        value["payload"] = BASE64.encode(canonical_json(&changed)).into();
        let error = verify(value.to_string().as_bytes(), b"list", &[key.verifying_key()]).unwrap_err();
        assert!(
            matches!(error, AttestationError::Altered { key: id, .. } if id == key.verifying_key().id()),
            "{error}"
        );
    }

    #[test]
    fn the_statement_has_the_fields_of_the_specifications() {
        let value = serde_json::to_value(statement()).unwrap();
        assert_eq!(value["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(value["predicateType"], "https://slsa.dev/provenance/v1");
        assert_eq!(value["subject"][0]["digest"]["sha256"], Digest::of(b"list").hex());
        assert!(value["predicate"]["buildDefinition"]["resolvedDependencies"][0]["uri"].is_string());
        assert!(value["predicate"]["runDetails"]["builder"]["id"].is_string());
    }
}
