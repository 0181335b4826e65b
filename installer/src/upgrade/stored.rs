//! Stored objects last written through an API version that Kubernetes removes.
//!
//! Kubernetes keeps such objects and returns them in the versions that it has. Their writers break: a manifest in a repository, a chart, a
//! controller. An object names its writers in `metadata.managedFields`, each with its version; an annotation contains the manifest of the
//! last `kubectl apply`. The API server's metric in [`deprecated`](super::deprecated) forgets when the API server restarts; the objects do
//! not.

use std::collections::BTreeMap;
use std::fmt;

use kbundle_format::KubeVersion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::removed_apis::{first_minor_without, group_of, has_removed_versions};
use crate::kubectl::Kubectl;
use crate::kubectl::chunks::ApiResource;

/// The number of objects that are named; all others are only counted.
const NAMED: usize = 500;
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// They write in the version that they prefer, and are upgraded themselves. The last two are the API server as well
/// (`staging/src/k8s.io/apiserver/pkg/util/flowcontrol/apf_controller.go`, `pkg/registry/flowcontrol/rest/storage_flowcontrol.go`).
const OF_KUBERNETES: [&str; 6] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "api-priority-and-fairness-config-consumer-v1",
    "api-priority-and-fairness-config-producer-v1",
];

/// Stored objects last written through an API version that Kubernetes removes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredObjects {
    /// Those whose API version is removed first come first; 500 at the most.
    pub objects: Vec<StoredObject>,
    /// How many there are in all.
    pub count: usize,
    /// What could not be looked through, each with the reason.
    pub unknown: Vec<String>,
}

/// A stored object last written through an API version that Kubernetes removes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredObject {
    /// The minor that does not have the API version any more, such as `1.26`.
    pub removed_in: String,
    /// Whether the new version lacks it.
    pub goes_now: bool,
    /// The API version, such as `autoscaling/v2beta2`.
    pub api: String,
    /// The object's kind.
    pub kind: String,
    /// Its namespace, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Who wrote through that version and did not write again, as `metadata.managedFields` names them.
    pub managers: Vec<String>,
    /// Whether the manifest that was last given to `kubectl apply` has that version.
    pub in_last_applied: bool,
}

impl fmt::Display for StoredObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, api, .. } = self;
        let namespace = self.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        write!(f, "{kind} {namespace}{name} in {api}")?;
        if !self.managers.is_empty() {
            write!(f, ", written by {}", self.managers.join(", "))?;
        }
        if self.in_last_applied {
            f.write_str(", in the manifest that was applied last")?;
        }
        let minor = &self.removed_in;
        if self.goes_now {
            write!(f, ": Kubernetes {minor} does not have it; change what writes it")
        } else {
            write!(f, ": goes with Kubernetes {minor}")
        }
    }
}

impl StoredObjects {
    /// Looks through every kind of which an API version is removed, for an upgrade to Kubernetes `to`. Lists that cannot be read are
    /// reported as unknown.
    #[must_use]
    pub fn scan(api: &Kubectl<'_>, to: KubeVersion) -> Self {
        let mut found = Self::default();
        let resources = match api.resources() {
            Ok((resources, failure)) => {
                found.unknown.extend(failure);
                resources
            }
            Err(error) => {
                found.unknown.push(format!("{error:#}"));
                return found;
            }
        };
        let is_searched = |resource: &&ApiResource| has_removed_versions(group_of(&resource.api), &resource.kind);
        for resource in resources.iter().filter(is_searched) {
            let all = api.each_of(&resource.path, |item: Item| item.metadata.writes(resource, to, &mut found));
            if let Err(error) = all {
                found.unknown.push(format!("{} in {}: {error:#}", resource.kind, resource.api));
            }
        }
        found.forget_most();
        found
    }

    fn add(&mut self, object: StoredObject) {
        self.count += 1;
        self.objects.push(object);
        if self.objects.len() > 2 * NAMED {
            self.forget_most();
        }
    }

    fn forget_most(&mut self) {
        self.objects.sort();
        self.objects.truncate(NAMED);
    }
}

/// The fields of an object that are read.
#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: Option<String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    managed_fields: Vec<Write>,
}

/// A write by a manager, without the list of its fields.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Write {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    api_version: String,
    /// In RFC 3339 and UTC, so that times can be compared as text.
    #[serde(default)]
    time: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    api_version: String,
}

impl Metadata {
    /// Adds the object once for each removed API version through which one of its last writes went.
    fn writes(self, resource: &ApiResource, to: KubeVersion, found: &mut StoredObjects) {
        let mut apis: BTreeMap<String, (Vec<String>, bool)> = BTreeMap::new();
        for write in self.last_writes() {
            apis.entry(write.api_version.clone()).or_default().0.push(write.manager.clone());
        }
        let manifest = self.annotations.get(LAST_APPLIED).and_then(|text| serde_json::from_str::<Manifest>(text).ok());
        if let Some(manifest) = manifest {
            apis.entry(manifest.api_version).or_default().1 = true;
        }
        for (api, (mut managers, in_last_applied)) in apis {
            let Some(removed) = first_minor_without(&api, &resource.kind) else { continue };
            managers.sort();
            managers.dedup();
            found.add(StoredObject {
                removed_in: format!("{}.{}", removed.0, removed.1),
                goes_now: removed <= to.minor(),
                api,
                kind: resource.kind.clone(),
                namespace: self.namespace.clone(),
                name: self.name.clone(),
                managers,
                in_last_applied,
            });
        }
    }

    /// The last write of each manager in each of its operations, without Kubernetes' own.
    fn last_writes(&self) -> impl Iterator<Item = &Write> {
        let mut last: BTreeMap<_, &Write> = BTreeMap::new();
        let writes = self.managed_fields.iter().filter(|write| !OF_KUBERNETES.contains(&write.manager.as_str()));
        for write in writes {
            let way = (&write.manager, &write.operation, &write.subresource);
            let newest = last.entry(way).or_insert(write);
            if write.time > newest.time {
                *newest = write;
            }
        }
        last.into_values()
    }
}

#[cfg(test)]
mod tests;
