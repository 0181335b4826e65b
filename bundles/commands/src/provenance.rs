//! How far a reader can trust a bundle's provenance.

use std::collections::BTreeMap;
use std::fmt;

use kbundle_format::attestation::{AttestationError, Builder, PROVENANCE_PATH, Provenance, Statement};
use kbundle_format::{BundleHead, KeyId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::signers::Trusted;

/// What a bundle's provenance is worth to whoever trusts certain keys.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "status", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ProvenanceCheck {
    /// The bundle carries none.
    Absent,
    /// None of the trusted keys signed it.
    NotTrusted,
    /// Trusted keys signed it, and it is about this list.
    Verified {
        /// The trusted keys that signed it.
        signers: Vec<KeyId>,
        /// What built the bundle, as a URN.
        builder: String,
        /// The builder's parts and their versions.
        versions: BTreeMap<String, String>,
        /// How many files went into the bundle.
        materials: usize,
    },
}

impl fmt::Display for ProvenanceCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("none"),
            Self::NotTrusted => f.write_str("not signed by a trusted key, so nothing is said about it"),
            Self::Verified { builder, versions, materials, .. } => {
                let versions: Vec<_> = versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
                write!(f, "verified: {} from {materials} materials ({builder})", versions.join(", "))
            }
        }
    }
}

/// Judges the provenance in `head`.
///
/// # Errors
/// When a trusted key signed it, but it is malformed or about another list.
pub fn check(head: &BundleHead, trusted: &Trusted) -> Result<ProvenanceCheck, AttestationError> {
    let Some(attestation) = head.attestations.iter().find(|one| one.path.as_str() == PROVENANCE_PATH) else {
        return Ok(ProvenanceCheck::Absent);
    };
    let path = attestation.path.as_str();
    match Statement::<Provenance>::verify(path, &attestation.content, &head.list_bytes, &trusted.keys()) {
        Err(AttestationError::Untrusted { .. } | AttestationError::Altered { .. }) => Ok(ProvenanceCheck::NotTrusted),
        Err(error) => Err(error),
        Ok((statement, signers)) => {
            let Builder { id, version } = statement.predicate.run_details.builder;
            let materials = statement.predicate.build_definition.resolved_dependencies.len();
            Ok(ProvenanceCheck::Verified { signers, builder: id, versions: version, materials })
        }
    }
}
