//! Signatures over the list, and the check whether they are enough.
//!
//! A signature file contains the base64 of one raw signature over the bytes of `bundle.json`. Its name in a bundle is
//! `signatures/KEYID.sig`; it may also be beside the bundle (detached). The name is a hint for people; only verification with a trusted key
//! counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::revocations::{Reason, Revocations, RevokedBundle};
use crate::{Digest, KeyId, SigningKey, VerifyingKey, text_file};

/// One signature, in a file's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFile {
    /// The file's name, for messages.
    pub name: String,
    /// The file's bytes: base64, an end of line allowed.
    pub content: Vec<u8>,
}

impl SignatureFile {
    /// Signs `list_bytes`.
    #[must_use]
    pub fn sign(list_bytes: &[u8], key: &SigningKey) -> Self {
        let content = format!("{}\n", BASE64.encode(key.sign(list_bytes))).into_bytes();
        Self { name: format!("signatures/{}.sig", key.verifying_key().id()), content }
    }

    /// Accepts a signature that another program made, in base64 or raw; `None` unless it is by `key` over `list_bytes`.
    #[must_use]
    pub fn made_elsewhere(content: &[u8], list_bytes: &[u8], key: &VerifyingKey) -> Option<Self> {
        let raw = [Some(content.to_vec()), decode(content)];
        let raw = raw.into_iter().flatten().find(|raw| key.verifies(list_bytes, raw))?;
        let content = format!("{}\n", BASE64.encode(raw)).into_bytes();
        Some(Self { name: format!("signatures/{}.sig", key.id()), content })
    }

    fn decode(&self) -> Option<Vec<u8>> {
        decode(&self.content)
    }
}

/// The signature in `content`, which is base64. Tools break its lines, and editors add a byte order mark.
fn decode(content: &[u8]) -> Option<Vec<u8>> {
    let mut text = text_file::decode(content).ok()?;
    text.retain(|character| !character.is_ascii_whitespace());
    BASE64.decode(text).ok()
}

/// Whose signatures are required, and how many.
///
/// ```
/// use kbundle_format::{SignatureFile, SigningKey, TrustPolicy, key::Algorithm};
///
/// let keys = [Algorithm::EcdsaP256, Algorithm::Ed25519].map(SigningKey::generate);
/// let [one, other] = keys.map(|key| key.expect("the system has random numbers"));
/// let policy = TrustPolicy::new([one.verifying_key(), other.verifying_key()], 2)?;
/// let signatures = [SignatureFile::sign(b"the list", &one), SignatureFile::sign(b"the list", &other)];
/// assert_eq!(policy.check(b"the list", &signatures)?.len(), 2);
/// assert!(policy.check(b"the list", &signatures[..1]).is_err());
/// # Ok::<(), kbundle_format::signature::TrustError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrustPolicy {
    keys: BTreeMap<KeyId, VerifyingKey>,
    threshold: usize,
    revocations: Arc<[Revocations]>,
}

/// Why signatures are not enough, or a policy is not possible.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// No key to trust.
    #[error("no trusted key was given")]
    NoKeys,
    /// The threshold cannot be met, or is zero.
    #[error("a threshold of {threshold} is not possible with {keys} different trusted key(s)")]
    Threshold {
        /// The given threshold.
        threshold: usize,
        /// The number of different keys.
        keys: usize,
    },
    /// There are no signatures.
    #[error("the bundle is not signed")]
    Unsigned,
    /// Too few signatures by trusted keys.
    #[error("{good} of {threshold} needed signature(s) by trusted keys; the bundle carries: {}", carried.join(", "))]
    NotEnough {
        /// Signatures by different trusted keys.
        good: usize,
        /// The required number of signatures.
        threshold: usize,
        /// Each signature file with the result of its check.
        carried: Vec<String>,
    },
    /// The list belongs to a revoked bundle.
    #[error("the bundle is revoked: {}{}", revoked.reason, superseded(revoked))]
    Revoked {
        /// The reason, and what to use instead.
        revoked: RevokedBundle,
    },
}

fn superseded(revoked: &RevokedBundle) -> String {
    revoked.superseded_by.map(|list| format!("; the bundle with the list {list} supersedes it")).unwrap_or_default()
}

