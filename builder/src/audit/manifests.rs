//! Rules about Kubernetes objects: what pods demand of their host, and who has all rights in the cluster.
//!
//! Pod templates are found in objects of any kind, including custom resources: anything with a list of `containers` is one.

use kbundle_format::audit_record::Looked;
use kbundle_format::{Digest, EntryPath};
use serde_json::Value;

use super::policy::{Choice, Manifests};
use super::{Breach, Checked, Evidence, Policy, Rule};

/// A Kubernetes object of a manifest.
pub struct FoundObject {
    /// The manifest.
    pub path: EntryPath,
    /// The digest of the manifest.
    pub digest: Digest,
    /// The object.
    pub object: Value,
}

/// Fields that hold containers: of `PodSpec` in the Kubernetes API.
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Lists what a rule refuses in an object, for people.
type Find = fn(&Value) -> Vec<String>;

/// The rules of the policy, in the order of reports.
pub fn check(policy: &Policy, evidence: &Evidence<'_>) -> Vec<Checked> {
    let Some(Manifests { privileged, host_path, host_network, cluster_admin }) = &policy.manifests else {
        return Vec::new();
    };
    let rules: [(Choice, Rule, &str, Find); 4] = [
        (*privileged, Rule::ManifestPrivileged, "no privileged container", of_pods::<PrivilegedContainers>),
        (*host_path, Rule::ManifestHostPath, "no volume of the host's files", host_paths),
        (*host_network, Rule::ManifestHostNetwork, "no pod in the host's network", of_pods::<HostNetwork>),
        (*cluster_admin, Rule::ManifestClusterAdmin, "nobody may do everything in the cluster", cluster_admins),
    ];
    let refused = rules.into_iter().filter(|(choice, ..)| *choice == Choice::Refuse);
    refused.map(|(_, rule, expected, find)| checked(rule, expected, find, evidence)).collect()
}

fn checked(rule: Rule, expected: &str, find: Find, evidence: &Evidence<'_>) -> Checked {
    let breach = |found: &FoundObject| {
        let what = find(&found.object);
        (!what.is_empty()).then(|| {
            let looked = Looked { name: found.path.to_string(), digest: found.digest };
            let mut breach = Breach::of(name(&found.object), vec![looked], what.join("; "));
            breach.items.push(found.path.to_string());
            breach
        })
    };
    let breaches = evidence.objects.iter().filter_map(breach).collect();
    Checked::new(rule, expected, format!("{} objects of manifests", evidence.objects.len()), breaches)
}

/// `KIND NAMESPACE/NAME`.
fn name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// A rule about the pods of an object.
trait OfPod {
    fn find(pod: &Value) -> Vec<String>;
}

fn of_pods<Rule: OfPod>(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    each_pod(object, &mut |pod| found.extend(Rule::find(pod)));
    found
}

