//! Verifies that a document was signed by an archive's key (RFC 9580: the cleartext signature framework, or detached signatures).

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pgp::composed::{
    CleartextSignedMessage, Deserializable as _, DetachedSignature, SignedPublicKey, SignedPublicSubKey,
};
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, Tag, Timestamp, VerifyingKey};

use super::OsPackageSettingsError;

/// Keys that an archive signs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    /// The file.
    pub path: PathBuf,
    keys: Vec<SignedPublicKey>,
}

/// A document whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedText {
    /// The signed text, with lines that end in LF.
    pub text: String,
    /// The fingerprint of the primary key behind the signature, in hexadecimal digits.
    pub fingerprint: String,
}

impl Keyring {
    /// Reads keys in the form of `gpg --export`, armoured or not.
    ///
    /// # Errors
    /// [`OsPackageSettingsError::Keyring`].
    pub fn parse(path: &Path, content: &[u8]) -> Result<Self, OsPackageSettingsError> {
        let refuse = |reason: String| OsPackageSettingsError::Keyring { path: path.to_owned(), reason };
        let (keys, _) = SignedPublicKey::from_reader_many(content).map_err(|error| refuse(error.to_string()))?;
        let keys = keys.collect::<Result<Vec<_>, _>>().map_err(|error| refuse(error.to_string()))?;
        if keys.is_empty() {
            return Err(refuse("it is empty".to_owned()));
        }
        Ok(Self { path: path.to_owned(), keys })
    }

    /// The text of a cleartext-signed document. One of its signatures has to be by a key in the keyring that is valid at `now`.
    ///
    /// # Errors
    /// The reason why no signature counts.
    pub fn verify(&self, document: &str, now: SystemTime) -> Result<SignedText, String> {
        let (message, _) = CleartextSignedMessage::from_string(document).map_err(|error| error.to_string())?;
        let text = message.signed_text();
        let fingerprint = self.signer_of(message.signatures(), &text, now)?;
        Ok(SignedText { text: text.replace("\r\n", "\n"), fingerprint })
    }

    /// The same for a text with detached signatures, armoured or not.
    ///
    /// # Errors
    /// The reason why no signature counts.
    pub fn verify_detached(&self, text: &str, signatures: &[u8], now: SystemTime) -> Result<SignedText, String> {
        let (found, _) = DetachedSignature::from_reader_many(signatures).map_err(|error| error.to_string())?;
        let found = found.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let fingerprint = self.signer_of(found.iter().map(|found| &found.signature), text, now)?;
        Ok(SignedText { text: text.to_owned(), fingerprint })
    }

    /// The fingerprint of the primary key behind the first signature that counts.
    fn signer_of<'a>(
        &self,
        signatures: impl IntoIterator<Item = &'a Signature>,
        text: &str,
        now: SystemTime,
    ) -> Result<String, String> {
        let mut reasons = Vec::new();
        for signature in signatures {
            for key in &self.keys {
                match signer(key, signature, text, now) {
                    Ok(true) => return Ok(key.primary_key.fingerprint().to_string()),
                    Ok(false) => {}
                    Err(reason) => reasons.push(reason),
                }
            }
        }
        Err(if reasons.is_empty() { "other keys signed it".to_owned() } else { reasons.join("; ") })
    }
}

/// Whether the primary key or a subkey of `key` made the signature; an error if the signature is not over this text, or if the key may not
/// sign.
fn signer(key: &SignedPublicKey, signature: &Signature, text: &str, now: SystemTime) -> Result<bool, String> {
    let primary = &key.primary_key;
    if names(signature, primary) {
        check_signature(signature, primary, text, now)?;
        check_primary(key, now)?;
        return Ok(true);
    }
    let Some(subkey) = key.public_subkeys.iter().find(|subkey| names(signature, &subkey.key)) else {
        return Ok(false);
    };
    check_signature(signature, &subkey.key, text, now)?;
    check_primary(key, now)?;
    check_subkey(key, subkey, now)?;
    Ok(true)
}

