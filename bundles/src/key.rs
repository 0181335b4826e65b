//! Signing keys and verifying keys: ECDSA P-256 with SHA-256 (the default) and Ed25519, in PEM as OpenSSL writes it.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::Signer as _;
use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::key_found::{Half, KeyFileContent};
use crate::{Digest, text_type};

const ENCRYPTED_LABEL: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// The id of a key: the SHA-256 of its `SubjectPublicKeyInfo` in DER, as 64 hex digits.
///
/// `openssl pkey -pubin -in KEY -outform DER | sha256sum` prints the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Digest);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

impl FromStr for KeyId {
    type Err = crate::digest::DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Digest::from_hex(text).map(Self)
    }
}

text_type!(KeyId, "^[0-9a-f]{64}$");

/// Which algorithm a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// ECDSA on P-256 over the SHA-256 of the message; signatures in DER.
    EcdsaP256,
    /// Pure Ed25519 over the message; signatures of 64 bytes.
    Ed25519,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::Ed25519 => "Ed25519",
        })
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is not a PEM key of a known kind.
    #[error("not a {expected} in PEM for ECDSA P-256 or Ed25519")]
    Unreadable {
        /// `private key` or `public key`.
        expected: &'static str,
    },
    /// The file contains something other than the required key.
    #[error("{found} ({needed} is needed)")]
    Found {
        /// The half of a key that is required.
        needed: Half,
        /// The content of the file.
        found: KeyFileContent,
    },
    /// The key can be read only with its passphrase.
    #[error("the private key is encrypted and needs its passphrase")]
    Encrypted,
    /// The passphrase does not decrypt the key.
    #[error("the passphrase does not open the private key")]
    Passphrase,
    /// The system gave no random numbers, or a key could not be written out.
    #[error("cannot make a key: {reason}")]
    Generate {
        /// The system's error.
        reason: String,
    },
}

/// A private key. Its `Debug` form hides it.
///
/// ```
/// use kbundle_format::{SigningKey, VerifyingKey, key::Algorithm};
///
/// let key = SigningKey::generate(Algorithm::EcdsaP256)?;
/// let public = VerifyingKey::from_pem(&key.verifying_key().to_pem())?;
/// assert!(public.verifies(b"message", &key.sign(b"message")));
/// # Ok::<(), kbundle_format::key::KeyError>(())
/// ```
pub enum SigningKey {
    /// See [`Algorithm::EcdsaP256`].
    EcdsaP256(p256::ecdsa::SigningKey),
    /// See [`Algorithm::Ed25519`].
    Ed25519(ed25519_dalek::SigningKey),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(hidden)")
    }
}

impl SigningKey {
    /// A new key from the system's random numbers.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        loop {
            let mut secret = p256::FieldBytes::default();
            getrandom::fill(&mut secret).map_err(|error| KeyError::Generate { reason: error.to_string() })?;
            match algorithm {
                Algorithm::Ed25519 => return Ok(Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(&secret.into()))),
                // A number beyond the group's order is drawn again, as SEC 1 demands; that happens once in 2^32 draws.
                Algorithm::EcdsaP256 => {
                    if let Ok(key) = p256::ecdsa::SigningKey::from_bytes(&secret) {
                        return Ok(Self::EcdsaP256(key));
                    }
                }
            }
        }
    }

    /// Reads an unencrypted PKCS#8 key in PEM.
    ///
    /// # Errors
    /// [`KeyError::Encrypted`] when a passphrase is needed.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        if pem.contains(ENCRYPTED_LABEL) {
            return Err(KeyError::Encrypted);
        }
        if let Ok(key) = p256::ecdsa::SigningKey::from_pkcs8_pem(pem) {
            return Ok(Self::EcdsaP256(key));
        }
        match ed25519_dalek::SigningKey::from_pkcs8_pem(pem) {
            Ok(key) => Ok(Self::Ed25519(key)),
            Err(_) => Err(KeyError::Unreadable { expected: "private key (PKCS#8)" }),
        }
    }

    /// PKCS#8 in PEM, encrypted with `passphrase` (PBES2 with scrypt and AES-256-CBC).
    pub fn to_encrypted_pem(&self, passphrase: &str) -> Result<String, KeyError> {
        let pem = match self {
            Self::EcdsaP256(key) => key.to_pkcs8_encrypted_pem(passphrase, LineEnding::LF),
            Self::Ed25519(key) => secret_half(key).to_pkcs8_encrypted_pem(passphrase, LineEnding::LF),
        };
        pem.map(|pem| pem.to_string()).map_err(|error| KeyError::Generate { reason: error.to_string() })
    }

    /// PKCS#8 in PEM. The caller has to keep it secret.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let pem = match self {
            Self::EcdsaP256(key) => key.to_pkcs8_pem(LineEnding::LF),
            Self::Ed25519(key) => secret_half(key).to_pkcs8_pem(LineEnding::LF),
        };
        pem.map(|pem| pem.to_string()).map_err(|error| KeyError::Generate { reason: error.to_string() })
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        match self {
            Self::EcdsaP256(key) => VerifyingKey::EcdsaP256(*key.verifying_key()),
            Self::Ed25519(key) => VerifyingKey::Ed25519(key.verifying_key()),
        }
    }

    /// The raw signature over `message`: DER for ECDSA, 64 bytes for Ed25519. The same message gives the same signature.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::EcdsaP256(key) => {
                let signature: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(key, message);
                signature.to_der().as_bytes().to_vec()
            }
            Self::Ed25519(key) => key.sign(message).to_vec(),
        }
    }
}

