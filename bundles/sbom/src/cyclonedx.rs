//! A CycloneDX 1.6 document: the part of the format that kbundle writes and reads.
//!
//! Source: ECMA-424 and `bom-1.6.schema.json` of CycloneDX/specification. The crate `cyclonedx-bom` ends at 1.5.

use kbundle_format::Digest;
use kbundle_format::list::canonical_json;
use serde::{Deserialize, Serialize};

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bom {
    /// Always `CycloneDX`.
    pub bom_format: String,
    /// Always `1.6`.
    pub spec_version: String,
    /// A UUID derived from the digest of the content, as a URN.
    pub serial_number: String,
    /// Always 1.
    pub version: u32,
    /// The subject of the document.
    pub metadata: Metadata,
    /// Images and files, with their packages below them.
    pub components: Vec<Component>,
    /// The components that were not examined completely.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compositions: Vec<Composition>,
}

/// The subject of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The creation time of the newest image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The program that wrote it.
    pub tools: Tools,
    /// The bundle, or the part of it that was requested.
    pub component: Component,
}

/// The program that wrote the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// kbundle.
    pub components: Vec<Component>,
}

/// An image, a file, an operating system or a package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// An id that is unique in the document.
    #[serde(rename = "bom-ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Maven's group or npm's scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The name.
    pub name: String,
    /// The version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Digests of its content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Hash>,
    /// Its licences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<LicenceChoice>,
    /// Its name in the Common Platform Enumeration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpe: Option<String>,
    /// Its package URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// The address that it was fetched from.
    #[serde(rename = "externalReferences", default, skip_serializing_if = "Vec::is_empty")]
    pub external_references: Vec<ExternalReference>,
    /// The components inside of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
    /// Where it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Values for which the schema has no field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Property>,
}

/// The type of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A program.
    Application,
    /// An image.
    Container,
    /// A file that is not a program.
    File,
    /// A package.
    #[default]
    Library,
    /// A distribution.
    OperatingSystem,
}

/// A digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hash {
    /// Always `SHA-256`.
    #[serde(rename = "alg")]
    pub algorithm: String,
    /// The digest in hex digits.
    pub content: String,
}

impl From<&Digest> for Hash {
    fn from(digest: &Digest) -> Self {
        Self { algorithm: "SHA-256".to_owned(), content: digest.hex() }
    }
}

/// A licence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LicenceChoice {
    /// An SPDX expression, which is then the only licence.
    Expression {
        /// Its text.
        expression: String,
    },
    /// A licence with another name.
    Named {
        /// The licence.
        license: NamedLicence,
    },
}

/// A licence that is not an SPDX expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedLicence {
    /// The name in the package's metadata.
    pub name: String,
}

/// An address where something is available.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalReference {
    /// Always `distribution`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub url: String,
}

/// Where a package was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// All places.
    pub occurrences: Vec<Occurrence>,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Occurrence {
    /// The path inside of the image or archive.
    pub location: String,
    /// The digest of the layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_context: Option<String>,
}

/// A name and a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// The name, which begins with `kbundle:`.
    pub name: String,
    /// The value.
    pub value: String,
}

/// A statement about completeness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Composition {
    /// Always `incomplete`.
    pub aggregate: String,
    /// The components that it concerns.
    pub assemblies: Vec<String>,
}

impl Component {
    /// The value of a property of kbundle.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|property| property.name == name).map(|property| property.value.as_str())
    }

    /// Reasons for parts of it that were not read.
    pub fn not_read(&self) -> impl Iterator<Item = &str> {
        self.properties.iter().filter(|property| property.name == NOT_READ).map(|property| property.value.as_str())
    }

    /// The licences in one line.
    #[must_use]
    pub fn licence(&self) -> Option<String> {
        let text = |choice: &LicenceChoice| match choice {
            LicenceChoice::Expression { expression } => expression.clone(),
            LicenceChoice::Named { license } => license.name.clone(),
        };
        (!self.licenses.is_empty()).then(|| self.licenses.iter().map(text).collect::<Vec<_>>().join(", "))
    }

    /// The name with its group in front.
    #[must_use]
    pub fn full_name(&self) -> String {
        match &self.group {
            Some(group) => format!("{group}/{}", self.name),
            None => self.name.clone(),
        }
    }

    /// The ecosystem of a package: the type in its package URL.
    #[must_use]
    pub fn ecosystem(&self) -> Option<&str> {
        self.purl.as_deref()?.strip_prefix("pkg:")?.split(['/', '@']).next()
    }

    /// Whether a user may mean this image or file by `name`.
    fn is_called(&self, name: &str) -> bool {
        [self.property(REFERENCE), self.property(PATH), Some(&self.name)].contains(&Some(name))
    }
}

/// The property with an image's reference.
pub const REFERENCE: &str = "kbundle:reference";
/// The property with a file's path in the bundle.
pub const PATH: &str = "kbundle:path";
/// The property with a platform.
pub const PLATFORM: &str = "kbundle:platform";
/// The property that names what was not read, and why.
pub const NOT_READ: &str = "kbundle:not-read";

impl Bom {
    /// The document about `components`, for the list whose digest is `content`.
    #[must_use]
    pub fn new(content: &Digest, timestamp: Option<String>, component: Component, components: Vec<Component>) -> Self {
        let tool = Component {
            kind: Kind::Application,
            name: "kbundle".to_owned(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            ..Component::default()
        };
        let incomplete = components.iter().filter(|component| component.not_read().next().is_some());
        let assemblies: Vec<_> = incomplete.filter_map(|component| component.reference.clone()).collect();
        let composition = Composition { aggregate: "incomplete".to_owned(), assemblies };
        Self {
            bom_format: "CycloneDX".to_owned(),
            spec_version: "1.6".to_owned(),
            serial_number: uuid(content),
            version: 1,
            metadata: Metadata { timestamp, tools: Tools { components: vec![tool] }, component },
            compositions: Some(composition).filter(|of| !of.assemblies.is_empty()).into_iter().collect(),
            components,
        }
    }

    /// Reads a document that kbundle wrote.
    ///
    /// # Errors
    /// serde's error.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    /// The bytes of the document: sorted keys, no white space.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical_json(self)
    }

    /// The document with only one image or file, which may occur for several platforms; `None` if no component has this name.
    #[must_use]
    pub fn only(&self, name: &str) -> Option<Self> {
        let components: Vec<_> =
            self.components.iter().filter(|component| component.is_called(name)).cloned().collect();
        if components.is_empty() {
            return None;
        }
        let digest = Digest::of(format!("{} {name}", self.serial_number).as_bytes());
        let metadata = &self.metadata;
        Some(Self::new(&digest, metadata.timestamp.clone(), metadata.component.clone(), components))
    }
}

/// A UUID of version 8 (RFC 9562) derived from a digest.
fn uuid(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("urn:uuid:{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
}
