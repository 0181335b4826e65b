use std::path::Path;

use super::*;
use crate::fixture::bench::Bench;
use crate::host::Command;

/// A Deployment as the API server returns it: with defaults, and the manager of each field.
fn deployment(replicas: u64, managers: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "idle", "namespace": "shop", "generation": replicas, "uid": "u", "resourceVersion": "7",
            "managedFields": managers,
        },
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "a", "image": "i:1"}]}}},
        "status": {"readyReplicas": replicas},
    })
}

fn own() -> Value {
    json!([{"manager": "kinstall", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}])
}

fn with(manager: &Value) -> Value {
    let mut managers = own();
    managers.as_array_mut().unwrap().push(manager.clone());
    managers
}

fn drift(finding: &Finding) -> Option<String> {
    match &finding.verdict {
        super::super::Verdict::Drifted { expected, found } => Some(format!("{}: {expected}, {found}", finding.subject)),
        _ => None,
    }
}

#[test]
fn what_the_server_keeps_and_fills_in_is_no_drift() {
    let (mut expected, live) = (deployment(1, &own()), deployment(1, &own()));
    expected["metadata"]["generation"] = json!(9);
    expected["status"] = Value::Null;
    assert_eq!(drift(&finding(&expected, &[live])), None);
}

#[test]
fn a_value_that_differs_is_named_by_its_place() {
    let expected = deployment(1, &own());
    assert_eq!(
        drift(&finding(&expected, &[deployment(3, &own())])).unwrap(),
        "Deployment shop/idle, spec.replicas: 1, 3"
    );
    let mut other = deployment(1, &own());
    other["spec"]["template"]["spec"]["containers"][0]["image"] = json!("evil:1");
    let place = "spec.template.spec.containers[0].image";
    assert_eq!(
        drift(&finding(&expected, &[other])).unwrap(),
        format!("Deployment shop/idle, {place}: \"i:1\", \"evil:1\"")
    );
    assert_eq!(
        drift(&finding(&expected, &[])).unwrap(),
        "Deployment shop/idle: an object of the bundle's manifests, nothing"
    );
}

#[test]
fn the_value_of_a_secret_is_not_shown() {
    let secret = |data: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "b"}, "data": {"key": data}});
    let found = drift(&finding(&secret("b25l"), &[secret("dHdv")])).unwrap();
    assert_eq!(found, "Secret b/a, data.key: a secret value, a secret value");
}

#[test]
fn fields_that_others_added_are_a_drift_and_those_of_controllers_are_not() {
    let expected = deployment(1, &own());
    let by = |manager: &str, fields: Value, subresource: Option<&str>| {
        let mut entry = json!({"manager": manager, "operation": "Update", "time": "T", "fieldsV1": fields});
        if let Some(subresource) = subresource {
            entry["subresource"] = json!(subresource);
        }
        drift(&finding(&expected, &[deployment(1, &with(&entry))]))
    };
    let containers = || json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"b\"}": {}}}}}});
    let alone = "fields of kinstall, kubeadm and controllers alone";
    assert_eq!(
        by("kubectl-edit", containers(), None).unwrap(),
        format!("Deployment shop/idle: {alone}, kubectl-edit (Update at T)")
    );
    assert_eq!(by("kube-controller-manager", containers(), None), None);
    assert_eq!(by("kubectl", json!({"f:spec": {"f:replicas": {}}}), Some("scale")), None);
    assert_eq!(by("kubectl-label", json!({"f:metadata": {"f:labels": {"f:a": {}}}}), None), None);
    let restarted = json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations": {
        ".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}}}}});
    assert_eq!(by("kubectl-rollout", restarted, None), None);
}

/// An API server with the objects of kubeadm in the root's file `live`.
fn api(root: &Path, command: &Command) -> Option<String> {
    command.to_string().contains("--show-managed-fields").then(|| fs_err::read_to_string(root.join("live")).unwrap())
}

#[test]
fn what_kubeadm_made_and_others_changed_has_drifted() {
    let bench = Bench::with_programs(api);
    let map = |manager: &str| {
        let managers = json!([{"manager": manager, "operation": "Update", "time": "T", "fieldsV1": {"f:data": {"f:Corefile": {}}}}]);
        json!({"apiVersion": "v1", "kind": "ConfigMap",
               "metadata": {"name": "coredns", "namespace": "kube-system", "managedFields": managers}})
    };
    let look = |object: &Value| {
        bench.file("live", &json!({"items": [object]}).to_string());
        let found = of_kubeadm(&Kubectl::on(&bench.host())).unwrap();
        drift(&found[0])
    };
    assert_eq!(look(&map("kubeadm")), None);
    assert!(look(&map("kubectl-patch")).unwrap().ends_with("kubectl-patch (Update at T)"));
    bench.file("live", "");
    assert!(of_kubeadm(&Kubectl::on(&bench.host())).is_err(), "nothing was told");
}
