//! What connects pods: the standard plugins on a bridge with routes between hosts, or an add-on of the bundle.

mod addon;
mod routes;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::{Check, Context, Inputs, Step, needed};
use crate::config::{Cidr, Cni};
use crate::handed::PodNetwork;
use crate::host::Host;
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

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        match inputs.spec.network.cni {
            Cni::Bridge => inputs.topology.this().is_node(),
            Cni::Flannel | Cni::Calico => inputs.leads(),
        }
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

    fn undo(&self, host: &mut Host) -> anyhow::Result<()> {
        Ok(host.stop_unit(routes::UNIT)?)
    }
}

/// Where the pods of every node are, once these nodes have got addresses for theirs.
pub fn pod_networks(host: &Host, nodes: &[String]) -> anyhow::Result<BTreeMap<String, PodNetwork>> {
    until("every node's pod addresses (spec.podCIDR)", POD_CIDR_WITHIN, || {
        let given = given_networks(host)?;
        let missing: Vec<_> = nodes.iter().filter(|node| !given.contains_key(*node)).cloned().collect();
        Ok(if missing.is_empty() {
            Look::Ready(given)
        } else {
            Look::NotYet(format!("none given yet to {}", missing.join(", ")))
        })
    })
    .context("the controller manager gives them; `crictl ps -a` and `crictl logs` show how it fares")
}

fn given_networks(host: &Host) -> anyhow::Result<BTreeMap<String, PodNetwork>> {
    let nodes = Kubectl::on(host).get(&["nodes"])?.unwrap_or_default();
    let mut given = BTreeMap::new();
    for node in nodes["items"].as_array().into_iter().flatten() {
        let texts = (node["metadata"]["name"].as_str(), node["spec"]["podCIDR"].as_str(), internal_address(node));
        if let (Some(name), Some(pods), Some(address)) = texts {
            given.insert(name.to_owned(), PodNetwork { pods: pods.parse()?, node: address.parse()? });
        }
    }
    Ok(given)
}

fn internal_address(node: &Value) -> Option<&str> {
    let addresses = node["status"]["addresses"].as_array()?;
    addresses.iter().find(|address| address["type"] == "InternalIP")?["address"].as_str()
}

fn check_bridge(context: &Context<'_>) -> anyhow::Result<Check> {
    let networks = known_networks(context)?;
    let Some(own) = networks.get(&context.node_name()) else {
        return needed("the node has no addresses for pods yet");
    };
    if !context.host.has_file(BRIDGE_PATH, bridge(&own.pods).as_bytes(), 0o644)? {
        return needed(format!("{BRIDGE_PATH} is not as it should be"));
    }
    routes::check(context, &networks)
}

fn apply_bridge(context: &mut Context<'_>) -> anyhow::Result<()> {
    let mut networks = known_networks(context)?;
    let name = context.node_name();
    if !networks.contains_key(&name) {
        context.progress.detail("waiting for the node's pod addresses");
        networks = pod_networks(&context.host, std::slice::from_ref(&name))?;
    }
    context.host.write_file(BRIDGE_PATH, bridge(&networks[&name].pods).as_bytes(), 0o644)?;
    routes::apply(context, &networks)
}

/// As they were handed over, or as the API of this host has them.
fn known_networks(context: &Context<'_>) -> anyhow::Result<BTreeMap<String, PodNetwork>> {
    if context.leads() { given_networks(&context.host) } else { Ok(context.handed.pod_networks.clone()) }
}

/// The plugins' configuration. Leaving the cluster under the host's address is for the routes' unit, since the plugin would
/// do it between pods of different hosts as well.
fn bridge(pod_cidr: &Cidr) -> String {
    let template = include_str!("../../../manifests/templates/bridge.conflist");
    render(template, &[("pod_cidr", &pod_cidr.to_string())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_gets_the_nodes_addresses() {
        let text = bridge(&"10.244.0.0/24".parse().unwrap());
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
