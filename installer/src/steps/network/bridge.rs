//! The bridge that a host's own pods are on: the standard plugins, with the addresses that the cluster gave the node.

use std::time::Duration;

use anyhow::Context as _;

use crate::config::{Cidr, Cni};
use crate::host::Host;
use crate::inputs::Inputs;
use crate::kubectl::Kubectl;
use crate::steps::{Check, Context, Step, needed};
use crate::template::render;
use crate::wait::{Look, until};

const PATH: &str = "/etc/cni/net.d/10-kinstall.conflist";
/// The controller manager gives it, once it leads: 10 to 20 s after its start.
pub(super) const POD_CIDR_WITHIN: Duration = Duration::from_mins(2);
/// Who is to be looked at when it does not.
pub(super) const POD_CIDR_GIVER: &str =
    "the controller manager gives them; `crictl ps -a` and `crictl logs` show how it fares";

/// Gives a host's pods a bridge. It runs as soon as the host has joined, since its node needs a while after that to become ready.
pub struct Bridge;

impl Step for Bridge {
    fn id(&self) -> &'static str {
        "bridge"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "give this host's pods a bridge".to_owned()
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.cni() == Cni::Bridge && inputs.topology.this().is_node()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        match own_network(&context.host, &context.node_name())? {
            None => needed("the node has no addresses for pods yet"),
            Some(own) if context.host.has_file(PATH, configuration(&own).as_bytes(), 0o644)? => Ok(Check::Done),
            Some(_) => needed(format!("{PATH} differs from what kinstall writes")),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        context.progress.detail("waiting for the node's pod addresses");
        let own = until(context.progress, "the node's pod addresses (spec.podCIDR)", POD_CIDR_WITHIN, || {
            let own = own_network(&context.host, &context.node_name())?;
            Ok(own.map_or_else(|| Look::NotYet("none given yet".to_owned()), Look::Ready))
        })
        .context(POD_CIDR_GIVER)?;
        Ok(context.host.write_file(PATH, configuration(&own).as_bytes(), 0o644)?)
    }
}

fn own_network(host: &Host, name: &str) -> anyhow::Result<Option<Cidr>> {
    let node = Kubectl::as_kubelet(host).get(&["node", name])?.unwrap_or_default();
    node["spec"]["podCIDR"].as_str().map(|text| text.parse().context("while reading spec.podCIDR")).transpose()
}

/// The plugins' configuration. Leaving the cluster under the host's address is for the routes' unit, since the plugin would
/// do it between pods of different hosts as well.
fn configuration(pod_cidr: &Cidr) -> String {
    let template = include_str!("../../../../manifests/templates/bridge.conflist");
    render(template, &[("pod_cidr", &pod_cidr.to_string())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_gets_the_nodes_addresses() {
        let text = configuration(&"10.244.0.0/24".parse().unwrap());
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
