//! Fields of configuration files that Kubernetes reads.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use kbundle_format::KubeVersion;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Flaw, covers, is_duration, is_quantity, lacks, meant};

/// A kind of configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// `KubeletConfiguration` of kubelet.config.k8s.io/v1beta1.
    Kubelet,
    /// `KubeProxyConfiguration` of kubeproxy.config.k8s.io/v1alpha1.
    KubeProxy,
}

impl Structure {
    fn name(self) -> &'static str {
        match self {
            Self::Kubelet => "KubeletConfiguration",
            Self::KubeProxy => "KubeProxyConfiguration",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
        }
    }
}

/// The type of a field from one minor version to another, both included.
#[derive(Deserialize)]
struct Span(String, u16, u16);

#[derive(Deserialize)]
struct Table {
    minors: Vec<u16>,
    structures: BTreeMap<String, BTreeMap<String, Vec<Span>>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../manifests/types/fields.json"))
        .expect("the table is this program's own")
});

/// What Kubernetes `version` would not accept in a configuration; without a version, what no known minor version would accept.
#[must_use]
pub fn flaws(structure: Structure, fields: &Map<String, Value>, version: Option<KubeVersion>) -> Vec<Flaw> {
    let mut look = Look { version, program: structure.program(), flaws: Vec::new() };
    look.structure(structure.name(), "", fields);
    look.flaws
}

struct Look {
    version: Option<KubeVersion>,
    program: &'static str,
    flaws: Vec<Flaw>,
}

impl Look {
    fn add(&mut self, path: &str, message: String) {
        self.flaws.push(Flaw { path: path.to_owned(), message });
    }

    fn structure(&mut self, name: &str, path: &str, fields: &Map<String, Value>) {
        let Some(known) = TABLE.structures.get(name) else { return };
        // This structure has its own way to read itself.
        if known.contains_key("*") {
            return;
        }
        for (field, value) in fields {
            let path = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
            match known.get(field) {
                None => {
                    let [lacks, meant] = [self.lacks(), self.meant(known, field)];
                    self.add(&path, format!("{lacks} field `{field}`{meant}"));
                }
                Some(spans) => self.field(&path, field, spans, value),
            }
        }
    }

    fn lacks(&self) -> String {
        lacks(self.program, &TABLE.minors, self.version)
    }

    fn meant(&self, known: &BTreeMap<String, Vec<Span>>, field: &str) -> String {
        let is_there = |spans: &[Span]| spans.iter().any(|span| covers(&TABLE.minors, (span.1, span.2), self.version));
        meant(field, known.iter().filter(|(_, spans)| is_there(spans)).map(|(name, _)| name.as_str()))
    }

    fn field(&mut self, path: &str, field: &str, spans: &[Span], value: &Value) {
        let mut there = spans.iter().filter(|span| covers(&TABLE.minors, (span.1, span.2), self.version));
        // If a type has changed and no version is given, either would do, and the newest is checked.
        if let Some(span) = there.next_back() {
            return self.value(&span.0, path, value);
        }
        let [first, last] =
            [spans.first().map(|span| span.1), spans.last().map(|span| span.2)].map(Option::unwrap_or_default);
        let lacks = self.lacks();
        self.add(path, format!("{lacks} field `{field}`; those of 1.{first} to 1.{last} have"));
    }

    fn value(&mut self, kind: &str, path: &str, value: &Value) {
        if value.is_null() {
            return self.add(path, "it has no value; write one, or remove the field".to_owned());
        }
        if let Some(inner) = kind.strip_prefix("[]") {
            let Value::Array(values) = value else { return self.wrong(path, "a list", value) };
            for (index, value) in values.iter().enumerate() {
                self.value(inner, &format!("{path}[{index}]"), value);
            }
        } else if let Some(inner) = kind.strip_prefix("map:") {
            let Value::Object(values) = value else { return self.wrong(path, "a map", value) };
            for (key, value) in values {
                self.value(inner, &format!("{path}.{key}"), value);
            }
        } else if let Some(name) = kind.strip_prefix('#') {
            match value {
                Value::Object(fields) => self.structure(name, path, fields),
                _ if TABLE.structures.get(name).is_some_and(|known| known.contains_key("*")) => {}
                _ => self.wrong(path, "a map of its fields", value),
            }
        } else if let Some(wanted) = wanted(kind, value) {
            self.wrong(path, wanted, value);
        }
    }

    fn wrong(&mut self, path: &str, wanted: &str, value: &Value) {
        self.add(path, format!("it has to be {wanted}, and it is {value}"));
    }
}

/// What a scalar of type `kind` has to be, if `value` is not one.
fn wanted(kind: &str, value: &Value) -> Option<&'static str> {
    let whole = |least: i64, most: i64| value.as_i64().is_some_and(|number| (least..=most).contains(&number));
    let (fits, wanted) = match kind {
        "bool" => (value.is_boolean(), "true or false"),
        "string" => (value.is_string(), "a text (in quotes, where YAML would read something else)"),
        "float" => (value.is_number(), "a number"),
        "int8" => (whole(i8::MIN.into(), i8::MAX.into()), "a whole number from -128 to 127"),
        "int32" => (whole(i32::MIN.into(), i32::MAX.into()), "a whole number of 32 bits"),
        "int" | "int64" => (value.is_i64(), "a whole number"),
        "uint8" => (whole(0, u8::MAX.into()), "a whole number from 0 to 255"),
        "uint16" => (whole(0, u16::MAX.into()), "a whole number from 0 to 65535"),
        "uint32" => (whole(0, u32::MAX.into()), "a whole number from 0 on, of 32 bits"),
        "uint" | "uint64" => (value.is_u64(), "a whole number from 0 on"),
        "duration" => (value.as_str().is_some_and(is_duration), "a time such as `30s` or `1h30m`"),
        "quantity" => {
            let fits = value.is_number() || value.as_str().is_some_and(is_quantity);
            (fits, "a quantity such as `500m` or `1Gi`")
        }
        _ => return None,
    };
    (!fits).then_some(wanted)
}

#[cfg(test)]
pub(super) fn kinds() -> impl Iterator<Item = &'static str> {
    let fields = TABLE.structures.values().flat_map(BTreeMap::values);
    fields.flatten().map(|span| span.0.as_str())
}

#[cfg(test)]
pub(super) fn structure_names() -> impl Iterator<Item = &'static str> {
    TABLE.structures.keys().map(String::as_str)
}

#[cfg(test)]
pub(super) fn minors() -> &'static [u16] {
    &TABLE.minors
}
