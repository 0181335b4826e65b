//! What the programs print with `--output json`, held against the published schemas.

use anyhow::{Context as _, anyhow};
use fs_err as fs;
use serde_json::Value;

use crate::repository;

/// The document that `command` of `program` printed, once it is as `docs/schemas/` says.
pub fn document_of(program: &str, command: &str, printed: &str) -> anyhow::Result<Value> {
    let path = repository().join(format!("docs/schemas/{program}/{}.schema.json", command.replace(' ', "-")));
    let schema: Value = serde_json::from_slice(&fs::read(path)?)?;
    let document = serde_json::from_str(printed).with_context(|| format!("no document: {printed}"))?;
    match jsonschema::validate(&schema, &document) {
        Ok(()) => Ok(document),
        Err(error) => Err(anyhow!("{program} {command} does not print what its schema says: {error}: {document:#}")),
    }
}
