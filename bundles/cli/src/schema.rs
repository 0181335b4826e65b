//! JSON Schemas of the output of commands with `--output json`, made from the types that they print.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;

use crate::failure::FailureDocument;

/// The documents of one command with `--output json`: its results, and the document of a failure.
#[derive(Debug)]
pub struct Documents {
    command: &'static str,
    generator: SchemaGenerator,
    forms: Vec<Schema>,
}

impl Documents {
    /// The documents of a command without a result, such as one that prints content: only failures. `command` has the words that lead to
    /// it, such as `config init`.
    #[must_use]
    pub fn of(command: &'static str) -> Self {
        Self { command, generator: SchemaSettings::draft2020_12().for_serialize().into_generator(), forms: Vec::new() }
    }

    /// With a document or an event of this type.
    #[must_use]
    pub fn with<T: Serialize + JsonSchema>(mut self) -> Self {
        self.forms.push(self.generator.subschema_for::<T>());
        self
    }

    /// Sets the fields of failures besides `error`: those of `T`.
    #[must_use]
    pub fn with_details<T: Serialize + JsonSchema>(mut self) -> Self {
        let details = self.generator.subschema_for::<T>();
        let failure = self.generator.subschema_for::<FailureDocument>();
        self.forms.push(json_schema!({ "allOf": [failure, details] }));
        self
    }

    /// The words that lead to the command.
    #[must_use]
    pub fn command(&self) -> &'static str {
        self.command
    }

    /// The JSON Schema, draft 2020-12, of each document and of each line with an event that the command of `program` prints.
    #[must_use]
    pub fn schema(mut self, program: &str) -> Value {
        self.forms.push(self.generator.subschema_for::<FailureDocument>());
        let schema = json_schema!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": format!("{program} {} --output json", self.command),
            "anyOf": self.forms,
            "$defs": self.generator.take_definitions(true),
        });
        schema.into()
    }
}

/// A document that is itself a JSON Schema.
#[derive(Serialize)]
pub struct SchemaDocument(pub Value);

impl JsonSchema for SchemaDocument {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Schema".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "$ref": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": ["$schema"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of something.
    #[derive(Serialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    struct Report {
        size_bytes: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    }

    #[test]
    fn a_schema_has_every_form_and_failures() {
        let documents = Documents::of("pack").with::<Report>().with_details::<Report>();
        assert_eq!(documents.command(), "pack");
        let schema = documents.schema("program");
        assert_eq!(schema["title"], "program pack --output json");
        assert_eq!(schema["anyOf"].as_array().unwrap().len(), 3);
        assert_eq!(schema["anyOf"][0]["$ref"], "#/$defs/Report");
        assert_eq!(schema["$defs"]["Report"]["required"], serde_json::json!(["sizeBytes"]));
        assert_eq!(schema["$defs"]["FailureDocument"]["required"], serde_json::json!(["schema", "error"]));
    }
}
