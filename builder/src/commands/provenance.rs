//! The provenance that a build states. `kbundle_commands::provenance` is how a reader verifies it.

use std::collections::BTreeMap;

use kbundle::lock::Lock;
use kbundle_format::attestation::{
    BuildDefinition, Builder, PROVENANCE_PATH, Provenance, ResourceDescriptor, RunDetails, Statement,
};
use kbundle_format::head::Attestation;
use kbundle_format::{BundleList, Digest, SigningKey};

/// Names the meaning of the parameters below.
const BUILD_TYPE: &str = "urn:kbundle:build:v1";
const BUILDER: &str = "urn:kbundle:builder";

/// States how the bundle of `list` was made from `lock`, signed by `keys`.
///
/// Contains no times and no host names: two builds of one lock state the same.
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
    let path = PROVENANCE_PATH.parse().expect("a plain path");
    Ok(Attestation { path, content: Statement::about(&list.to_bytes(), predicate).sign(keys) })
}
