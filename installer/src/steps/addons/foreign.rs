//! What others have put beside an add-on: objects in its namespace, and objects of kinds that the add-on defined.

use super::kept::{KeptAddon, ObjectName};
use crate::kubectl::Kubectl;

/// The number of objects that a reason names.
const SHOWN: usize = 3;
/// Objects that Kubernetes puts into every namespace, or keeps about what runs there.
const OF_KUBERNETES: [(&str, Option<&str>); 6] = [
    ("ServiceAccount", Some("default")),
    ("ConfigMap", Some("kube-root-ca.crt")),
    ("Event", None),
    ("Endpoints", None),
    ("EndpointSlice", None),
    ("Lease", None),
];
/// One line for each object, without its content: some objects are secrets.
const COLUMNS: &str = "jsonpath={range .items[*]}{.apiVersion}{\"\\t\"}{.kind}{\"\\t\"}{.metadata.namespace}{\"\\t\"}{.metadata.name}{\"\\t\"}{.metadata.ownerReferences[0].kind}{\"\\n\"}{end}";

/// Why `object`, a namespace or a definition of a kind, does not belong to the add-on alone; `None` if it does.
pub fn of(api: &Kubectl<'_>, object: &ObjectName, kept: &KeptAddon) -> anyhow::Result<Option<String>> {
    let listed = match object.kind.as_str() {
        "CustomResourceDefinition" => of_kind(api, object)?,
        _ => in_namespace(api, &object.name)?,
    };
    Ok(match listed {
        Ok(lines) => reason(&strangers(&lines, kept)),
        Err(said) => Some(format!("what else is there cannot be told: {said}")),
    })
}

/// All objects of a kind; if the API does not list them, its message.
fn of_kind(api: &Kubectl<'_>, definition: &ObjectName) -> anyhow::Result<Result<String, String>> {
    if !api.has_object(&definition.to_object())? {
        return Ok(Ok(String::new()));
    }
    api.ask(&["get", &definition.name, "--all-namespaces", "--ignore-not-found", "--output", COLUMNS])
}

/// All objects in a namespace that can be deleted; if the API does not list them, its message.
fn in_namespace(api: &Kubectl<'_>, namespace: &str) -> anyhow::Result<Result<String, String>> {
    let kinds = match api.ask(&["api-resources", "--namespaced", "--verbs=list,delete", "--output=name"])? {
        Ok(kinds) => kinds.split_whitespace().collect::<Vec<_>>().join(","),
        Err(said) => return Ok(Err(said)),
    };
    api.ask(&["get", &kinds, "--namespace", namespace, "--ignore-not-found", "--output", COLUMNS])
}

/// The objects that the add-on did not apply, that nothing of the add-on owns, and that are not Kubernetes' own.
fn strangers(lines: &str, kept: &KeptAddon) -> Vec<ObjectName> {
    let object = |line: &str| {
        let fields: Vec<_> = line.split('\t').collect();
        let [api_version, kind, namespace, name, owner] = fields[..] else { return None };
        let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        let object = ObjectName { api_version: api_version.into(), kind: kind.into(), namespace, name: name.into() };
        owner.is_empty().then_some(object)
    };
    let is_of_kubernetes = |object: &ObjectName| {
        let has =
            |(kind, name): &(&str, Option<&str>)| object.kind == *kind && name.is_none_or(|name| object.name == name);
        OF_KUBERNETES.iter().any(has)
    };
    let found = lines.lines().filter_map(object);
    found
        .filter(|object| !is_of_kubernetes(object) && !kept.objects.iter().any(|known| known.is_same(object)))
        .collect()
}

fn reason(strangers: &[ObjectName]) -> Option<String> {
    let names: Vec<_> = strangers.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = strangers.len().saturating_sub(SHOWN);
    match (names.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(format!("others use it: {}", names.join(", "))),
        (false, more) => Some(format!("others use it: {} and {more} more", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::addons::kept::AddonState;
    use kbundle_format::Digest;

    #[test]
    fn only_what_nobody_of_the_add_on_made_is_foreign() {
        let known = ObjectName {
            api_version: "v1".into(),
            kind: "Service".into(),
            namespace: Some("ns".into()),
            name: "own".into(),
        };
        let kept = KeptAddon {
            name: "a".into(),
            version: "1".into(),
            state: AddonState::Applied,
            digest: Digest::of(b""),
            objects: vec![known],
        };
        let lines = "v1\tService\tns\town\t\nv1\tPod\tns\town-x\tReplicaSet\nv1\tConfigMap\tns\tkube-root-ca.crt\t\n\
                     v1\tServiceAccount\tns\tdefault\t\ndiscovery.k8s.io/v1\tEndpointSlice\tns\town-abc\tService\n";
        assert_eq!(reason(&strangers(lines, &kept)), None);
        let lines = format!(
            "{lines}v1\tSecret\tns\ttheirs\t\nv1\tPersistentVolumeClaim\tns\tdata-0\t\nv1\tPod\tns\tp\t\nv1\tPod\tns\tq\t\n"
        );
        let said = reason(&strangers(&lines, &kept)).unwrap();
        assert_eq!(said, "others use it: Secret ns/theirs, PersistentVolumeClaim ns/data-0, Pod ns/p and 1 more");
    }
}
