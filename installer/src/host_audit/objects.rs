//! Objects of the API: the objects of the network and of add-ons are compared with their manifests; for kubeadm's objects, the audit checks
//! who wrote them.
//!
//! The API server computes what the bundle's manifests would make of an object: by a server-side dry run of the same application. The
//! result has every default filled in, keeps what controllers own, and reverts what others changed. It keeps what others added to a list,
//! so the audit also checks the managers of an object's fields.

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use super::{Finding, Group};
use crate::kubectl::{FIELD_MANAGER, Kubectl};
use crate::steps::addon::text;
use crate::steps::addons::ObjectName;
use crate::steps::{Context, addons, network};

/// The longest value that is shown whole, in characters.
const LONGEST_VALUE: usize = 120;
/// Metadata that the API server adds to an object.
const KEPT_BY_SERVER: [&str; 6] =
    ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"];
/// Kinds whose fields only kinstall and controllers should own.
const OWNED: [&str; 7] =
    ["Deployment", "DaemonSet", "StatefulSet", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
/// The field managers that may write to them: kinstall, kubeadm, and controllers of Kubernetes by the names in their user agents.
const MANAGERS: [&str; 4] = [FIELD_MANAGER, "kubeadm", "kube-controller-manager", "clusterrole-aggregation-controller"];
/// The fields that are an object's purpose, by their names in `managedFields`.
const PURPOSE: [&str; 6] = ["f:spec", "f:data", "f:binaryData", "f:rules", "f:subjects", "f:roleRef"];
/// The objects that kubeadm makes in every cluster (`cmd/kubeadm/app/phases/addons`, `uploadconfig` of Kubernetes).
const OF_KUBEADM: [(&str, &str, &str); 10] = [
    ("apps/v1", "Deployment", "coredns"),
    ("apps/v1", "DaemonSet", "kube-proxy"),
    ("v1", "Service", "kube-dns"),
    ("v1", "ConfigMap", "coredns"),
    ("v1", "ConfigMap", "kube-proxy"),
    ("v1", "ConfigMap", "kubeadm-config"),
    ("v1", "ConfigMap", "kubelet-config"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", "system:coredns"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "system:coredns"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "kubeadm:node-proxier"),
];

/// Compares the objects of the bundle's manifests that belong to the cluster by its description.
pub(super) fn of_manifests(context: &Context<'_>) -> anyhow::Result<Vec<Finding>> {
    let api = Kubectl::on(&context.host);
    let mut findings = compared(&api, &network::objects(context)?)?;
    for addon in addons::listed_objects(context)? {
        let found = compared(&api, &addon.all_objects()).with_context(|| format!("while comparing {}", addon.name))?;
        findings.extend(found);
    }
    Ok(findings)
}

/// Checks who wrote the objects that kubeadm makes.
pub(super) fn of_kubeadm(api: &Kubectl<'_>) -> anyhow::Result<Vec<Finding>> {
    let named = |(version, kind, name): (&str, &str, &str)| json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "kube-system"}});
    let live = api.get_managed_objects(&OF_KUBEADM.map(named))?;
    if live.is_empty() {
        return Err(anyhow!("the API server does not say what kubeadm made"));
    }
    let finding = |object: &Value| {
        let subject = ObjectName::of(object).to_string();
        match foreign_managers(object) {
            managers if managers.is_empty() => Finding::as_approved(Group::Objects, subject),
            managers => by_others(subject, &managers),
        }
    };
    Ok(live.iter().map(finding).collect())
}

/// Compares objects with the API server's result of an application.
fn compared(api: &Kubectl<'_>, objects: &[Value]) -> anyhow::Result<Vec<Finding>> {
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let live = api.get_managed_objects(objects)?;
    let expected = api.would_apply(objects)?.map_err(|said| anyhow!("the API server does not compare: {said}"))?;
    Ok(expected.iter().map(|object| finding(object, &live)).collect())
}

