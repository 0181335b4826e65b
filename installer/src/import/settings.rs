//! Settings of an incomplete cluster.yaml: those that an imported file names.

use kbundle_cli::yaml;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::{ClusterSpec, ConfigError};

/// Keys of cluster.yaml with their values. An absent key was not given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(Map<String, Value>);

impl From<&ClusterSpec> for Settings {
    /// The settings of `spec` except its hosts and SSH.
    fn from(spec: &ClusterSpec) -> Self {
        let mut said = spec.without_defaults();
        said.retain(|key, _| !["hosts", "ssh"].contains(&key.as_str()));
        Self(said)
    }
}

impl Settings {
    /// Sets the key at `path`, such as `network.pod-cidr`.
    pub(crate) fn set(&mut self, path: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).expect("a setting is plain data");
        let (sections, key) = path.rsplit_once('.').map_or(("", path), |(sections, key)| (sections, key));
        let mut map = &mut self.0;
        for section in sections.split('.').filter(|section| !section.is_empty()) {
            let inner = map.entry(section).or_insert_with(|| Value::Object(Map::new()));
            map = inner.as_object_mut().expect("a section is not a value");
        }
        map.insert(key.to_owned(), value);
    }

    /// Whether no setting was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The cluster with these settings, overridden by `text`, the cluster.yaml beside the imported file.
    pub fn below(self, text: &str) -> Result<ClusterSpec, ConfigError> {
        // Read alone first, so that an error is reported with the file's own lines.
        ClusterSpec::read(text)?;
        let own: Option<Value> = yaml::read(text).map_err(|source| ConfigError::Syntax { source })?;
        let mut whole = Value::Object(self.0);
        overlay(&mut whole, own.unwrap_or_default());
        read(&whole)
    }

    /// A cluster with these settings and without hosts.
    pub fn into_spec(self) -> Result<ClusterSpec, ConfigError> {
        read(&Value::Object(self.0))
    }

    /// The part of `whole`, a cluster.yaml with every default, that these settings and `always` name.
    #[must_use]
    pub fn part_of(&self, whole: &ClusterSpec, always: &[&str]) -> serde_yaml::Value {
        let mut whole = serde_yaml::to_value(whole).expect("a description is plain data");
        let mut wanted = self.0.clone();
        wanted.extend(always.iter().map(|key| ((*key).to_owned(), Value::Null)));
        keep(&mut whole, &Value::Object(wanted));
        whole
    }
}

fn read(whole: &Value) -> Result<ClusterSpec, ConfigError> {
    ClusterSpec::read(&serde_yaml::to_string(whole).expect("settings are plain data"))
}

/// Puts `upper` over `lower`, key by key.
fn overlay(lower: &mut Value, upper: Value) {
    match (lower, upper) {
        (Value::Object(lower), Value::Object(upper)) => {
            for (key, value) in upper {
                overlay(lower.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (lower, upper) => *lower = upper,
    }
}

/// Keeps in `whole` only the keys that `wanted` has too. A value of `wanted` that is not a section keeps everything below it.
fn keep(whole: &mut serde_yaml::Value, wanted: &Value) {
    let (serde_yaml::Value::Mapping(whole), Value::Object(wanted)) = (whole, wanted) else { return };
    whole.retain(|key, _| key.as_str().is_some_and(|key| wanted.contains_key(key)));
    for (key, value) in whole {
        if let Some(wanted) = key.as_str().and_then(|key| wanted.get(key)) {
            keep(value, wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beside_has_the_last_word() {
        let mut settings = Settings::default();
        settings.set("network.pod-cidr", "10.1.0.0/16");
        settings.set("network.kube-proxy.mode", "ipvs");
        settings.set("addons", ["metallb"]);
        let spec =
            settings.clone().below("network: {pod-cidr: 10.2.0.0/16, cni: }\naddons: [flannel]\nname: a\n").unwrap();
        assert_eq!(spec.network.pod_cidr.to_string(), "10.2.0.0/16");
        assert_eq!(spec.network.kube_proxy.mode.as_str(), "ipvs");
        assert_eq!((spec.addons[0].as_str(), spec.name.as_str()), ("flannel", "a"));
        assert_eq!(settings.clone().below("# nothing\n").unwrap(), settings.clone().into_spec().unwrap());
        assert!(settings.below("network: {pod-cdir: 10.2.0.0/16}\n").is_err());
    }

    #[test]
    fn only_what_was_said_is_printed() {
        let mut settings = Settings::default();
        settings.set("network.kube-proxy.mode", "ipvs");
        settings.set("api.certificate-sans", ["a.example.com"]);
        let spec = settings.clone().into_spec().unwrap();
        insta::assert_snapshot!(serde_yaml::to_string(&settings.part_of(&spec, &["schema", "hosts"])).unwrap(), @"
        schema: 1
        network:
          kube-proxy:
            mode: ipvs
        api:
          certificate-sans:
          - a.example.com
        ");
    }
}
