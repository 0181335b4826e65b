//! `package.json` of an installed Node package. Source: npm's documentation of package.json; `license` has had four shapes.

use serde_json::Value;

use crate::package::{Ecosystem, Finding, Package};

/// The package, unless the file has no name or no version, as those that only set a module type.
#[must_use]
pub fn package_json(bytes: &[u8]) -> Option<Finding> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let text = |name: &str| value.get(name)?.as_str().filter(|text| !text.is_empty());
    let (full_name, version) = (text("name")?, text("version")?);
    let (scope, name) = match full_name.split_once('/') {
        Some((scope, name)) => (Some(scope.to_owned()), name),
        None => (None, full_name),
    };
    let mut package = Package::new(Ecosystem::Npm, name, version);
    package.namespace = scope;
    let stated =
        value.get("license").into_iter().chain(value.get("licenses").and_then(Value::as_array).into_iter().flatten());
    package.licences = stated.filter_map(licence).collect();
    Some(Finding::Packages(vec![package]))
}

fn licence(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("type")?.as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_have_several_shapes() {
        let of = |json: &str| match package_json(json.as_bytes()) {
            Some(Finding::Packages(packages)) => (packages[0].full_name(), packages[0].licences.clone()),
            _ => panic!("{json}"),
        };
        assert_eq!(of(r#"{"name":"@a/b","version":"1","license":"MIT"}"#), ("@a/b".to_owned(), vec!["MIT".to_owned()]));
        assert_eq!(of(r#"{"name":"b","version":"1","licenses":[{"type":"BSD"}]}"#).1, ["BSD"]);
        assert_eq!(package_json(br#"{"type":"module"}"#), None);
        assert_eq!(package_json(b"{"), None);
    }
}