/// An Ed25519 key without its public half. With both halves it would be version 2 of PKCS#8, which OpenSSL 3.0 cannot read.
fn secret_half(key: &ed25519_dalek::SigningKey) -> ed25519_dalek::pkcs8::KeypairBytes {
    ed25519_dalek::pkcs8::KeypairBytes { secret_key: key.to_bytes(), public_key: None }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyingKey {
    /// See [`Algorithm::EcdsaP256`].
    EcdsaP256(p256::ecdsa::VerifyingKey),
    /// See [`Algorithm::Ed25519`].
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl VerifyingKey {
    /// Reads a `SubjectPublicKeyInfo` in PEM (`-----BEGIN PUBLIC KEY-----`).
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_pem(pem) {
            return Ok(Self::EcdsaP256(key));
        }
        match ed25519_dalek::VerifyingKey::from_public_key_pem(pem) {
            Ok(key) => Ok(Self::Ed25519(key)),
            Err(_) => Err(KeyError::Unreadable { expected: "public key" }),
        }
    }

    /// `SubjectPublicKeyInfo` in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        match self {
            Self::EcdsaP256(key) => key.to_public_key_pem(LineEnding::LF),
            Self::Ed25519(key) => key.to_public_key_pem(LineEnding::LF),
        }
        .expect("a key that was read or made can be written")
    }

    /// The id of the key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let der = match self {
            Self::EcdsaP256(key) => key.to_public_key_der(),
            Self::Ed25519(key) => key.to_public_key_der(),
        }
        .expect("a key that was read or made can be written");
        KeyId(Digest::of(der.as_bytes()))
    }

    /// The algorithm of the signatures that it verifies.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::EcdsaP256(_) => Algorithm::EcdsaP256,
            Self::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// Whether `signature` is a signature by this key over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::EcdsaP256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            // The strict form refuses keys of small order, for which anyone could make a signature.
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_pem_and_verify_only_their_own_message() {
        for algorithm in [Algorithm::EcdsaP256, Algorithm::Ed25519] {
            let key = SigningKey::from_pem(&SigningKey::generate(algorithm).unwrap().to_pem().unwrap()).unwrap();
            let public = VerifyingKey::from_pem(&key.verifying_key().to_pem()).unwrap();
            let signature = key.sign(b"message");
            assert_eq!(public.algorithm(), algorithm);
            assert_eq!(public.id(), key.verifying_key().id());
            assert!(public.verifies(b"message", &signature));
            assert!(!public.verifies(b"massage", &signature));
            assert!(!public.verifies(b"message", &signature[1..]));
            let other = SigningKey::generate(algorithm).unwrap().verifying_key();
            assert!(!other.verifies(b"message", &signature));
        }
    }

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_only() {
        for algorithm in [Algorithm::EcdsaP256, Algorithm::Ed25519] {
            let key = SigningKey::generate(algorithm).unwrap();
            let pem = key.to_encrypted_pem("correct horse").unwrap();
            assert!(matches!(SigningKey::from_pem(&pem), Err(KeyError::Encrypted)));
            let opened = SigningKey::from_encrypted_file(pem.as_bytes(), "correct horse").unwrap();
            assert_eq!(opened.verifying_key(), key.verifying_key());
            assert!(matches!(SigningKey::from_encrypted_file(pem.as_bytes(), "wrong"), Err(KeyError::Passphrase)));
        }
    }

    #[test]
    fn a_private_key_never_shows_in_debug_output() {
        let key = SigningKey::generate(Algorithm::EcdsaP256).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey(hidden)");
    }

    #[test]
    fn a_public_key_is_not_taken_for_a_private_one() {
        let pem = SigningKey::generate(Algorithm::Ed25519).unwrap().verifying_key().to_pem();
        assert!(matches!(SigningKey::from_pem(&pem), Err(KeyError::Unreadable { .. })));
        assert!(VerifyingKey::from_pem("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n").is_err());
    }
}
