//! The manifest of a file of advisories, `advisories.json`: it lists the file's content. Its exact bytes are signed.

use std::collections::BTreeMap;

use kbundle_format::key_notes::Day;
use kbundle_format::{Digest, EntryPath};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the form.
pub const FORMAT_VERSION: u32 = 1;
/// Name of the manifest in the file.
pub const MANIFEST_PATH: &str = "advisories.json";
/// Name of the records in the file: one line of JSON each, sorted by their names.
pub const RECORDS_PATH: &str = "advisories.jsonl";

/// What a file of advisories holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// Always 1.
    pub format_version: u32,
    /// The day that the data is of: what its maker said, or else of the newest change in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<Day>,
    /// Records.
    pub records: usize,
    /// Records that were left out because they were withdrawn.
    pub withdrawn: usize,
    /// Records that were left out because they are about ecosystems that are not compared.
    pub elsewhere: usize,
    /// Records by ecosystem.
    pub ecosystems: BTreeMap<String, usize>,
    /// The files that follow, in their order: the records, then VEX documents.
    pub files: Vec<Stored>,
}

/// A file within the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stored {
    /// Its name.
    pub path: EntryPath,
    /// Of its content.
    pub digest: Digest,
    /// Of its content.
    pub size_bytes: u64,
}
