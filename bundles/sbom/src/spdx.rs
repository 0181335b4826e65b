//! The same document as SPDX 2.3.
//!
//! Source: "SPDX Specification 2.3" and its `spdx-schema.json`.

use std::collections::BTreeMap;

use kbundle_format::Digest;
use kbundle_format::list::canonical_json;
use serde::Serialize;

use crate::cyclonedx::{Bom, Component, Kind, LicenceChoice};

/// SPDX requires a time. Content without one gets this.
const NO_TIME: &str = "1970-01-01T00:00:00Z";
const UNKNOWN: &str = "NOASSERTION";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "SPDX names its fields so")]
struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: CreationInfo,
    packages: Vec<Package>,
    relationships: Vec<Relationship>,
    has_extracted_licensing_infos: Vec<ExtractedLicence>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: String,
    creators: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_info: Option<String>,
    download_location: String,
    files_analyzed: bool,
    license_concluded: &'static str,
    license_declared: String,
    copyright_text: &'static str,
    primary_package_purpose: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "SPDX names its fields so")]
struct ExternalRef {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "SPDX names its fields so")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExtractedLicence {
    license_id: String,
    name: String,
    extracted_text: String,
}

/// The bytes of the SPDX document with the content of `bom`.
#[must_use]
pub fn to_bytes(bom: &Bom) -> Vec<u8> {
    let mut conversion = Conversion::default();
    conversion.add("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-bundle", &bom.metadata.component);
    for (index, subject) in bom.components.iter().enumerate() {
        let id = format!("SPDXRef-{index}");
        conversion.add("SPDXRef-bundle", "CONTAINS", &id, subject);
        for (place, package) in subject.components.iter().enumerate() {
            conversion.add(&id, "CONTAINS", &format!("{id}-{place}"), package);
        }
    }
    let Conversion { packages, relationships, licences } = conversion;
    let component = &bom.metadata.component;
    let tools = bom.metadata.tools.components.iter();
    canonical_json(&Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: "SPDXRef-DOCUMENT",
        name: format!("{}-{}", component.name, component.version.as_deref().unwrap_or_default()),
        document_namespace: bom.serial_number.clone(),
        creation_info: CreationInfo {
            created: bom.metadata.timestamp.clone().unwrap_or_else(|| NO_TIME.to_owned()),
            creators: tools
                .map(|tool| format!("Tool: {}-{}", tool.name, tool.version.as_deref().unwrap_or_default()))
                .collect(),
        },
        packages,
        relationships,
        has_extracted_licensing_infos: licences
            .into_iter()
            .map(|(license_id, name)| ExtractedLicence { license_id, extracted_text: name.clone(), name })
            .collect(),
    })
}

#[derive(Default)]
struct Conversion {
    packages: Vec<Package>,
    relationships: Vec<Relationship>,
    /// Names of licences that are not SPDX's, by their identifiers in this document.
    licences: BTreeMap<String, String>,
}

impl Conversion {
    fn add(&mut self, parent: &str, relationship_type: &'static str, id: &str, component: &Component) {
        self.relationships.push(Relationship {
            spdx_element_id: parent.to_owned(),
            relationship_type,
            related_spdx_element: id.to_owned(),
        });
        let url = component.external_references.iter().map(|reference| &reference.url);
        let location = url.clone().find(|url| url.starts_with("https://") || url.starts_with("http://"));
        let not_read: Vec<_> = component.not_read().map(|text| format!("not read: {text}")).collect();
        let package = Package {
            id: id.to_owned(),
            name: component.full_name(),
            version_info: component.version.clone(),
            download_location: location.cloned().unwrap_or_else(|| UNKNOWN.to_owned()),
            files_analyzed: false,
            license_concluded: UNKNOWN,
            license_declared: self.licence(&component.licenses),
            copyright_text: UNKNOWN,
            primary_package_purpose: purpose(component.kind),
            checksums: component
                .hashes
                .iter()
                .map(|hash| Checksum { algorithm: "SHA256", checksum_value: hash.content.clone() })
                .collect(),
            external_refs: external_refs(component),
            source_info: source_info(component),
            comment: (!not_read.is_empty()).then(|| not_read.join("\n")),
        };
        self.packages.push(package);
    }

    fn licence(&mut self, choices: &[LicenceChoice]) -> String {
        let mut names = Vec::new();
        for choice in choices {
            match choice {
                LicenceChoice::Expression { expression } => return expression.clone(),
                LicenceChoice::Named { license } if crate::licence::is_expression(&license.name) => {
                    names.push(format!("({})", license.name));
                }
                LicenceChoice::Named { license } => {
                    let id = reference(&license.name);
                    self.licences.insert(id.clone(), license.name.clone());
                    names.push(id);
                }
            }
        }
        if names.is_empty() { UNKNOWN.to_owned() } else { names.join(" AND ") }
    }
}

/// A readable and unique identifier for a licence that is not SPDX's.
fn reference(name: &str) -> String {
    let letters: String =
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).take(40).collect();
    format!("LicenseRef-{letters}-{}", &Digest::of(name.as_bytes()).hex()[..8])
}

fn purpose(kind: Kind) -> &'static str {
    match kind {
        Kind::Application => "APPLICATION",
        Kind::Container => "CONTAINER",
        Kind::File => "FILE",
        Kind::Library => "LIBRARY",
        Kind::OperatingSystem => "OPERATING-SYSTEM",
    }
}

fn external_refs(component: &Component) -> Vec<ExternalRef> {
    let purl = component.purl.iter().map(|purl| ("PACKAGE-MANAGER", "purl", purl));
    let cpe = component
        .cpe
        .iter()
        .map(|cpe| ("SECURITY", if cpe.starts_with("cpe:2.3:") { "cpe23Type" } else { "cpe22Type" }, cpe));
    let made = |(reference_category, reference_type, locator): (_, _, &String)| ExternalRef {
        reference_category,
        reference_type,
        reference_locator: locator.clone(),
    };
    purl.chain(cpe).map(made).collect()
}

fn source_info(component: &Component) -> Option<String> {
    let places = component.evidence.iter().flat_map(|evidence| &evidence.occurrences).map(|place| {
        match &place.additional_context {
            Some(context) => format!("{} ({context})", place.location),
            None => place.location.clone(),
        }
    });
    let places: Vec<_> = places.collect();
    (!places.is_empty()).then(|| format!("found in {}", places.join(", ")))
}
