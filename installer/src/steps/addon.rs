//! Add-ons of the bundle: applies the objects of their manifests to the API.

use anyhow::Context as _;
use kbundle_format::{Entry, EntryKind};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{Check, Context, needed};
use crate::inputs::Inputs;
use crate::kubectl::Kubectl;

fn manifests<'a>(inputs: &Inputs<'a>, name: &str) -> impl Iterator<Item = &'a Entry> + use<'a> {
    let folder = format!("manifests/{name}/");
    let is_wanted = move |entry: &&Entry| entry.kind == EntryKind::Manifest && entry.path.as_str().starts_with(&folder);
    inputs.list.entries.iter().filter(is_wanted)
}

/// The objects of an add-on's manifests, unchanged.
pub fn objects(context: &Context<'_>, name: &str) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for entry in manifests(context, name) {
        let bytes = context.bundle.read_entry(entry)?;
        let in_file = parse(&bytes).with_context(|| format!("while reading {}", entry.path))?;
        objects.extend(in_file);
    }
    Ok(objects)
}

/// Whether the API has all objects.
pub fn check(context: &Context<'_>, objects: &[Value]) -> anyhow::Result<Check> {
    for object in objects {
        if !Kubectl::on(&context.host).has_object(object)? {
            return needed(format!("{} {} is not there", text(&object["kind"]), text(&object["metadata"]["name"])));
        }
    }
    Ok(Check::Done)
}

/// Applies the objects to the API.
pub fn apply(context: &Context<'_>, objects: Vec<Value>) -> anyhow::Result<()> {
    // Definitions of new kinds come first, but the API knows a new kind only a moment later. The same holds for namespaces.
    let comes_first = |object: &Value| matches!(text(&object["kind"]), "CustomResourceDefinition" | "Namespace");
    let (first, others): (Vec<_>, Vec<_>) = objects.into_iter().partition(comes_first);
    for group in [first, others].into_iter().filter(|group| !group.is_empty()) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": group});
        Kubectl::on(&context.host).apply(serde_json::to_vec(&list)?)?;
    }
    Ok(())
}

/// Reads a file of YAML documents; empty documents are skipped.
pub fn parse(bytes: &[u8]) -> anyhow::Result<Vec<Value>> {
    let documents = serde_yaml::Deserializer::from_slice(bytes);
    let objects: Result<Vec<_>, _> = documents.map(Value::deserialize).collect();
    Ok(objects?.into_iter().filter(|object| !object.is_null()).collect())
}

/// A value's text; empty if it has none.
#[must_use]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
