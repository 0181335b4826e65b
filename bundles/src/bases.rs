//! The note in a differential bundle about the bundles that complete it.
//!
//! The note is among the attestations and has no signature: it helps people to find the right file and decides nothing, since all content
//! from a base is compared with the signed list. The full bundle does not have it.

use serde::{Deserialize, Serialize};

use crate::head::Attestation;
use crate::{BundleHead, Digest, KubeVersion};

/// The path of the note.
pub const BASES_PATH: &str = "attestations/bases.json";
/// Most characters of a name that is shown.
const MAX_NAME_CHARS: usize = 200;

/// A bundle that completes a differential bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Base {
    /// The name of its file.
    pub name: String,
    /// The release that it sets up.
    pub kubernetes_version: KubeVersion,
    /// Digest of its list.
    pub list_digest: Digest,
}

/// The bases of a differential bundle, as its attestation lists them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bases(pub Vec<Base>);

impl Bases {
    /// The note in a bundle's form; `None` if there is no base to name.
    #[must_use]
    pub fn to_attestation(&self) -> Option<Attestation> {
        let content = serde_json::to_vec(self).expect("texts can be written as JSON");
        let path = BASES_PATH.parse().expect("the path is a good one");
        (!self.0.is_empty()).then_some(Attestation { path, content })
    }

    /// Reads the note of the bundle with `head`; `None` if the bundle has no readable note.
    #[must_use]
    pub fn of(head: &BundleHead) -> Option<Self> {
        let note = head.attestations.iter().find(|one| one.path.as_str() == BASES_PATH)?;
        serde_json::from_slice(&note.content).ok()
    }
}

/// The attestations that the full bundle has as well.
#[must_use]
pub fn without_bases(attestations: &[Attestation]) -> Vec<Attestation> {
    attestations.iter().filter(|one| one.path.as_str() != BASES_PATH).cloned().collect()
}

/// For hints: `old.tar.zst (Kubernetes 1.25.2, list sha256:…)`.
impl std::fmt::Display for Bases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (base, number) in self.0.iter().zip(0..) {
            let name: String = base.name.chars().filter(|letter| !letter.is_control()).take(MAX_NAME_CHARS).collect();
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{name} (Kubernetes {}, list {})", base.kubernetes_version, base.list_digest)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_write_on_the_terminal() {
        let base = Base {
            name: "old\u{1b}[2J.tar.zst".to_owned(),
            kubernetes_version: "1.25.2".parse().unwrap(),
            list_digest: Digest::of(b"list"),
        };
        let text = Bases(vec![base.clone(), base]).to_string();
        assert!(text.starts_with("old[2J.tar.zst (Kubernetes 1.25.2, list sha256:"), "{text}");
        assert!(text.contains("), old"), "{text}");
    }
}
