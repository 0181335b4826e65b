//! A map of kubeadm's configuration; fields are taken out of it one after another.

use serde_json::Value;

use crate::config::Fields;

pub(super) struct Section {
    place: String,
    fields: Fields,
}

impl Section {
    pub(super) fn of(place: &str, fields: Fields) -> Self {
        Self { place: place.to_owned(), fields }
    }

    /// The place of a field, such as `ClusterConfiguration.networking.podSubnet`.
    pub(super) fn place(&self, field: &str) -> String {
        format!("{}.{field}", self.place)
    }

    /// Removes and returns a field that is not null.
    pub(super) fn take(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field).filter(|value| !value.is_null())
    }

    /// Removes and returns a text, or a number or truth value as text, that is not empty. Other values stay, and are named at the end.
    pub(super) fn text(&mut self, field: &str) -> Option<String> {
        let text = match self.fields.get(field)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(is) => is.to_string(),
            Value::Null => String::new(),
            Value::Array(_) | Value::Object(_) => return None,
        };
        self.fields.remove(field);
        Some(text).filter(|text| !text.is_empty())
    }

    /// Removes and returns a nested map; empty if there is none.
    pub(super) fn section(&mut self, field: &str) -> Self {
        let place = self.place(field);
        match self.fields.get(field) {
            Some(Value::Object(_)) => {}
            _ => return Self { place, fields: Fields::default() },
        }
        let Some(Value::Object(fields)) = self.fields.remove(field) else { unreachable!("it was looked at") };
        Self { place, fields }
    }

    /// Removes and returns a list of texts.
    pub(super) fn texts(&mut self, field: &str) -> Vec<String> {
        let Some(Value::Array(values)) = self.fields.get(field) else { return Vec::new() };
        let texts: Option<Vec<_>> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
        if texts.is_some() {
            self.fields.remove(field);
        }
        texts.unwrap_or_default()
    }

    /// All remaining fields.
    pub(super) fn into_fields(self) -> Fields {
        self.fields
    }

    /// The places of fields that say something and were not taken.
    pub(super) fn left(self) -> Vec<String> {
        let is_empty = |value: &Value| match value {
            Value::Null => true,
            Value::Array(values) => values.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::String(text) => text.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        let fields = self.fields.iter().filter(|(_, value)| !is_empty(value));
        fields.map(|(field, _)| self.place(field)).collect()
    }
}