impl TrustPolicy {
    /// Trusts each of `keys`; `threshold` different ones have to have signed.
    pub fn new(keys: impl IntoIterator<Item = VerifyingKey>, threshold: usize) -> Result<Self, TrustError> {
        let keys: BTreeMap<_, _> = keys.into_iter().map(|key| (key.id(), key)).collect();
        if keys.is_empty() {
            return Err(TrustError::NoKeys);
        }
        if !(1..=keys.len()).contains(&threshold) {
            return Err(TrustError::Threshold { threshold, keys: keys.len() });
        }
        Ok(Self { keys, threshold, revocations: Arc::new([]) })
    }

    /// The same, but signatures of keys in `revocations` do not count, and bundles in them are refused.
    #[must_use]
    pub fn revoking(self, revocations: Vec<Revocations>) -> Self {
        Self { revocations: revocations.into(), ..self }
    }

    /// The revocations that it applies.
    #[must_use]
    pub fn revocations(&self) -> &[Revocations] {
        &self.revocations
    }

    /// Why the key is revoked; `None` if it is not.
    #[must_use]
    pub fn revoked_key(&self, id: &KeyId) -> Option<&Reason> {
        self.revocations.iter().find_map(|one| one.keys.get(id)).map(|revoked| &revoked.reason)
    }

    /// Checks the signatures over `list_bytes` and names the trusted keys that signed, each once.
    pub fn check(&self, list_bytes: &[u8], signatures: &[SignatureFile]) -> Result<Vec<KeyId>, TrustError> {
        if signatures.is_empty() {
            return Err(TrustError::Unsigned);
        }
        let mut signers = Vec::new();
        let mut carried = Vec::new();
        for file in signatures {
            let verifies = |raw: Vec<u8>| self.keys.iter().find(|(_, key)| key.verifies(list_bytes, &raw));
            let signer = file.decode().and_then(verifies).map(|(id, _)| *id);
            let found = match (signer, signer.and_then(|id| self.revoked_key(&id))) {
                (_, Some(reason)) => format!("its key is revoked: {reason}"),
                (Some(id), None) if signers.contains(&id) => "key counted already".to_owned(),
                (Some(id), None) => {
                    signers.push(id);
                    "good".to_owned()
                }
                (None, None) if self.is_named(file) => {
                    "named after a trusted key, but not its signature over this list: one of them was changed after it was signed"
                        .to_owned()
                }
                (None, None) => "not by a trusted key over this list".to_owned(),
            };
            carried.push(format!("{} ({found})", file.name));
        }
        if signers.len() < self.threshold {
            return Err(TrustError::NotEnough { good: signers.len(), threshold: self.threshold, carried });
        }
        let list = Digest::of(list_bytes);
        match self.revocations.iter().find_map(|one| one.bundles.get(&list)) {
            Some(revoked) => Err(TrustError::Revoked { revoked: revoked.clone() }),
            None => Ok(signers),
        }
    }

    /// Whether a file has the name of a trusted key's signature. This decides nothing.
    fn is_named(&self, file: &SignatureFile) -> bool {
        let name = file.name.strip_prefix("signatures/").and_then(|name| name.strip_suffix(".sig"));
        name.and_then(|name| name.parse().ok()).is_some_and(|id: KeyId| self.keys.contains_key(&id))
    }
}

/// A list whose signatures were checked, with the keys that signed it.
///
/// Only the readers make one.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    value: T,
    signers: Vec<KeyId>,
}

impl<T> Verified<T> {
    pub(crate) fn new(value: T, signers: Vec<KeyId>) -> Self {
        Self { value, signers }
    }

