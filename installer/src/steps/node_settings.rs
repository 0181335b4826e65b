//! Labels and taints that cluster.yaml gives to nodes. Those of others stay, also what was once given and is no more.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Check, Context, Step, needed};
use crate::config::HostSpec;
use crate::inputs::Inputs;
use crate::kubectl::Kubectl;

/// Sets labels and taints of nodes.
pub struct NodeSettings;

impl Step for NodeSettings {
    fn id(&self) -> &'static str {
        "node-settings"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        format!("give {} nodes their labels and taints", of_interest(inputs).count())
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.leads() && of_interest(inputs).next().is_some()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let nodes = nodes(context)?;
        for host in present(context) {
            if let Some(missing) = missing(&nodes, host) {
                return needed(missing);
            }
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let nodes = nodes(context)?;
        for host in present(context).filter(|host| missing(&nodes, host).is_some()) {
            let labels: Vec<_> = host.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            for (act, settings) in [("label", &labels), ("taint", &host.taints)] {
                if !settings.is_empty() {
                    let arguments = [act, "--overwrite", "node", host.name.as_str()].into_iter();
                    let all: Vec<_> = arguments.chain(settings.iter().map(String::as_str)).collect();
                    Kubectl::on(&context.host).run(&all)?;
                }
            }
        }
        Ok(())
    }
}

fn of_interest<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = &'a HostSpec> {
    inputs.spec.hosts.iter().filter(|host| !host.labels.is_empty() || !host.taints.is_empty())
}

fn present<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a HostSpec> {
    let absent = &context.material.absent;
    of_interest(context).filter(move |host| !absent.contains(host.name.as_str()))
}

fn nodes(context: &Context<'_>) -> anyhow::Result<Vec<Value>> {
    Kubectl::on(&context.host).nodes()
}

/// What the node of `host` lacks, for people.
fn missing(nodes: &[Value], host: &HostSpec) -> Option<String> {
    let name = &host.name;
    let Some(node) = nodes.iter().find(|node| node["metadata"]["name"] == name.as_str()) else {
        return Some(format!("the cluster has no node {name}"));
    };
    let label = host.labels.iter().find(|(key, value)| node["metadata"]["labels"][key.as_str()] != value.as_str());
    if let Some((key, value)) = label {
        return Some(format!("{name} lacks the label {key}={value}"));
    }
    let there = taints(node);
    host.taints.iter().find(|taint| !there.contains(*taint)).map(|taint| format!("{name} lacks the taint {taint}"))
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
    use crate::config::ClusterSpec;
    use serde_json::json;

    #[test]
    fn what_a_node_lacks_is_named() {
        let spec = ClusterSpec::parse(
            "hosts:\n\
             - {name: a, address: 192.0.2.1, roles: [control-plane, etcd]}\n\
             - {name: b, address: 192.0.2.2, roles: [worker], labels: {disk: ssd}, taints: ['db=yes:NoSchedule', 'x:NoExecute']}\n",
        )
        .unwrap();
        let node = |labels: Value, taints: Value| {
            [json!({"metadata": {"name": "b", "labels": labels}, "spec": {"taints": taints}})]
        };
        let found = |nodes: &[Value]| missing(nodes, &spec.hosts[1]);
        assert_eq!(found(&[]).unwrap(), "the cluster has no node b");
        assert_eq!(found(&node(json!({"disk": "hdd"}), json!([]))).unwrap(), "b lacks the label disk=ssd");
        let taint = json!({"key": "db", "value": "yes", "effect": "NoSchedule"});
        assert_eq!(found(&node(json!({"disk": "ssd"}), json!([taint]))).unwrap(), "b lacks the taint x:NoExecute");
        let bare = json!({"key": "x", "effect": "NoExecute"});
        assert_eq!(found(&node(json!({"disk": "ssd"}), json!([taint, bare]))), None);
    }
}
