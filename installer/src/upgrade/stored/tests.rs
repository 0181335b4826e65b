use serde_json::{Value, json};

use super::*;
use crate::fixture::bench::{Bench, FAILS};
use crate::host::Command;

const RESOURCES: &str = "\
horizontalpodautoscalers  hpa  autoscaling/v2  true  HorizontalPodAutoscaler
pods  po  v1  true  Pod
poddisruptionbudgets  pdb  policy/v1  true  PodDisruptionBudget
flowschemas  flowcontrol.apiserver.k8s.io/v1beta2  false  FlowSchema
runtimeclasses  node.k8s.io/v1  false  RuntimeClass
";

fn write(manager: &str, api: &str, time: &str) -> Value {
    json!({"manager": manager, "operation": "Update", "apiVersion": api, "time": time, "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}})
}

fn list(items: &[Value]) -> String {
    json!({"kind": "List", "metadata": {"resourceVersion": "7"}, "items": items}).to_string()
}

/// Answers with the files `discovery` and `hpa`, if they exist.
fn api(root: &std::path::Path, command: &Command) -> Option<String> {
    let asked = command.arguments.last()?;
    let file = |name: &str| fs_err::read_to_string(root.join(name)).ok();
    Some(match asked.as_str() {
        "--no-headers" => file("discovery").unwrap_or_else(|| RESOURCES.to_owned()),
        "--raw=/apis/autoscaling/v2/horizontalpodautoscalers?limit=100" => file("hpa")?,
        "--raw=/apis/policy/v1/poddisruptionbudgets?limit=100" => {
            let applied = r#"{"apiVersion":"policy/v1beta1","kind":"PodDisruptionBudget","metadata":{"name":"web"}}"#;
            let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": applied});
            list(&[json!({"metadata": {"name": "web", "namespace": "shop", "annotations": annotations}, "spec": {}})])
        }
        "--raw=/apis/flowcontrol.apiserver.k8s.io/v1beta2/flowschemas?limit=100" => {
            let its_own = "api-priority-and-fairness-config-producer-v1";
            let writes = [
                write(its_own, "flowcontrol.apiserver.k8s.io/v1beta2", "2026-11-01T00:00:00Z"),
                write("helm", "flowcontrol.apiserver.k8s.io/v1beta2", "2026-11-01T00:00:00Z"),
            ];
            list(&[json!({"metadata": {"name": "probes", "managedFields": writes}})])
        }
        "--raw=/apis/node.k8s.io/v1/runtimeclasses?limit=100" => {
            format!("{FAILS}Error from server: etcdserver: request timed out")
        }
        other => panic!("{other} is not looked through"),
    })
}

fn scan(bench: &Bench, to: &str) -> StoredObjects {
    StoredObjects::scan(&Kubectl::on(&bench.host()), to.parse().unwrap())
}

#[test]
fn objects_are_named_with_their_writers_and_the_minor_that_lacks_the_version() {
    let bench = Bench::with_programs(api);
    let hpa = |name: &str, writes: &[Value]| json!({"metadata": {"name": name, "namespace": "shop", "managedFields": writes}, "spec": {"x": [1]}});
    let old = |manager| write(manager, "autoscaling/v2beta2", "2026-01-01T00:00:00Z");
    bench.file(
        "hpa",
        &list(&[
            hpa("web", &[old("operator"), old("argocd"), write("kube-controller-manager", "autoscaling/v2beta2", "")]),
            hpa("moved", &[old("operator"), write("operator", "autoscaling/v2", "2026-02-01T00:00:00Z")]),
            hpa("moved-back", &[write("operator", "autoscaling/v2", "2025-02-01T00:00:00Z"), old("operator")]),
            hpa("new", &[write("operator", "autoscaling/v2", "2026-02-01T00:00:00Z")]),
        ]),
    );
    let found = scan(&bench, "1.26.15");
    let lines: Vec<_> = found.objects.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "PodDisruptionBudget shop/web in policy/v1beta1, in the manifest that was applied last: Kubernetes 1.25 does not have it; change what writes it",
            "HorizontalPodAutoscaler shop/moved-back in autoscaling/v2beta2, written by operator: Kubernetes 1.26 does not have it; change what writes it",
            "HorizontalPodAutoscaler shop/web in autoscaling/v2beta2, written by argocd, operator: Kubernetes 1.26 does not have it; change what writes it",
            "FlowSchema probes in flowcontrol.apiserver.k8s.io/v1beta2, written by helm: goes with Kubernetes 1.29",
        ]
    );
    assert_eq!(found.count, 4);
    assert_eq!(found.unknown.len(), 1);
    assert!(found.unknown[0].starts_with("RuntimeClass in node.k8s.io/v1: "), "{:?}", found.unknown);
    assert!(found.unknown[0].contains("request timed out"), "{:?}", found.unknown);
}

#[test]
fn many_objects_are_counted_and_the_first_to_break_are_named() {
    let bench = Bench::with_programs(api);
    let hpa = |number: usize| {
        let version = if number.is_multiple_of(2) { "autoscaling/v2beta2" } else { "autoscaling/v2beta1" };
        json!({"metadata": {"name": format!("web-{number}"), "managedFields": [write("operator", version, "")]}})
    };
    bench.file("hpa", &list(&(0..1500).map(hpa).collect::<Vec<_>>()));
    let found = scan(&bench, "1.26.15");
    assert_eq!((found.objects.len(), found.count), (NAMED, 1502));
    assert!(found.objects.iter().all(|object| object.removed_in == "1.25"));
}

#[test]
fn what_discovery_lacks_is_unknown() {
    let bench = Bench::with_programs(api);
    bench.file(
        "discovery",
        &format!("{FAILS}error: unable to retrieve the complete list of server APIs: metrics.k8s.io/v1beta1"),
    );
    let found = scan(&bench, "1.26.15");
    assert_eq!((found.count, found.unknown.len()), (0, 1));
    assert!(found.unknown[0].contains("metrics.k8s.io"), "{:?}", found.unknown);
}