/// Calls `visit` with every pod specification in `value`, however deep.
fn each_pod(value: &Value, visit: &mut dyn FnMut(&Value)) {
    match value {
        Value::Object(fields) => {
            if fields.get("containers").is_some_and(Value::is_array) {
                visit(value);
            }
            fields.values().for_each(|inner| each_pod(inner, visit));
        }
        Value::Array(items) => items.iter().for_each(|inner| each_pod(inner, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

struct PrivilegedContainers;

impl OfPod for PrivilegedContainers {
    fn find(pod: &Value) -> Vec<String> {
        let containers = CONTAINERS.into_iter().flat_map(|field| items(pod, field));
        let privileged = containers.filter(|container| container["securityContext"]["privileged"] == true);
        privileged.map(|container| format!("container {}", container["name"].as_str().unwrap_or("?"))).collect()
    }
}

struct HostNetwork;

impl OfPod for HostNetwork {
    fn find(pod: &Value) -> Vec<String> {
        (pod["hostNetwork"] == true).then(|| "hostNetwork: true".to_owned()).into_iter().collect()
    }
}

struct HostPathVolumes;

impl OfPod for HostPathVolumes {
    fn find(pod: &Value) -> Vec<String> {
        let volumes = items(pod, "volumes").filter_map(|volume| volume["hostPath"]["path"].as_str());
        volumes.map(str::to_owned).collect()
    }
}

/// The host's paths that pods and persistent volumes use.
fn host_paths(object: &Value) -> Vec<String> {
    let mut found = of_pods::<HostPathVolumes>(object);
    each_item(object, &mut |item| {
        if item["kind"] == "PersistentVolume" {
            found.extend(item["spec"]["hostPath"]["path"].as_str().map(str::to_owned));
        }
    });
    found
}

fn cluster_admins(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    each_item(object, &mut |item| match item["kind"].as_str() {
        Some("ClusterRoleBinding" | "RoleBinding") if item["roleRef"]["name"] == "cluster-admin" => {
            let subjects = items(item, "subjects").map(|subject| {
                let text = |field: &str| subject[field].as_str().unwrap_or("?").to_owned();
                format!("{} {}", text("kind"), text("name"))
            });
            found.push(format!("cluster-admin for {}", subjects.collect::<Vec<_>>().join(", ")));
        }
        Some("ClusterRole") if items(item, "rules").any(allows_everything) => {
            found.push(format!("the role {} allows everything", item["metadata"]["name"].as_str().unwrap_or("?")));
        }
        _ => {}
    });
    found
}

fn allows_everything(rule: &Value) -> bool {
    ["apiGroups", "resources", "verbs"].into_iter().all(|field| items(rule, field).any(|name| name == "*"))
}

/// Calls `visit` with the object itself, or with each object of a list.
fn each_item(object: &Value, visit: &mut dyn FnMut(&Value)) {
    if object["items"].is_array() {
        items(object, "items").for_each(visit);
    } else {
        visit(object);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_are_found_in_objects_of_any_kind() {
        let pod = json!({
            "hostNetwork": true,
            "containers": [{ "name": "a", "securityContext": { "privileged": true } }, { "name": "b" }],
            "initContainers": [{ "name": "c", "securityContext": { "privileged": true } }],
            "volumes": [{ "name": "v", "hostPath": { "path": "/run" } }, { "name": "w", "emptyDir": {} }],
        });
        for object in [
            json!({ "kind": "Pod", "spec": pod }),
            json!({ "kind": "CronJob", "spec": { "jobTemplate": { "spec": { "template": { "spec": pod } } } } }),
            json!({ "kind": "List", "items": [{ "kind": "DaemonSet", "spec": { "template": { "spec": pod } } }] }),
        ] {
            assert_eq!(of_pods::<PrivilegedContainers>(&object), ["container a", "container c"]);
            assert_eq!(host_paths(&object), ["/run"]);
            assert_eq!(of_pods::<HostNetwork>(&object), ["hostNetwork: true"]);
        }
        let harmless = json!({ "kind": "Pod", "spec": { "hostNetwork": false, "containers": [{ "name": "a", "securityContext": { "privileged": false } }] } });
        for found in
            [of_pods::<PrivilegedContainers>(&harmless), host_paths(&harmless), of_pods::<HostNetwork>(&harmless)]
        {
            assert_eq!(found, [""; 0]);
        }
    }

    #[test]
    fn bindings_to_cluster_admin_and_roles_like_it_are_found() {
        let binding = json!({ "kind": "ClusterRoleBinding", "roleRef": { "name": "cluster-admin" }, "subjects": [{ "kind": "ServiceAccount", "name": "a" }] });
        assert_eq!(cluster_admins(&binding), ["cluster-admin for ServiceAccount a"]);
        let all = json!({ "kind": "ClusterRole", "metadata": { "name": "all" }, "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }] });
        assert_eq!(cluster_admins(&all), ["the role all allows everything"]);
        let view = json!({ "kind": "ClusterRole", "metadata": { "name": "view" }, "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["get"] }] });
        assert_eq!(cluster_admins(&view), [""; 0]);
        let volume = json!({ "kind": "PersistentVolume", "spec": { "hostPath": { "path": "/srv" } } });
        assert_eq!(host_paths(&json!({ "kind": "List", "items": [volume] })), ["/srv"]);
    }
}
