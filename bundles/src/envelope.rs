//! DSSE's envelope: JSON with its signatures ([DSSE]).
//!
//! [DSSE]: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::list::canonical_json;
use crate::{KeyId, SigningKey, VerifyingKey};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    keyid: String,
    sig: String,
}

/// Why an envelope is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnvelopeError {
    /// It is not an envelope, or not around such a payload.
    Shape,
    /// None of its signatures is by one of the keys.
    Untrusted,
    /// It names this key as its signer, but the key's signature does not match its content.
    Altered { key: KeyId },
}

/// An envelope of `payload_type` around `payload`, signed by `keys`.
pub(crate) fn sign(payload_type: &str, payload: &impl Serialize, keys: &[&SigningKey]) -> Vec<u8> {
    let payload = canonical_json(payload);
    let encoded = pre_authentication_encoding(payload_type, &payload);
    let signatures = keys
        .iter()
        .map(|key| Signature { keyid: key.verifying_key().id().to_string(), sig: BASE64.encode(key.sign(&encoded)) });
    canonical_json(&Envelope {
        payload_type: payload_type.to_owned(),
        payload: BASE64.encode(&payload),
        signatures: signatures.collect(),
    })
}

/// The payload of an envelope of `payload_type`, and the keys of `trusted` that signed it: at least one.
pub(crate) fn open<P: DeserializeOwned>(
    payload_type: &str,
    envelope: &[u8],
    trusted: &[VerifyingKey],
) -> Result<(P, Vec<KeyId>), EnvelopeError> {
    let envelope: Envelope = serde_json::from_slice(envelope).map_err(|_| EnvelopeError::Shape)?;
    let payload = BASE64.decode(&envelope.payload).map_err(|_| EnvelopeError::Shape)?;
    let signers = envelope.signers(&payload, trusted);
    if signers.is_empty() {
        return Err(match envelope.names_one_of(trusted) {
            Some(key) => EnvelopeError::Altered { key },
            None => EnvelopeError::Untrusted,
        });
    }
    // The signature covers the type, so the type is compared after the signature.
    let payload = serde_json::from_slice(&payload).map_err(|_| EnvelopeError::Shape)?;
    if envelope.payload_type == payload_type { Ok((payload, signers)) } else { Err(EnvelopeError::Shape) }
}

impl Envelope {
    /// The keys of `trusted` that signed `payload`.
    fn signers(&self, payload: &[u8], trusted: &[VerifyingKey]) -> Vec<KeyId> {
        let encoded = pre_authentication_encoding(&self.payload_type, payload);
        let signed = |key: &&VerifyingKey| {
            let mut raw = self.signatures.iter().filter_map(|signature| BASE64.decode(&signature.sig).ok());
            raw.any(|raw| key.verifies(&encoded, &raw))
        };
        trusted.iter().filter(signed).map(VerifyingKey::id).collect()
    }

    /// The first key of `trusted` that the envelope names as a signer.
    fn names_one_of(&self, trusted: &[VerifyingKey]) -> Option<KeyId> {
        let named = |id: &KeyId| self.signatures.iter().any(|signature| signature.keyid == id.to_string());
        trusted.iter().map(VerifyingKey::id).find(named)
    }
}

/// The bytes that DSSE signs: type and payload, each with its length.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Algorithm;

    #[test]
    fn the_encoding_is_that_of_the_protocol() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn a_payload_of_another_type_is_refused() {
        let key = SigningKey::generate(Algorithm::EcdsaP256).unwrap();
        let trusted = [key.verifying_key()];
        let envelope = sign("application/one", &"payload", &[&key]);
        let (payload, signers): (String, _) = open("application/one", &envelope, &trusted).unwrap();
        assert_eq!((payload.as_str(), signers), ("payload", vec![trusted[0].id()]));
        assert_eq!(open::<String>("application/other", &envelope, &trusted), Err(EnvelopeError::Shape));
    }
}
