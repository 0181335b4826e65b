//! Private keys: made here, written as SEC1 PEM, never shown.

use std::fmt;

use kbundle_format::Digest;
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::LineEnding;
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};

use super::PkiError;

/// An ECDSA P-256 private key.
#[derive(Clone)]
pub struct PrivateKey {
    secret: SecretKey,
    /// The public point, uncompressed (SEC1, section 2.3.3).
    public: Vec<u8>,
}

impl PrivateKey {
    /// A new random key.
    pub fn generate() -> Result<Self, PkiError> {
        loop {
            let mut bytes = p256::FieldBytes::default();
            getrandom::fill(&mut bytes).map_err(|error| PkiError::Random { reason: error.to_string() })?;
            // About one of 2^32 random numbers is beyond the curve's order.
            if let Ok(secret) = SecretKey::from_bytes(&bytes) {
                return Ok(Self::new(secret));
            }
        }
    }

    /// Reads a key as [`PrivateKey::to_pem`] writes it.
    pub fn from_pem(pem: &str) -> Result<Self, PkiError> {
        SecretKey::from_sec1_pem(pem).map(Self::new).map_err(|error| PkiError::Key { reason: error.to_string() })
    }

    /// The key as SEC1 PEM, `EC PRIVATE KEY` (RFC 5915).
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.secret.to_sec1_pem(LineEnding::LF).expect("a valid key can be encoded").to_string()
    }

    /// An identifier for certificates: the first 20 bytes of the public point's SHA-256 (RFC 7093, section 2, method 1).
    #[must_use]
    pub fn identifier(&self) -> Vec<u8> {
        Digest::of(&self.public).as_bytes()[..20].to_vec()
    }

    /// The public point, uncompressed.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    fn new(secret: SecretKey) -> Self {
        let public = secret.public_key().to_sec1_bytes().to_vec();
        Self { secret, public }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(hidden)")
    }
}

impl PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = SigningKey::from(&self.secret).sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}
