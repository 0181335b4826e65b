//! Whether the objects that an add-on applied are running.

use serde_json::Value;

use crate::kubectl::Kubectl;
use crate::steps::addon::text;
use crate::steps::{Context, own_network, workloads};

/// What the cluster still waits for, for people; empty if everything runs. Pods of absent hosts are ignored, and all pods are if the site
/// brings the network.
pub fn unready(context: &Context<'_>, objects: &[Value]) -> anyhow::Result<Vec<String>> {
    let api = Kubectl::on(&context.host);
    let wanted: Vec<_> = objects.iter().filter(|object| is_waited_for(object)).cloned().collect();
    let found = api.get_objects(&wanted)?;
    if found.len() < wanted.len() {
        return Ok(vec![format!("{} of {} objects are there", found.len(), wanted.len())]);
    }
    let lost = lost_pods(context, &api)?;
    let is_left_to_the_site = own_network::left_to_the_site(context).is_some();
    let reason = |object: &Value| match text(&object["kind"]) {
        "CustomResourceDefinition" => lacks(object, "Established"),
        _ if is_left_to_the_site => None,
        "APIService" => lacks(object, "Available"),
        "Job" => lacks(object, "Complete"),
        _ => workloads::workload_unready(object, &lost),
    };
    Ok(found.iter().filter_map(reason).collect())
}

fn is_waited_for(object: &Value) -> bool {
    let kinds = ["CustomResourceDefinition", "APIService", "Job", "Deployment", "DaemonSet", "StatefulSet"];
    kinds.contains(&text(&object["kind"]))
}

/// Pods on hosts that are absent.
fn lost_pods(context: &Context<'_>, api: &Kubectl<'_>) -> anyhow::Result<Vec<Value>> {
    let absent = &context.material.absent;
    if absent.is_empty() {
        return Ok(Vec::new());
    }
    let pods = api.get(&["pods", "--all-namespaces"])?;
    Ok(workloads::items(pods.as_ref()).into_iter().filter(|pod| workloads::is_on(pod, absent)).collect())
}

/// The sentence that an object has not reached a condition, with the condition's message; `None` if it has.
fn lacks(object: &Value, condition: &str) -> Option<String> {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = conditions.iter().find(|found| found["type"] == condition);
    if found.is_some_and(|found| found["status"] == "True") {
        return None;
    }
    let said = found.map(|found| text(&found["message"]).trim()).filter(|said| !said.is_empty());
    let name = text(&object["metadata"]["name"]);
    let state = format!("{} {name} is not {} yet", text(&object["kind"]), condition.to_lowercase());
    Some(said.map_or_else(|| state.clone(), |said| format!("{state}: {said}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_condition_that_is_missing_says_why() {
        let service = |status: &str, message: &str| json!({"kind": "APIService", "metadata": {"name": "v1.x"}, "status": {"conditions": [{"type": "Available", "status": status, "message": message}]}});
        assert_eq!(lacks(&service("True", "all checks passed"), "Available"), None);
        let said = lacks(&service("False", "no endpoints"), "Available").unwrap();
        assert_eq!(said, "APIService v1.x is not available yet: no endpoints");
        let said = lacks(&json!({"kind": "Job", "metadata": {"name": "j"}}), "Complete").unwrap();
        assert_eq!(said, "Job j is not complete yet");
    }

    #[test]
    fn configuration_is_not_waited_for() {
        let waited = |kind: &str| is_waited_for(&json!({"kind": kind}));
        assert!(waited("DaemonSet") && waited("APIService") && !waited("ConfigMap") && !waited("Service"));
    }
}
