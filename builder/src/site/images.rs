//! The images that Kubernetes objects name.
//!
//! Images of containers and of image volumes are certain, in objects of any kind: pod templates are at different places in different kinds,
//! and custom resources have them too. Text that only looks like an image is doubtful: a field of another name, an argument, an environment
//! variable, an annotation.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// Fields that hold containers: of `PodSpec` in the Kubernetes API.
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// What was found, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FoundImages {
    /// What pods run or mount.
    pub certain: Vec<FoundImage>,
    /// What looks like an image.
    pub doubtful: Vec<FoundImage>,
}

/// An image, as the objects name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FoundImage {
    /// The name, unchanged.
    pub image: String,
    /// Where it is named: kind, name and field of the object.
    pub places: BTreeSet<String>,
}

/// Finds the images of `objects`.
#[must_use]
pub fn find(objects: &[Value]) -> FoundImages {
    let mut search = Search::default();
    for object in objects {
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        search.object = format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]));
        search.value(object, &mut Vec::new());
    }
    let Search { certain, mut doubtful, .. } = search;
    // An image that is certain at one place is certain.
    doubtful.retain(|image, _| !certain.contains_key(image));
    let list = |found: BTreeMap<String, BTreeSet<String>>| {
        found.into_iter().map(|(image, places)| FoundImage { image, places }).collect()
    };
    FoundImages { certain: list(certain), doubtful: list(doubtful) }
}

#[derive(Default)]
struct Search {
    object: String,
    certain: BTreeMap<String, BTreeSet<String>>,
    doubtful: BTreeMap<String, BTreeSet<String>>,
}

impl Search {
    /// Walks through a value. `path` has the fields that lead to it.
    fn value(&mut self, value: &Value, path: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (field, inner) in fields {
                    path.push(field.clone());
                    self.value(inner, path);
                    path.pop();
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    self.value(item, path);
                    path.pop();
                }
            }
            Value::String(text) => self.text(text, path),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&mut self, text: &str, path: &[String]) {
        let fields: Vec<&str> = path.iter().map(String::as_str).collect();
        if is_of_container(&fields) || is_of_volume(&fields) {
            let place = self.place(path);
            self.certain.entry(text.to_owned()).or_default().insert(place);
            return;
        }
        // In `--reloader-image=registry.example/reloader:1` and `IMAGE=…`, the image is after the equals sign.
        let named = text.rsplit_once('=').map_or(text, |(_, value)| value);
        if looks_like_an_image(named) {
            let place = self.place(path);
            self.doubtful.entry(named.to_owned()).or_default().insert(place);
        }
    }

    fn place(&self, path: &[String]) -> String {
        format!("{}: {}", self.object, path.join("."))
    }
}

/// `….containers.0.image`
fn is_of_container(fields: &[&str]) -> bool {
    matches!(fields, [.., list, index, "image"] if CONTAINERS.contains(list) && is_index(index))
}

/// `….volumes.0.image.reference`, an image volume.
fn is_of_volume(fields: &[&str]) -> bool {
    matches!(fields, [.., "volumes", index, "image", "reference"] if is_index(index))
}

fn is_index(field: &str) -> bool {
    field.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the text is `REGISTRY/REPOSITORY` with a tag or a digest, and the registry has a dot or a port. A plain word with a colon is too
/// often something else.
fn looks_like_an_image(text: &str) -> bool {
    let (name, digest) = match text.split_once("@sha256:") {
        Some((name, hex)) => (name, Some(hex)),
        None => (text, None),
    };
    let Some((registry, rest)) = name.split_once('/') else { return false };
    let (repository, tag) = match rest.rsplit_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (rest, None),
    };
    let of = |text: &str, more: &str| {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || more.as_bytes().contains(&byte);
        !text.is_empty() && text.bytes().all(known)
    };
    let is_tag =
        |tag: &str| !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let is_hex = |hex: &str| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_host = registry.contains(['.', ':']) && of(registry, ".-:");
    is_host
        && !text.contains("//")
        && of(repository, "._-/")
        && (tag.is_some() || digest.is_some())
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_hex)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(found: &[FoundImage]) -> Vec<&str> {
        found.iter().map(|found| found.image.as_str()).collect()
    }

    #[test]
    fn containers_of_every_kind_are_certain() {
        let pod = json!({
            "containers": [{"image": "a:1"}],
            "initContainers": [{"image": "b:1"}],
            "ephemeralContainers": [{"image": "c:1"}],
            "volumes": [{"image": {"reference": "d:1"}}],
        });
        let objects = [
            json!({"kind": "Pod", "metadata": {"name": "pod"}, "spec": pod}),
            json!({"kind": "CronJob", "metadata": {"name": "job"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"image": "e:1"}]}}}}}}),
            json!({"kind": "List", "items": [{"kind": "DaemonSet", "spec": {"template": {"spec": {"containers": [{"image": "a:1"}]}}}}]}),
        ];
        let found = find(&objects);
        assert_eq!(names(&found.certain), ["a:1", "b:1", "c:1", "d:1", "e:1"]);
        assert_eq!(found.doubtful, []);
        let places: Vec<_> = found.certain[0].places.iter().map(String::as_str).collect();
        assert_eq!(
            places,
            ["List ?: items.0.spec.template.spec.containers.0.image", "Pod pod: spec.containers.0.image"]
        );
    }

    #[test]
    fn what_only_looks_like_an_image_is_doubtful() {
        let object = json!({
            "kind": "Prometheus",
            "metadata": {"name": "p", "annotations": {"sidecar": "quay.io/x/sidecar:v1"}},
            "spec": {
                "image": "quay.io/prometheus/prometheus:v2",
                "containers": [{
                    "image": "quay.io/known/image:1",
                    "args": ["--prometheus-config-reloader=quay.io/x/reloader:v0.68", "--listen=0.0.0.0:8080", "quay.io/known/image:1"],
                    "env": [{"name": "URL", "value": "https://example.org/a:b"}, {"name": "IMAGE", "value": "localhost:5000/a@sha256:0123"}],
                }],
                "path": "example.org/path",
                "words": "a.b/c:1 and more",
            },
        });
        let found = find(&[object]);
        assert_eq!(names(&found.certain), ["quay.io/known/image:1"]);
        let doubtful = ["quay.io/prometheus/prometheus:v2", "quay.io/x/reloader:v0.68", "quay.io/x/sidecar:v1"];
        assert_eq!(names(&found.doubtful), doubtful);
    }
}