    /// The trusted keys that signed.
    #[must_use]
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }
}

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Moment;
    use crate::key::Algorithm;
    use crate::revocations::RevokedKey;

    fn keys<const N: usize>() -> [SigningKey; N] {
        std::array::from_fn(|index| {
            SigningKey::generate([Algorithm::EcdsaP256, Algorithm::Ed25519][index % 2]).unwrap()
        })
    }

    fn trust<const N: usize>(keys: [&SigningKey; N], threshold: usize) -> TrustPolicy {
        TrustPolicy::new(keys.map(SigningKey::verifying_key), threshold).unwrap()
    }

    #[test]
    fn a_signature_counts_as_editors_and_other_tools_write_it() {
        let [a] = keys();
        let text = String::from_utf8(SignatureFile::sign(b"list", &a).content).unwrap();
        let (one, other) = text.split_at(20);
        for content in [format!("\u{FEFF}{text}"), format!("{one}\r\n{other}\r\n"), format!("{one}\n{other}")] {
            let file = SignatureFile { name: "by-hand.sig".into(), content: content.into() };
            assert!(trust([&a], 1).check(b"list", &[file]).is_ok());
        }
    }

    #[test]
    fn two_officers_of_three_are_enough() {
        let [a, b, c] = keys();
        let signatures = [SignatureFile::sign(b"list", &a), SignatureFile::sign(b"list", &c)];
        let signers = trust([&a, &b, &c], 2).check(b"list", &signatures).unwrap();
        assert_eq!(signers, [a.verifying_key().id(), c.verifying_key().id()]);
    }

    #[test]
    fn refuses_two_signatures_by_one_key() {
        let [a, b] = keys();
        let mut again = SignatureFile::sign(b"list", &a);
        again.name = "signatures/other-name.sig".into();
        let error = trust([&a, &b], 2).check(b"list", &[SignatureFile::sign(b"list", &a), again]).unwrap_err();
        assert!(matches!(error, TrustError::NotEnough { good: 1, threshold: 2, .. }), "{error}");
    }

    #[test]
    fn refuses_strangers_other_lists_and_noise() {
        let [a, stranger] = keys();
        let noise = SignatureFile { name: "signatures/noise.sig".into(), content: b"!!".to_vec() };
        for file in [SignatureFile::sign(b"list", &stranger), SignatureFile::sign(b"other list", &a), noise] {
            let error = trust([&a], 1).check(b"list", &[file]).unwrap_err();
            assert!(matches!(error, TrustError::NotEnough { good: 0, .. }), "{error}");
        }
        assert!(matches!(trust([&a], 1).check(b"list", &[]), Err(TrustError::Unsigned)));
    }

    #[test]
    fn a_changed_list_is_told_from_a_stranger() {
        let [a, stranger] = keys();
        let said = |file| trust([&a], 1).check(b"list", &[file]).unwrap_err().to_string();
        assert!(said(SignatureFile::sign(b"other list", &a)).contains("changed after it was signed"));
        assert!(said(SignatureFile::sign(b"list", &stranger)).contains("not by a trusted key"));
    }

    #[test]
    fn a_signature_by_a_revoked_key_does_not_count() {
        let [a, b] = keys();
        let signatures = [&a, &b].map(|key| SignatureFile::sign(b"list", key));
        let mut revocations = Revocations::new(Moment::now());
        let stolen = RevokedKey { reason: "stolen".parse().unwrap() };
        revocations.keys.insert(a.verifying_key().id(), stolen);
        let trust = |threshold| trust([&a, &b], threshold).revoking(vec![revocations.clone()]);
        assert_eq!(trust(1).check(b"list", &signatures).unwrap(), [b.verifying_key().id()]);
        let error = trust(2).check(b"list", &signatures).unwrap_err();
        assert!(matches!(error, TrustError::NotEnough { good: 1, .. }), "{error}");
        assert!(error.to_string().contains("its key is revoked: stolen"), "{error}");
    }

    #[test]
    fn a_revoked_bundle_is_refused_whoever_signed_it() {
        let [a] = keys();
        let mut revocations = Revocations::new(Moment::now());
        let revoked = RevokedBundle { reason: "CVE-2026-1".parse().unwrap(), superseded_by: Some(Digest::of(b"new")) };
        revocations.bundles.insert(Digest::of(b"list"), revoked);
        let trust = trust([&a], 1).revoking(vec![Revocations::new(Moment::now()), revocations]);
        let error = trust.check(b"list", &[SignatureFile::sign(b"list", &a)]).unwrap_err();
        assert!(matches!(error, TrustError::Revoked { .. }), "{error}");
        assert!(error.to_string().contains(&Digest::of(b"new").to_string()), "{error}");
        assert!(trust.check(b"new", &[SignatureFile::sign(b"new", &a)]).is_ok());
    }

    #[test]
    fn a_policy_has_to_make_sense() {
        let [a] = keys();
        let key = a.verifying_key();
        assert!(matches!(TrustPolicy::new([], 1), Err(TrustError::NoKeys)));
        assert!(matches!(TrustPolicy::new([key.clone()], 0), Err(TrustError::Threshold { .. })));
        assert!(matches!(TrustPolicy::new([key.clone(), key], 2), Err(TrustError::Threshold { keys: 1, .. })));
    }
}
