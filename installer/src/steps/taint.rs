//! A control plane that is a worker as well, as a single host is: the taint that keeps users' pods off control planes goes.

use kbundle_format::Role;
use serde_json::Value;

use super::{Check, Context, Inputs, Step, needed};
use crate::kubectl::Kubectl;

/// The taint's key until 1.23, both in 1.24, the second alone since 1.25.
const KEYS: [&str; 2] = ["node-role.kubernetes.io/master", "node-role.kubernetes.io/control-plane"];

/// See the module.
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
        match taints(context)?.first() {
            Some(key) => needed(format!("the node has the taint {key}")),
            None => Ok(Check::Done),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        for key in taints(context)? {
            Kubectl::on(&context.host).run(&["taint", "node", &context.node_name(), &format!("{key}-")])?;
        }
        Ok(())
    }
}

fn taints(context: &Context<'_>) -> anyhow::Result<Vec<&'static str>> {
    let name = context.node_name();
    let node = Kubectl::on(&context.host).get(&["node", &name])?;
    let Some(node) = node else { anyhow::bail!("the cluster has no node {name}") };
    Ok(keys_of(&node))
}

fn keys_of(node: &Value) -> Vec<&'static str> {
    let taints = node["spec"]["taints"].as_array().map(Vec::as_slice).unwrap_or_default();
    KEYS.into_iter().filter(|key| taints.iter().any(|taint| taint["key"] == *key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn taints_of_others_stay() {
        let taint = |key: &str| json!({"key": key, "effect": "NoSchedule"});
        let node = json!({"spec": {"taints": [taint("gpu"), taint(KEYS[1])]}});
        assert_eq!(keys_of(&node), [KEYS[1]]);
        assert!(keys_of(&json!({"spec": {}})).is_empty());
    }
}
