//! The list of the objects that each add-on applied, kept in the cluster: one `ConfigMap` for each add-on. So any host that leads knows
//! what to change and what to remove.

use std::collections::BTreeMap;

use anyhow::Context as _;
use kbundle_format::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ClusterAddon;
use crate::kubectl::Kubectl;
use crate::steps::addon::text;

const NAMESPACE: &str = "kube-system";
const LABELS: &str = "app.kubernetes.io/managed-by=kinstall,app.kubernetes.io/component=addon";
const KEY: &str = "applied.json";

/// An add-on that kinstall applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptAddon {
    /// The add-on's name.
    pub name: String,
    /// Its version in the bundle.
    pub version: String,
    /// How far it got.
    pub state: AddonState,
    /// Of all objects, with the settings of cluster.yaml.
    pub digest: Digest,
    /// The objects of it that the cluster may have, in the order of application.
    pub objects: Vec<ObjectName>,
}

/// How far an add-on got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddonState {
    /// Its objects are being applied, or a run was cut off while it applied them.
    Applying,
    /// It was applied, and was seen to run.
    Applied,
    /// It was removed. The listed objects stayed, because they hold data or belong to others as well.
    Removed,
}

/// The name of an object in the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectName {
    /// Group and version, such as `apps/v1`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; absent if it has none, or is in `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectName {
    /// The name of `object`.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let metadata = &object["metadata"];
        Self {
            api_version: text(&object["apiVersion"]).to_owned(),
            kind: text(&object["kind"]).to_owned(),
            namespace: metadata["namespace"].as_str().map(str::to_owned),
            name: text(&metadata["name"]).to_owned(),
        }
    }

    /// Whether both name one object. The version of its group may have changed in between.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let group = |name: &Self| name.api_version.rsplit_once('/').map(|(group, _)| group.to_owned());
        let namespace = |name: &Self| name.namespace.clone().unwrap_or_else(|| "default".to_owned());
        (&self.kind, &self.name) == (&other.kind, &other.name)
            && group(self) == group(other)
            && namespace(self) == namespace(other)
    }

    /// The group of its kind; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.rsplit_once('/').map_or("", |(group, _)| group)
    }

    /// The part of the object that kubectl needs to find it.
    #[must_use]
    pub fn to_object(&self) -> Value {
        let mut metadata = json!({"name": self.name});
        if let Some(namespace) = &self.namespace {
            metadata["namespace"] = json!(namespace);
        }
        json!({"apiVersion": self.api_version, "kind": self.kind, "metadata": metadata})
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

impl KeptAddon {
    /// The list to keep before an add-on's first object is applied. Objects of `before` may still exist.
    #[must_use]
    pub fn begun(addon: &ClusterAddon, before: Option<&Self>) -> Self {
        let mut objects = addon.names();
        let old = before.map(|before| before.objects.clone()).unwrap_or_default();
        let gone = old.into_iter().filter(|old| !objects.iter().any(|new| new.is_same(old))).collect::<Vec<_>>();
        objects.splice(0..0, gone);
        Self {
            name: addon.name.clone(),
            version: addon.version.clone(),
            state: AddonState::Applying,
            digest: addon.digest(),
            objects,
        }
    }

    /// The list with only the objects that `addon` does not have.
    #[must_use]
    pub fn left_behind(&self, addon: &ClusterAddon) -> Self {
        let names = addon.names();
        let objects = self.objects.iter().filter(|old| !names.iter().any(|new| new.is_same(old))).cloned().collect();
        Self { objects, ..self.clone() }
    }

    /// Whether the cluster has `addon` in its wanted state.
    #[must_use]
    pub fn is(&self, addon: &ClusterAddon) -> bool {
        self.state == AddonState::Applied && self.digest == addon.digest() && self.version == addon.version
    }

    /// Writes the list to the cluster.
    pub fn keep(&self, api: &Kubectl<'_>) -> anyhow::Result<()> {
        let labels: BTreeMap<_, _> = LABELS.split(',').filter_map(|label| label.split_once('=')).collect();
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": map_name(&self.name), "namespace": NAMESPACE, "labels": labels},
            "data": {KEY: serde_json::to_string(self)?},
        });
        api.apply(serde_json::to_vec(&map)?)
    }

    /// Deletes the list from the cluster.
    pub fn forget(&self, api: &Kubectl<'_>) -> anyhow::Result<()> {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": map_name(&self.name), "namespace": NAMESPACE}});
        api.delete(&map)
    }

    /// All kept lists, by the add-on's name.
    pub fn read_all(api: &Kubectl<'_>) -> anyhow::Result<BTreeMap<String, Self>> {
        let selector = format!("--selector={LABELS}");
        let list = api.get(&["configmaps", "--namespace", NAMESPACE, &selector])?;
        let maps = list.as_ref().and_then(|list| list["items"].as_array().cloned()).unwrap_or_default();
        let read = |map: &Value| {
            let name = text(&map["metadata"]["name"]);
            let kept: Self = serde_json::from_str(text(&map["data"][KEY]))
                .with_context(|| format!("the list of an add-on in ConfigMap {NAMESPACE}/{name} is damaged"))?;
            Ok((kept.name.clone(), kept))
        };
        maps.iter().map(read).collect()
    }
}

fn map_name(addon: &str) -> String {
    format!("kinstall-addon-{addon}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addon(names: &[&str]) -> ClusterAddon {
        let object = |name: &&str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}});
        let objects = names.iter().map(object).collect();
        ClusterAddon { name: "a".into(), version: "1".into(), objects, admitted_by_itself: Vec::new() }
    }

    fn names(kept: &KeptAddon) -> Vec<&str> {
        kept.objects.iter().map(|object| object.name.as_str()).collect()
    }

    #[test]
    fn what_a_former_version_had_is_known_until_it_is_gone() {
        let (old, new) = (addon(&["x", "y"]), addon(&["y", "z"]));
        let first = KeptAddon::begun(&old, None);
        assert_eq!(names(&first), ["x", "y"]);
        assert!(!first.is(&old), "it was only begun");
        let applied = KeptAddon { state: AddonState::Applied, ..first };
        assert!(applied.is(&old) && !applied.is(&new));
        let second = KeptAddon::begun(&new, Some(&applied));
        assert_eq!(names(&second), ["x", "y", "z"]);
        assert_eq!(names(&second.left_behind(&new)), ["x"]);
        assert!(!applied.is(&ClusterAddon { version: "2".into(), ..old }), "another version is another add-on");
    }

    #[test]
    fn an_object_is_the_same_in_another_version_of_its_group() {
        let name = |version: &str, namespace: Option<&str>| ObjectName {
            api_version: version.into(),
            kind: "Deployment".into(),
            namespace: namespace.map(str::to_owned),
            name: "d".into(),
        };
        assert!(name("apps/v1", None).is_same(&name("apps/v1beta1", Some("default"))));
        assert!(!name("apps/v1", None).is_same(&name("v1", None)));
        assert!(!name("apps/v1", None).is_same(&name("apps/v1", Some("other"))));
        let object = name("apps/v1", Some("other")).to_object();
        assert_eq!(ObjectName::of(&object), name("apps/v1", Some("other")));
    }
}