/// Compares one object, as it would be after an application, with the existing objects.
pub(super) fn finding(expected: &Value, live: &[Value]) -> Finding {
    let name = ObjectName::of(expected);
    let Some(found) = live.iter().find(|object| ObjectName::of(object).is_same(&name)) else {
        return Finding::drifted(Group::Objects, name.to_string(), "an object of the bundle's manifests", "nothing");
    };
    if let Some((path, expected, found)) = difference("", &plain(expected), &plain(found)) {
        let shown = |value: Option<&Value>| match value {
            _ if name.kind == "Secret" => "a secret value".to_owned(),
            None => "nothing".to_owned(),
            Some(value) => short(&value.to_string()),
        };
        let subject = format!("{name}, {}", path.trim_start_matches('.'));
        return Finding::drifted(Group::Objects, subject, shown(expected.as_ref()), shown(found.as_ref()));
    }
    match foreign_managers(found) {
        managers if OWNED.contains(&name.kind.as_str()) && !managers.is_empty() => {
            by_others(name.to_string(), &managers)
        }
        _ => Finding::as_approved(Group::Objects, name.to_string()),
    }
}

fn by_others(subject: String, managers: &[String]) -> Finding {
    Finding::drifted(Group::Objects, subject, "fields of kinstall, kubeadm and controllers alone", managers.join(", "))
}

/// An object without the fields that the API server and controllers add.
fn plain(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|key, _| !KEPT_BY_SERVER.contains(&key.as_str()));
    }
    object
}

/// The first place in which two values differ, with the value of each.
fn difference(path: &str, expected: &Value, found: &Value) -> Option<(String, Option<Value>, Option<Value>)> {
    match (expected, found) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
            keys.into_iter().find_map(|key| within(&format!("{path}.{key}"), one.get(key), other.get(key)))
        }
        (Value::Array(one), Value::Array(other)) => (0..one.len().max(other.len()))
            .find_map(|index| within(&format!("{path}[{index}]"), one.get(index), other.get(index))),
        _ => within(path, Some(expected), Some(found)).filter(|_| expected != found),
    }
}

fn within(
    path: &str,
    expected: Option<&Value>,
    found: Option<&Value>,
) -> Option<(String, Option<Value>, Option<Value>)> {
    match (expected, found) {
        (Some(one @ (Value::Object(_) | Value::Array(_))), Some(other)) if one.is_object() == other.is_object() => {
            difference(path, one, other)
        }
        (one, other) => (one != other).then(|| (path.to_owned(), one.cloned(), other.cloned())),
    }
}

/// Other managers of fields that are the object's purpose, each with its operation and time.
fn foreign_managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let foreign = entries.filter(|entry| {
        // Fields of a subresource, such as a status, belong to controllers.
        !MANAGERS.contains(&text(&entry["manager"]))
            && entry["subresource"].is_null()
            && owns_purpose(&entry["fieldsV1"])
    });
    foreign
        .map(|entry| {
            let [manager, operation, time] = ["manager", "operation", "time"].map(|key| text(&entry[key]));
            format!("{manager} ({operation} at {time})")
        })
        .collect()
}

/// Whether fields are more than the time of a restart of the pods (`kubectl rollout restart`).
fn owns_purpose(fields: &Value) -> bool {
    const RESTARTED: &str = "f:kubectl.kubernetes.io/restartedAt";
    let owned = PURPOSE.iter().filter(|key| !fields[**key].is_null()).count();
    let annotations = &fields["f:spec"]["f:template"]["f:metadata"]["f:annotations"];
    let restarts_alone = owned == 1 && !annotations[RESTARTED].is_null() && leaves(&fields["f:spec"]) == 1;
    owned > 0 && !restarts_alone
}

/// The number of fields that a part of `managedFields` names; `.` stands for the map itself.
fn leaves(fields: &Value) -> usize {
    let Some(map) = fields.as_object() else { return 1 };
    let inner: usize = map.iter().filter(|(key, _)| *key != ".").map(|(_, value)| leaves(value)).sum();
    if map.is_empty() { 1 } else { inner }
}

fn short(text: &str) -> String {
    if text.chars().count() <= LONGEST_VALUE {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(LONGEST_VALUE).collect::<String>())
}

#[cfg(test)]
mod tests;
