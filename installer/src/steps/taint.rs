//! A control plane that is a worker as well, such as a single host. The step removes the taint that keeps users' pods off control planes,
//! and the label that keeps load balancers from sending it requests.

use kbundle_format::Role;
use serde_json::Value;

use super::{Check, Context, Step, needed};
use crate::inputs::Inputs;
use crate::kubectl::Kubectl;

/// The key that kubeadm taints control planes with. Source: cmd/kubeadm/app/constants/constants.go, `LabelNodeRoleControlPlane`.
const KEY: &str = "node-role.kubernetes.io/control-plane";
/// kubeadm's label for control planes. Source: the same file, `LabelExcludeFromExternalLB`.
const LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Removes the control plane's taint on a host that is a worker too.
pub struct Taint;

impl Step for Taint {
    fn id(&self) -> &'static str {
        "taint"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        format!("let {} run pods of users", inputs.node_name())
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.has(Role::ControlPlane) && inputs.has(Role::Worker)
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let node = node(context)?;
        if has_taint(&node) {
            return needed(format!("the node has the taint {KEY}"));
        }
        if is_excluded(&node, context) { needed(format!("the node has the label {LABEL}")) } else { Ok(Check::Done) }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let (node, name) = (node(context)?, context.node_name());
        let api = Kubectl::on(&context.host);
        if has_taint(&node) {
            api.run(&["taint", "node", &name, &format!("{KEY}-")])?;
        }
        if is_excluded(&node, context) {
            api.run(&["label", "node", &name, &format!("{LABEL}-")])?;
        }
        Ok(())
    }
}

fn node(context: &Context<'_>) -> anyhow::Result<Value> {
    let name = context.node_name();
    let node = Kubectl::on(&context.host).get(&["node", &name])?;
    let Some(node) = node else { anyhow::bail!("the cluster has no node {name}") };
    Ok(node)
}

fn has_taint(node: &Value) -> bool {
    node["spec"]["taints"].as_array().is_some_and(|taints| taints.iter().any(|taint| taint["key"] == KEY))
}

/// Whether the node has kubeadm's label, and the site did not set it itself.
fn is_excluded(node: &Value, inputs: &Inputs<'_>) -> bool {
    let name = inputs.node_name();
    let host = inputs.spec.hosts.iter().find(|host| host.name.as_str() == name);
    let is_wanted = host.is_some_and(|host| host.labels.contains_key(LABEL));
    !is_wanted && !node["metadata"]["labels"][LABEL].is_null()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClusterSpec;
    use crate::fixture;
    use crate::topology::Topology;
    use serde_json::json;

    #[test]
    fn taints_of_others_do_not_count() {
        let taint = |key: &str| json!({"key": key, "effect": "NoSchedule"});
        assert!(has_taint(&json!({"spec": {"taints": [taint("gpu"), taint(KEY)]}})));
        assert!(!has_taint(&json!({"spec": {"taints": [taint("gpu")]}})) && !has_taint(&json!({"spec": {}})));
    }

    #[test]
    fn a_label_of_the_site_stays() {
        let excluded = |labels: &str| {
            let host =
                format!("{{name: a, address: 192.0.2.1, roles: [control-plane, etcd, worker], labels: {labels}}}");
            let spec = ClusterSpec::parse(&format!("hosts: [{host}]")).unwrap();
            let (facts, list, topology) =
                (fixture::facts(), fixture::list("1.36.3"), Topology::of(&spec, "a").unwrap());
            let inputs = Inputs { spec: &spec, facts: &facts, list: &list, topology: &topology };
            is_excluded(&json!({"metadata": {"labels": {LABEL: ""}}}), &inputs)
        };
        assert!(excluded("{disk: ssd}"));
        assert!(!excluded(&format!("{{{LABEL}: ''}}")));
    }
}
