//! Labels and taints that cluster.yaml gives to nodes. Those of others stay. The node has a note of what kinstall gave it, so that any
//! control plane that leads can remove what cluster.yaml does not list any more.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Check, Context, Step, needed};
use crate::config::HostSpec;
use crate::inputs::Inputs;
use crate::kubectl::Kubectl;

/// The annotation with the labels and taints that kinstall gave to the node.
const GIVEN: &str = "kinstall/node-settings";

/// Sets labels and taints of nodes.
pub struct NodeSettings;

impl Step for NodeSettings {
    fn id(&self) -> &'static str {
        "node-settings"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "give nodes their labels and taints".to_owned()
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.leads() && !inputs.spec.hosts.is_empty()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let nodes = nodes(context)?;
        for host in present(context) {
            if let Some(reason) = Difference::of(&nodes, host)?.reason {
                return needed(reason);
            }
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let nodes = nodes(context)?;
        let api = Kubectl::on(&context.host);
        for host in present(context) {
            let Difference { reason: Some(_), labels, taints, note } = Difference::of(&nodes, host)? else { continue };
            // The annotation is written last: until then the next run does the same again.
            for (act, settings) in [("label", &labels), ("taint", &taints), ("annotate", &vec![note])] {
                if !settings.is_empty() {
                    let arguments = [act, "--overwrite", "node", host.name.as_str()].into_iter();
                    let all: Vec<_> = arguments.chain(settings.iter().map(String::as_str)).collect();
                    api.run(&all)?;
                }
            }
        }
        Ok(())
    }
}

/// The labels and taints that kinstall gave to a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    labels: BTreeMap<String, String>,
    taints: BTreeSet<String>,
}

impl Given {
    fn wanted(host: &HostSpec) -> Self {
        Self { labels: host.labels.clone(), taints: host.taints.iter().cloned().collect() }
    }

    /// Reads the node's annotation; empty if there is none.
    fn noted(node: &Value) -> anyhow::Result<Self> {
        let Some(text) = node["metadata"]["annotations"][GIVEN].as_str() else { return Ok(Self::default()) };
        serde_json::from_str(text).with_context(|| {
            format!("the annotation {GIVEN} of node {} is not as kinstall wrote it", node["metadata"]["name"])
        })
    }
}

/// Where a node differs from cluster.yaml, as arguments for `kubectl`.
struct Difference {
    /// The reason for people; `None` if the node is as wanted.
    reason: Option<String>,
    labels: Vec<String>,
    taints: Vec<String>,
    note: String,
}

impl Difference {
    fn of(nodes: &[Value], host: &HostSpec) -> anyhow::Result<Self> {
        let (name, wanted) = (&host.name, Given::wanted(host));
        let Some(node) = nodes.iter().find(|node| node["metadata"]["name"] == name.as_str()) else {
            let reason = (wanted != Given::default()).then(|| format!("the cluster has no node {name}"));
            return Ok(Self { reason, labels: Vec::new(), taints: Vec::new(), note: format!("{GIVEN}-") });
        };
        let (noted, there) = (Given::noted(node)?, taints(node));
        let has = |key: &str, value: &str| node["metadata"]["labels"][key] == value;
        let mut reasons = Vec::new();
        let (mut labels, mut of_taints) = (Vec::new(), Vec::new());
        for (key, value) in wanted.labels.iter().filter(|(key, value)| !has(key, value)) {
            reasons.push(format!("{name} lacks the label {key}={value}"));
            labels.push(format!("{key}={value}"));
        }
        // If somebody has changed the value since, it is theirs.
        for (key, value) in
            noted.labels.iter().filter(|(key, value)| !wanted.labels.contains_key(*key) && has(key, value))
        {
            reasons.push(format!("{name} has the label {key}={value}, which cluster.yaml lists no longer"));
            labels.push(format!("{key}-"));
        }
        for taint in wanted.taints.difference(&there) {
            reasons.push(format!("{name} lacks the taint {taint}"));
            of_taints.push(taint.clone());
        }
        let gone: BTreeSet<_> = noted.taints.difference(&wanted.taints).cloned().collect();
        for taint in gone.intersection(&there) {
            reasons.push(format!("{name} has the taint {taint}, which cluster.yaml lists no longer"));
            of_taints.push(format!("{taint}-"));
        }
        if noted != wanted {
            reasons.push(format!("{name} has no note of what kinstall gave it"));
        }
        let note = if wanted == Given::default() {
            format!("{GIVEN}-")
        } else {
            format!("{GIVEN}={}", serde_json::to_string(&wanted)?)
        };
        Ok(Self { reason: reasons.into_iter().next(), labels, taints: of_taints, note })
    }
}

fn present<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a HostSpec> {
    let absent = &context.material.absent;
    let nodes = context.spec.hosts.iter().filter(|host| host.is_node());
    nodes.filter(move |host| !absent.contains(host.name.as_str()))
}

fn nodes(context: &Context<'_>) -> anyhow::Result<Vec<Value>> {
    Kubectl::on(&context.host).nodes()
}