fn names(signature: &Signature, key: &impl KeyDetails) -> bool {
    signature.issuer_fingerprint().contains(&&key.fingerprint())
        || signature.issuer_key_id().contains(&&key.legacy_key_id())
}

fn check_signature(signature: &Signature, key: &impl VerifyingKey, text: &str, now: SystemTime) -> Result<(), String> {
    let of = key.fingerprint();
    if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary)) {
        return Err(format!("the signature by {of} is not of a document"));
    }
    // The crate refuses MD5, SHA-1 and RIPEMD-160.
    signature.verify(key, text.as_bytes()).map_err(|_| format!("the signature by {of} is not of this content"))?;
    let created = signature.created();
    if created.is_none_or(|created| time(created) > now + CLOCK_TOLERANCE) {
        return Err(format!("the signature by {of} has no date, or one that is still to come"));
    }
    let lifetime = signature.signature_expiration_time();
    if is_over(created, lifetime.map(Into::into), now) {
        return Err(format!("the signature by {of} has expired"));
    }
    Ok(())
}

/// How far the clock may be behind the archive's.
const CLOCK_TOLERANCE: Duration = Duration::from_hours(24);

fn time(timestamp: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(timestamp.as_secs().into())
}

/// Whether the lifetime that began at `created` is over; no lifetime, or a lifetime of zero, has no end.
fn is_over(created: Option<Timestamp>, lifetime: Option<Duration>, now: SystemTime) -> bool {
    let lifetime = lifetime.filter(|lifetime| !lifetime.is_zero());
    created.zip(lifetime).is_some_and(|(created, lifetime)| time(created) + lifetime < now)
}

/// Refuses a key that was revoked or has expired, by its newest signature over itself.
fn check_primary(key: &SignedPublicKey, now: SystemTime) -> Result<(), String> {
    let (primary, of) = (&key.primary_key, key.primary_key.fingerprint());
    if key.details.revocation_signatures.iter().any(|revocation| revocation.verify_key(primary).is_ok()) {
        return Err(format!("the key {of} was revoked"));
    }
    let direct = key.details.direct_signatures.iter().filter(|signature| signature.verify_key(primary).is_ok());
    let of_users = key.details.users.iter().flat_map(|user| {
        let is_own = |signature: &&Signature| {
            signature.is_certification() && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        };
        user.signatures.iter().filter(is_own)
    });
    let newest = direct.chain(of_users).max_by_key(|signature| signature.created().map(Timestamp::as_secs));
    let newest = newest.ok_or_else(|| format!("the key {of} has no signature over itself"))?;
    let lifetime = newest.key_expiration_time().map(Into::into);
    if is_over(Some(primary.created_at()), lifetime, now) {
        return Err(format!("the key {of} has expired"));
    }
    Ok(())
}

/// Refuses a subkey that the primary key does not let sign, by its newest signature over it.
fn check_subkey(key: &SignedPublicKey, subkey: &SignedPublicSubKey, now: SystemTime) -> Result<(), String> {
    let (primary, of) = (&key.primary_key, subkey.key.fingerprint());
    let own =
        subkey.signatures.iter().filter(|signature| signature.verify_subkey_binding(primary, &subkey.key).is_ok());
    let (revocations, bindings): (Vec<_>, Vec<_>) =
        own.partition(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation));
    if !revocations.is_empty() {
        return Err(format!("the subkey {of} was revoked"));
    }
    let newest = bindings.into_iter().max_by_key(|signature| signature.created().map(Timestamp::as_secs));
    let newest = newest.ok_or_else(|| format!("the subkey {of} does not belong to its key"))?;
    let signs_back =
        newest.embedded_signature().is_some_and(|back| back.verify_primary_key_binding(&subkey.key, primary).is_ok());
    if !newest.key_flags().sign() || !signs_back {
        return Err(format!("the subkey {of} is not one that signs"));
    }
    if is_over(Some(subkey.key.created_at()), newest.key_expiration_time().map(Into::into), now) {
        return Err(format!("the subkey {of} has expired"));
    }
    Ok(())
}
