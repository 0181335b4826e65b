//! Which keys the user trusts: read from files where kinstall was called, and sent to the hosts, which verify for themselves.

use kbundle_format::head::SignatureCheck;
use kbundle_format::signature::TrustError;
use kbundle_format::{Revocations, SignatureFile, TrustPolicy, VerifyingKey};
use serde::{Deserialize, Serialize};

/// Trusted keys, how many of them have to have signed, and detached signatures from beside the bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Trust {
    keys: Vec<VerifyingKey>,
    threshold: usize,
    policy: TrustPolicy,
    detached: Vec<SignatureFile>,
}

impl Trust {
    /// Trusts each of `keys`; `threshold` different ones have to have signed.
    pub fn new(keys: Vec<VerifyingKey>, threshold: usize, detached: Vec<SignatureFile>) -> Result<Self, TrustError> {
        let policy = TrustPolicy::new(keys.iter().cloned(), threshold)?;
        Ok(Self { keys, threshold, policy, detached })
    }

    /// The same, but bundles in `revocations` are refused and signatures of keys in them do not count.
    #[must_use]
    pub fn revoking(self, revocations: Vec<Revocations>) -> Self {
        Self { policy: self.policy.revoking(revocations), ..self }
    }

    /// Whose signatures are required.
    #[must_use]
    pub fn policy(&self) -> &TrustPolicy {
        &self.policy
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// Signatures from beside the bundle.
    #[must_use]
    pub fn detached(&self) -> &[SignatureFile] {
        &self.detached
    }

    /// The required check of a bundle's signatures.
    #[must_use]
    pub fn check(&self) -> SignatureCheck<'_> {
        SignatureCheck::Required { trust: &self.policy, detached: &self.detached }
    }
}

/// The form in which it is sent to hosts.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    keys: Vec<String>,
    threshold: usize,
    detached: Vec<Detached>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revocations: Vec<Revocations>,
}

/// A signature file; its content is text.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Detached {
    name: String,
    content: String,
}

impl From<Trust> for Written {
    fn from(trust: Trust) -> Self {
        let detached = trust.detached.into_iter().map(|file| Detached {
            name: file.name,
            // A signature that is not text never verifies.
            content: String::from_utf8_lossy(&file.content).into_owned(),
        });
        let keys = trust.keys.iter().map(VerifyingKey::to_pem).collect();
        let revocations = trust.policy.revocations().to_vec();
        Self { keys, threshold: trust.threshold, detached: detached.collect(), revocations }
    }
}

impl TryFrom<Written> for Trust {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let keys = written.keys.iter().map(|pem| VerifyingKey::from_pem(pem)).collect::<Result<Vec<_>, _>>();
        let detached = written.detached.into_iter();
        let detached = detached.map(|file| SignatureFile { name: file.name, content: file.content.into_bytes() });
        let trust = Self::new(keys.map_err(|error| error.to_string())?, written.threshold, detached.collect());
        Ok(trust.map_err(|error| error.to_string())?.revoking(written.revocations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kbundle_format::SigningKey;
    use kbundle_format::key::Algorithm;

    #[test]
    fn trust_arrives_as_it_was_sent() {
        let [a, b] = [Algorithm::EcdsaP256, Algorithm::Ed25519].map(|kind| SigningKey::generate(kind).unwrap());
        let keys = vec![a.verifying_key(), b.verifying_key()];
        let detached = vec![SignatureFile::sign(b"list", &a), SignatureFile::sign(b"list", &b)];
        let sent = serde_json::to_string(&Trust::new(keys, 2, detached.clone()).unwrap()).unwrap();
        let trust: Trust = serde_json::from_str(&sent).unwrap();
        let SignatureCheck::Required { trust: policy, detached: arrived } = trust.check() else { unreachable!() };
        assert_eq!(policy.check(b"list", arrived).unwrap().len(), 2);
        assert_eq!(arrived, detached);
        let revocations = vec![Revocations::new("2026-11-28T12:00:00Z".parse().unwrap())];
        let sent_with = serde_json::to_string(&trust.clone().revoking(revocations.clone())).unwrap();
        assert_eq!(serde_json::from_str::<Trust>(&sent_with).unwrap().policy().revocations(), revocations);
        let lowered = sent.replace("\"threshold\":2", "\"threshold\":0");
        assert!(serde_json::from_str::<Trust>(&lowered).unwrap_err().to_string().contains("threshold of 0"));
    }
}
