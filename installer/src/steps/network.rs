//! What connects pods: the standard plugins on a bridge, or an add-on of the bundle.

mod addon;

use std::time::Duration;

use anyhow::Context as _;

use super::{Check, Context, Inputs, Step, needed};
use crate::config::Cni;
use crate::kubectl::Kubectl;
use crate::template::render;
use crate::wait::{Look, until};
pub use addon::is_in_bundle;

const BRIDGE_PATH: &str = "/etc/cni/net.d/10-kinstall.conflist";
/// The controller manager gives it, once it leads: 10 to 20 s after its start.
const POD_CIDR_WITHIN: Duration = Duration::from_mins(2);

/// See the module.
pub struct Network;

impl Step for Network {
    fn id(&self) -> &'static str {
        "network"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let version = inputs.version_of_addon(inputs.spec.network.cni.as_str());
        let version = version.map(|version| format!(" {version}")).unwrap_or_default();
        format!("connect pods by {}{version}", inputs.spec.network.cni.as_str())
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        match context.spec.network.cni {
            Cni::Bridge => check_bridge(context),
            Cni::Flannel | Cni::Calico => addon::check(context),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        match context.spec.network.cni {
            Cni::Bridge => apply_bridge(context),
            Cni::Flannel | Cni::Calico => addon::apply(context),
        }
    }
}

fn check_bridge(context: &Context<'_>) -> anyhow::Result<Check> {
    let Some(pod_cidr) = pod_cidr(context)? else { return needed("the node has no addresses for pods yet") };
    if context.host.has_file(BRIDGE_PATH, bridge(&pod_cidr).as_bytes(), 0o644)? {
        return Ok(Check::Done);
    }
    needed(format!("{BRIDGE_PATH} is not as it should be"))
}

fn apply_bridge(context: &mut Context<'_>) -> anyhow::Result<()> {
    context.progress.detail("waiting for the node's pod addresses");
    let pod_cidr = until("the node's pod addresses (spec.podCIDR)", POD_CIDR_WITHIN, || {
        Ok(pod_cidr(context)?.map_or(Look::NotYet("none given yet".to_owned()), Look::Ready))
    })
    .context("the controller manager gives them; `crictl ps -a` and `crictl logs` show how it fares")?;
    Ok(context.host.write_file(BRIDGE_PATH, bridge(&pod_cidr).as_bytes(), 0o644)?)
}

/// The addresses that the cluster has given to this node's pods.
fn pod_cidr(context: &Context<'_>) -> anyhow::Result<Option<String>> {
    let node = Kubectl::on(&context.host).get(&["node", &context.node_name()])?;
    Ok(node.and_then(|node| node["spec"]["podCIDR"].as_str().map(str::to_owned)))
}

/// The plugins' configuration. Pods reach the site's network under the host's address, since no other host has a route back.
fn bridge(pod_cidr: &str) -> String {
    let template = include_str!("../../../manifests/templates/bridge.conflist");
    render(template, &[("pod_cidr", pod_cidr), ("masquerade", "true")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_gets_the_nodes_addresses() {
        let text = bridge("10.244.0.0/24");
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(list["plugins"][0]["ipam"]["ranges"][0][0]["subnet"], "10.244.0.0/24");
        insta::assert_snapshot!(text, @r#"
        {
          "cniVersion": "0.4.0",
          "name": "kinstall-bridge",
          "plugins": [
            {
              "type": "bridge",
              "bridge": "cni0",
              "isGateway": true,
              "hairpinMode": true,
              "ipMasq": true,
              "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.244.0.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}]
              }
            },
            {
              "type": "portmap",
              "capabilities": {"portMappings": true}
            }
          ]
        }
        "#);
    }
}
