//! A Kubernetes version as people ask for it: a release, or a minor version, which stands for its newest release.

use std::fmt;
use std::str::FromStr;

use kbundle_format::KubeVersion;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// `1.25.2`, or `1.25` for the newest release of that minor version in the catalog.
///
/// ```
/// use kbundle::version_request::VersionRequest;
///
/// let minor: VersionRequest = "1.25".parse()?;
/// assert!(minor.is_met_by("1.25.2".parse()?) && !minor.is_met_by("1.26.0".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionRequest {
    /// Exactly this release.
    Release(KubeVersion),
    /// The newest release of this minor version: the two numbers of the minor version.
    NewestOf(u16, u16),
}

impl VersionRequest {
    /// Whether `version` is a requested one.
    #[must_use]
    pub fn is_met_by(self, version: KubeVersion) -> bool {
        match self {
            Self::Release(release) => release == version,
            Self::NewestOf(major, minor) => version.minor() == (major, minor),
        }
    }
}

impl From<KubeVersion> for VersionRequest {
    fn from(version: KubeVersion) -> Self {
        Self::Release(version)
    }
}

impl fmt::Display for VersionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release(version) => version.fmt(f),
            Self::NewestOf(major, minor) => write!(f, "{major}.{minor}"),
        }
    }
}

/// The text is neither a release nor a minor.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a Kubernetes version such as `1.25.2`, or `1.25` for its newest release")]
pub struct VersionRequestError {
    text: String,
}

impl FromStr for VersionRequest {
    type Err = VersionRequestError;

    fn from_str(text: &str) -> Result<Self, VersionRequestError> {
        if let Ok(release) = text.parse() {
            return Ok(Self::Release(release));
        }
        // A minor version is a release without its patch number.
        let first: Result<KubeVersion, _> = format!("{text}.0").parse();
        let (major, minor) = first.map_err(|_| VersionRequestError { text: text.to_owned() })?.minor();
        Ok(Self::NewestOf(major, minor))
    }
}

impl<'de> Deserialize<'de> for VersionRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = VersionRequest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a Kubernetes version")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<VersionRequest, E> {
                text.parse().map_err(E::custom)
            }

            // To YAML, 1.30 is the number 1.3.
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<VersionRequest, E> {
                Err(E::custom("a minor version needs quotes, such as \"1.30\"; without them YAML reads the number 1.3"))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for VersionRequest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "VersionRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^v?(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_or_a_minor() {
        for (text, shown) in [("1.25.2", "1.25.2"), ("v1.25.2", "1.25.2"), ("1.30", "1.30"), ("v1.30", "1.30")] {
            assert_eq!(text.parse::<VersionRequest>().unwrap().to_string(), shown);
        }
        for bad in ["1", "1.", "1.x", "1.25.2.1", "", "newest"] {
            let error = bad.parse::<VersionRequest>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{bad}` is not a Kubernetes version")), "{error}");
        }
    }

    #[test]
    fn a_minor_in_yaml_needs_quotes() {
        let read = |text: &str| serde_yaml::from_str::<VersionRequest>(text);
        assert_eq!(read("\"1.30\"").unwrap(), VersionRequest::NewestOf(1, 30));
        assert_eq!(read("1.30.4").unwrap().to_string(), "1.30.4");
        assert!(read("1.30").unwrap_err().to_string().contains("needs quotes"));
    }
}
