//! A control plane that is a worker as well, as a single host is: the taint that keeps users' pods off control planes goes.

use kbundle_format::Role;
use serde_json::Value;

use super::{Check, Context, Step, needed};
use crate::inputs::Inputs;
use crate::kubectl::Kubectl;

/// The key that kubeadm taints control planes with. Source: cmd/kubeadm/app/constants/constants.go, `LabelNodeRoleControlPlane`.
const KEY: &str = "node-role.kubernetes.io/control-plane";

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
        if is_tainted(context)? { needed(format!("the node has the taint {KEY}")) } else { Ok(Check::Done) }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        if is_tainted(context)? {
            Kubectl::on(&context.host).run(&["taint", "node", &context.node_name(), &format!("{KEY}-")])?;
        }
        Ok(())
    }
}

fn is_tainted(context: &Context<'_>) -> anyhow::Result<bool> {
    let name = context.node_name();
    let node = Kubectl::on(&context.host).get(&["node", &name])?;
    let Some(node) = node else { anyhow::bail!("the cluster has no node {name}") };
    Ok(has_key(&node))
}

fn has_key(node: &Value) -> bool {
    node["spec"]["taints"].as_array().is_some_and(|taints| taints.iter().any(|taint| taint["key"] == KEY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn taints_of_others_do_not_count() {
        let taint = |key: &str| json!({"key": key, "effect": "NoSchedule"});
        assert!(has_key(&json!({"spec": {"taints": [taint("gpu"), taint(KEY)]}})));
        assert!(!has_key(&json!({"spec": {"taints": [taint("gpu")]}})) && !has_key(&json!({"spec": {}})));
    }
}
