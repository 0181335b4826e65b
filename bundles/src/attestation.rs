//! Attestations: statements about a bundle that bear a signature of their own.
//!
//! A statement is in-toto's ([Statement v1]); its predicate here is SLSA's provenance ([Provenance v1]); it travels in a DSSE
//! envelope ([DSSE]), whose signature is over the pre-authentication encoding of its payload. The subject is `bundle.json`,
//! so that a statement belongs to one list whatever a file carries of it.
//!
//! [Statement v1]: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
//! [Provenance v1]: https://slsa.dev/spec/v1.0/provenance
//! [DSSE]: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::head::Attestation;
use crate::list::{LIST_PATH, canonical_json};
use crate::{Digest, KeyId, SigningKey, VerifyingKey};

/// The path of the provenance in a bundle.
pub const PROVENANCE_PATH: &str = "attestations/provenance.dsse.json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PROVENANCE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// Why an attestation is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestationError {
    /// Not an envelope with a statement in it.
    #[error("{path} is not a DSSE envelope around an in-toto statement")]
    Shape {
        /// Its path in the bundle.
        path: String,
    },
    /// None of its signatures is by one of the keys.
    #[error("{path} has no signature by a trusted key")]
    Untrusted {
        /// Its path in the bundle.
        path: String,
    },
    /// It is about something else.
    #[error("{path} is not about this bundle: its subject is {found}, the list is {expected}")]
    Subject {
        /// Its path in the bundle.
        path: String,
        /// Digest in the statement.
        found: String,
        /// Digest of the list.
        expected: Digest,
    },
}

/// An in-toto statement with SLSA provenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    format: String,
    /// What it is about.
    pub subject: Vec<ResourceDescriptor>,
    predicate_type: String,
    /// How the subject was made.
    pub predicate: Provenance,
}

/// SLSA provenance v1. Without times: they would make two builds of one lock differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// Inputs.
    pub build_definition: BuildDefinition,
    /// Who built.
    pub run_details: RunDetails,
}

/// What went into a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildDefinition {
    /// Names the meaning of the parameters.
    pub build_type: String,
    /// What the user asked for.
    pub external_parameters: BTreeMap<String, String>,
    /// What was fetched, with digests.
    pub resolved_dependencies: Vec<ResourceDescriptor>,
}

/// What did the building.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDetails {
    /// The builder.
    pub builder: Builder,
}

/// A builder and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Builder {
    /// A URI that names it.
    pub id: String,
    /// Versions by component.
    pub version: BTreeMap<String, String>,
}

/// Something with a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceDescriptor {
    /// Its name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it was fetched.
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

    fn of_list(list_bytes: &[u8]) -> Self {
        Self { name: Some(LIST_PATH.to_owned()), uri: None, digest: sha256(&Digest::of(list_bytes)) }
    }
}

fn sha256(digest: &Digest) -> BTreeMap<String, String> {
    BTreeMap::from([("sha256".to_owned(), digest.hex())])
}

impl Statement {
    /// States how the bundle with these list bytes was made.
    #[must_use]
    pub fn provenance_of(list_bytes: &[u8], predicate: Provenance) -> Self {
        Self {
            format: STATEMENT_TYPE.to_owned(),
            subject: vec![ResourceDescriptor::of_list(list_bytes)],
            predicate_type: PROVENANCE_TYPE.to_owned(),
            predicate,
        }
    }

    /// Puts the statement in an envelope signed by `keys`.
    #[must_use]
    pub fn sign(&self, keys: &[&SigningKey]) -> Attestation {
        let payload = canonical_json(self);
        let encoded = pre_authentication_encoding(PAYLOAD_TYPE, &payload);
        let signatures = keys.iter().map(|key| EnvelopeSignature {
            keyid: key.verifying_key().id().to_string(),
            sig: BASE64.encode(key.sign(&encoded)),
        });
        let envelope = Envelope {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: BASE64.encode(&payload),
            signatures: signatures.collect(),
        };
        let path = PROVENANCE_PATH.parse().expect("a plain path");
        Attestation { path, content: canonical_json(&envelope) }
    }

    /// Reads a statement about the list, and names the keys of `trusted` that signed it.
    pub fn verify(
        attestation: &Attestation,
        list_bytes: &[u8],
        trusted: &[VerifyingKey],
    ) -> Result<(Self, Vec<KeyId>), AttestationError> {
        let path = || attestation.path.to_string();
        let shape = || AttestationError::Shape { path: path() };
        let envelope: Envelope = serde_json::from_slice(&attestation.content).map_err(|_| shape())?;
        let payload = BASE64.decode(&envelope.payload).map_err(|_| shape())?;
        let encoded = pre_authentication_encoding(&envelope.payload_type, &payload);
        let signed = |key: &&VerifyingKey| {
            let raw = envelope.signatures.iter().filter_map(|signature| BASE64.decode(&signature.sig).ok());
            raw.into_iter().any(|raw| key.verifies(&encoded, &raw))
        };
        let signers: Vec<_> = trusted.iter().filter(signed).map(VerifyingKey::id).collect();
        if signers.is_empty() {
            return Err(AttestationError::Untrusted { path: path() });
        }
        let statement: Self = serde_json::from_slice(&payload).map_err(|_| shape())?;
        let types = (envelope.payload_type.as_str(), statement.format.as_str(), statement.predicate_type.as_str());
        if types != (PAYLOAD_TYPE, STATEMENT_TYPE, PROVENANCE_TYPE) {
            return Err(shape());
        }
        let expected = Digest::of(list_bytes);
        match statement.subject.as_slice() {
            [subject] if subject.digest == sha256(&expected) => Ok((statement, signers)),
            subjects => {
                let found = subjects.iter().flat_map(|subject| subject.digest.values()).cloned().collect::<Vec<_>>();
                Err(AttestationError::Subject { path: path(), found: found.join(", "), expected })
            }
        }
    }
}

/// DSSE's envelope.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize, Deserialize)]
struct EnvelopeSignature {
    keyid: String,
    sig: String,
}

/// What DSSE signs: type and payload, each with its length.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Algorithm;

    fn statement() -> Statement {
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
        Statement::provenance_of(b"list", provenance)
    }

    #[test]
    fn the_encoding_is_that_of_the_protocol() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn a_statement_is_believed_for_its_list_and_signer_only() {
        let key = SigningKey::generate(Algorithm::EcdsaP256).unwrap();
        let stranger = SigningKey::generate(Algorithm::Ed25519).unwrap();
        let attestation = statement().sign(&[&key]);
        let trusted = [key.verifying_key(), stranger.verifying_key()];
        let (read, signers) = Statement::verify(&attestation, b"list", &trusted).unwrap();
        assert_eq!((read, signers), (statement(), vec![key.verifying_key().id()]));
        let error = Statement::verify(&attestation, b"another list", &trusted).unwrap_err();
        assert!(matches!(error, AttestationError::Subject { .. }), "{error}");
        let error = Statement::verify(&attestation, b"list", &trusted[1..]).unwrap_err();
        assert!(matches!(error, AttestationError::Untrusted { .. }), "{error}");
        let noise = Attestation { content: b"{}".to_vec(), ..attestation };
        assert!(matches!(Statement::verify(&noise, b"list", &trusted), Err(AttestationError::Shape { .. })));
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
