//! The results of matching.

use schemars::JsonSchema;
use serde::Serialize;

use crate::severity::Severity;
use crate::subject::Place;
use crate::vex::Status;

/// A place that a VEX document takes out of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Excluded {
    /// The image or file.
    pub place: Place,
    /// What the document says.
    pub status: Status,
    /// Why, in the document's words.
    pub reason: String,
}

/// An advisory about a package of the bundle; of several records about one flaw, all in one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The CVE where there is one, or else the name of the record.
    pub id: String,
    /// All names of the flaw.
    pub names: Vec<String>,
    /// One line.
    pub summary: String,
    /// The worst that a record states; absent where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The package's name.
    pub package: String,
    /// The package's version.
    pub version: String,
    /// The package URL.
    pub purl: String,
    /// Versions that have the fix.
    pub fixed_in: Vec<String>,
    /// Images and files that have the package, but for those that a VEX document takes out.
    pub places: Vec<Place>,
    /// Images and files that a VEX document takes out.
    pub excluded: Vec<Excluded>,
}
