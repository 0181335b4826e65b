//! The `input` of rules in Rego. `docs/audit-input.md` is its page.

use std::collections::BTreeMap;

use kbundle_advisories::Finding;
use kbundle_format::audit_record::BomSource;
use kbundle_format::key_notes::Day;
use kbundle_format::{BundleList, Digest, EntryPath, Image, KeyId};
use kbundle_sbom::PrivilegedFile;
use kbundle_sbom::cyclonedx::Component;
use serde::Serialize;
use serde_json::Value;

use super::Evidence;

/// The schema of the document.
pub const SCHEMA: u32 = 1;

/// The document that rules get.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Input<'a> {
    schema: u32,
    day: Day,
    signers: Vec<Signer>,
    list_digest: Digest,
    /// `bundle.json`.
    list: &'a BundleList,
    packages_from: BomSource,
    /// Images and files with their packages, as in CycloneDX 1.6.
    components: &'a [Component],
    images: Vec<ImageInput<'a>>,
    objects: Vec<ObjectInput<'a>>,
    advisories: Option<AdvisoriesInput<'a>>,
}

/// A trusted key that signed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Signer {
    key_id: KeyId,
    valid_from: Option<Day>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageInput<'a> {
    reference: String,
    platform: String,
    manifest: Digest,
    /// The user in its config; empty if the config states none.
    user: Option<&'a str>,
    /// Absent if files were not examined.
    #[serde(skip_serializing_if = "Option::is_none")]
    privileged_files: Option<Vec<FileInput<'a>>>,
}

/// A file that gives its users more rights.
#[derive(Serialize)]
struct FileInput<'a> {
    path: &'a str,
    privilege: String,
}

/// A Kubernetes object.
#[derive(Serialize)]
struct ObjectInput<'a> {
    /// The manifest that contains it.
    path: &'a EntryPath,
    digest: Digest,
    object: &'a Value,
}

/// The file of advisories.
#[derive(Serialize)]
struct AdvisoriesInput<'a> {
    file: &'a str,
    digest: Digest,
    day: Option<Day>,
    findings: &'a [Finding],
}

impl<'a> Input<'a> {
    /// The document for what was read.
    #[must_use]
    pub fn of(evidence: &'a Evidence<'_>) -> Self {
        let signer = |key: &KeyId| Signer { key_id: *key, valid_from: evidence.key_days.get(key).copied() };
        Self {
            schema: SCHEMA,
            day: evidence.today,
            signers: evidence.signers.iter().map(signer).collect(),
            list_digest: evidence.list_digest,
            list: evidence.list,
            packages_from: evidence.bom_source,
            components: &evidence.bom.components,
            images: evidence.list.images.iter().map(|image| of_image(image, evidence)).collect(),
            objects: evidence
                .objects
                .iter()
                .map(|found| ObjectInput { path: &found.path, digest: found.digest, object: &found.object })
                .collect(),
            advisories: evidence.advisories.as_ref().map(|advisories| AdvisoriesInput {
                file: &advisories.name,
                digest: advisories.digest,
                day: advisories.day,
                findings: &advisories.findings.findings,
            }),
        }
    }
}

fn of_image<'a>(image: &Image, evidence: &'a Evidence<'_>) -> ImageInput<'a> {
    let files = |all: &'a BTreeMap<Digest, Vec<PrivilegedFile>>| {
        let files = all.get(&image.manifest).map_or(&[][..], Vec::as_slice);
        files.iter().map(|file| FileInput { path: &file.path, privilege: file.privilege.to_string() }).collect()
    };
    ImageInput {
        reference: image.reference.to_string(),
        platform: image.platform.to_string(),
        manifest: image.manifest,
        user: evidence.users.get(&image.manifest).map(String::as_str),
        privileged_files: evidence.privileged.as_ref().map(files),
    }
}
