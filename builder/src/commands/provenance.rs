//! The provenance that a build states, and what a reader makes of it.

use std::collections::BTreeMap;
use std::fmt;

use kbundle::lock::Lock;
use kbundle_format::attestation::{
    AttestationError, BuildDefinition, Builder, PROVENANCE_PATH, Provenance, ResourceDescriptor, RunDetails, Statement,
};
use kbundle_format::head::Attestation;
use kbundle_format::{BundleHead, BundleList, Digest, KeyId, SigningKey};
use schemars::JsonSchema;
use serde::Serialize;

use super::keys::Trusted;

/// Names the meaning of the parameters below.
const BUILD_TYPE: &str = "urn:kbundle:build:v1";
const BUILDER: &str = "urn:kbundle:builder";

/// What a bundle's provenance is worth to whoever trusts certain keys.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "status", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Origin {
    /// The bundle carries none.
    Absent,
    /// None of the trusted keys signed it.
    NotTrusted,
    /// Trusted keys signed it, and it is about this list.
    Verified { signers: Vec<KeyId>, builder: String, versions: BTreeMap<String, String>, materials: usize },
}

impl fmt::Display for Origin {
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

/// States how the bundle of `list` was made from `lock`, signed by `keys`.
///
/// No times and no names of hosts: two builds of one lock state the same.
pub fn state(lock: &Lock, list: &BundleList, keys: &[&SigningKey]) -> anyhow::Result<Attestation> {
    let parameters = [
        ("kubernetes", list.kubernetes_version.to_string()),
        ("platforms", list.platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        ("compressionLevel", list.compression.level.to_string()),
        ("lock", Digest::of(lock.to_yaml()?.as_bytes()).to_string()),
    ];
    let fetched = list.entries.iter().filter_map(|entry| {
        let origin = entry.origin.as_ref()?;
        Some(ResourceDescriptor::fetched(&origin.url, &entry.digest))
    });
    let catalogs = list.sources.iter().map(|source| ResourceDescriptor {
        name: Some(source.name.clone()),
        uri: None,
        digest: BTreeMap::from([("sha256".to_owned(), source.digest.hex())]),
    });
    let predicate = Provenance {
        build_definition: BuildDefinition {
            build_type: BUILD_TYPE.to_owned(),
            external_parameters: parameters.map(|(name, value)| (name.to_owned(), value)).into(),
            resolved_dependencies: catalogs.chain(fetched).collect(),
        },
        run_details: RunDetails {
            builder: Builder {
                id: BUILDER.to_owned(),
                version: BTreeMap::from([
                    ("kbundle".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
                    ("zstd".to_owned(), list.compression.zstd.clone()),
                ]),
            },
        },
    };
    Ok(Statement::provenance_of(&list.to_bytes(), predicate).sign(keys))
}

/// Judges the provenance in `head`.
///
/// # Errors
/// One that a trusted key signed, but that is malformed or about another list.
pub fn check(head: &BundleHead, trusted: &Trusted) -> Result<Origin, AttestationError> {
    let Some(attestation) = head.attestations.iter().find(|one| one.path.as_str() == PROVENANCE_PATH) else {
        return Ok(Origin::Absent);
    };
    match Statement::verify(attestation, &head.list_bytes, &trusted.keys()) {
        Err(AttestationError::Untrusted { .. }) => Ok(Origin::NotTrusted),
        Err(error) => Err(error),
        Ok((statement, signers)) => {
            let Builder { id, version } = statement.predicate.run_details.builder;
            let materials = statement.predicate.build_definition.resolved_dependencies.len();
            Ok(Origin::Verified { signers, builder: id, versions: version, materials })
        }
    }
}