/// A node's taints as `kubectl taint` writes them: `key=value:Effect`, or `key:Effect`.
fn taints(node: &Value) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    taints
        .map(|taint| {
            let value = taint["value"].as_str().map(|value| format!("={value}")).unwrap_or_default();
            format!("{}{value}:{}", text(&taint["key"]), text(&taint["effect"]))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Cluster;
    use crate::fixture::bench::Bench;
    use crate::host::Command;
    use crate::join_material::JoinMaterial;
    use serde_json::json;

    fn host(labels: &str, taints: &str) -> HostSpec {
        let text = format!("{{name: b, address: 192.0.2.2, roles: [worker], labels: {labels}, taints: {taints}}}");
        serde_yaml::from_str(&text).unwrap()
    }

    fn node(labels: &Value, taints: &Value, given: Option<&str>) -> [Value; 1] {
        [
            json!({"metadata": {"name": "b", "labels": labels, "annotations": {GIVEN: given}}, "spec": {"taints": taints}}),
        ]
    }

    fn reason(nodes: &[Value], host: &HostSpec) -> String {
        Difference::of(nodes, host).unwrap().reason.unwrap_or_default()
    }

    #[test]
    fn what_a_node_lacks_is_named() {
        let host = host("{disk: ssd}", "['db=yes:NoSchedule', 'x:NoExecute']");
        let found = |labels: Value, taints: Value| reason(&node(&labels, &taints, None), &host);
        assert_eq!(reason(&[], &host), "the cluster has no node b");
        assert_eq!(found(json!({"disk": "hdd"}), json!([])), "b lacks the label disk=ssd");
        let taint = json!({"key": "db", "value": "yes", "effect": "NoSchedule"});
        assert_eq!(found(json!({"disk": "ssd"}), json!([taint])), "b lacks the taint x:NoExecute");
        let bare = json!({"key": "x", "effect": "NoExecute"});
        let all = (json!({"disk": "ssd"}), json!([taint, bare]));
        assert_eq!(found(all.0.clone(), all.1.clone()), "b has no note of what kinstall gave it");
        let note = Difference::of(&node(&all.0, &all.1, None), &host).unwrap().note;
        let (_, given) = note.split_once('=').unwrap();
        assert_eq!(reason(&node(&all.0, &all.1, Some(given)), &host), "");
    }

    #[test]
    fn what_kinstall_gave_goes_and_what_others_gave_stays() {
        let given = r#"{"labels":{"disk":"ssd","rack":"r1"},"taints":["db=yes:NoSchedule"]}"#;
        let labels = json!({"disk": "ssd", "rack": "of others now", "zone": "a"});
        let taints =
            json!([{"key": "db", "value": "yes", "effect": "NoSchedule"}, {"key": "x", "effect": "NoExecute"}]);
        let found = Difference::of(&node(&labels, &taints, Some(given)), &host("{}", "[]")).unwrap();
        assert_eq!(found.reason.unwrap(), "b has the label disk=ssd, which cluster.yaml lists no longer");
        assert_eq!((found.labels, found.taints), (vec!["disk-".to_owned()], vec!["db=yes:NoSchedule-".to_owned()]));
        assert_eq!(found.note, "kinstall/node-settings-");
        assert_eq!(reason(&node(&labels, &taints, None), &host("{}", "[]")), "", "nobody knows who gave them");
        assert!(Difference::of(&node(&labels, &taints, Some("{")), &host("{}", "[]")).is_err());
    }

    #[test]
    fn the_cluster_is_told_once_for_each_node_that_differs() {
        fn nodes(_: &std::path::Path, command: &Command) -> Option<String> {
            let given = r#"{"labels":{"disk":"ssd"},"taints":[]}"#;
            let node = |name: &str, given: Option<&str>| json!({"metadata": {"name": name, "labels": {"disk": "ssd"}, "annotations": {GIVEN: given}}});
            let all = ["c1", "c2", "c3"].map(|name| node(name, None)).into_iter();
            let all: Vec<_> = all.chain([node("w1", Some(given)), node("w2", None)]).collect();
            command.arguments.contains(&"nodes".to_owned()).then(|| json!({ "items": all }).to_string())
        }
        let bench = Bench::with_programs(nodes);
        let mut cluster = Cluster::of_three_and_two();
        cluster.spec.hosts[4].labels = [("disk".to_owned(), "ssd".to_owned())].into();
        bench.act_as(&cluster, "c1", &JoinMaterial::default(), |context| NodeSettings.apply(context)).unwrap();
        let ran = bench.ran();
        let told: Vec<_> =
            ran.iter().filter_map(|line| line.split_once("--request-timeout=20s ")).map(|told| told.1).collect();
        assert_eq!(
            told[1..],
            [
                "label --overwrite node w1 disk-",
                "annotate --overwrite node w1 kinstall/node-settings-",
                r#"annotate --overwrite node w2 kinstall/node-settings={"labels":{"disk":"ssd"},"taints":[]}"#,
            ]
        );
    }
}
