//! What connects pods: the standard plugins on a bridge with routes between hosts, or an add-on of the bundle.

mod addon;
mod bridge;
mod routes;

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;

use super::{Check, Context, Inputs, Step, needed};
use crate::config::Cni;
use crate::handed::PodNetwork;
use crate::host::Host;
use crate::kubectl::Kubectl;
use crate::wait::{Look, until};
pub use addon::is_in_bundle;
pub use bridge::Bridge;
use bridge::{POD_CIDR_GIVER, POD_CIDR_WITHIN};

/// See the module.
pub struct Network;

impl Step for Network {
    fn id(&self) -> &'static str {
        "network"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let cni = inputs.spec.network.cni;
        let version = inputs.version_of_addon(cni.as_str());
        match (cni, version) {
            (Cni::Bridge, _) => "connect pods with those of other hosts by routes".to_owned(),
            (_, Some(version)) => format!("connect pods by {} {version}", cni.as_str()),
            (_, None) => format!("connect pods by {}", cni.as_str()),
        }
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        match inputs.spec.network.cni {
            Cni::Bridge => inputs.topology.this().is_node(),
            Cni::Flannel | Cni::Calico => inputs.leads(),
        }
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        match context.spec.network.cni {
            Cni::Bridge => routes::check(context, &known_networks(context)?),
            Cni::Flannel | Cni::Calico => addon::check(context),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        match context.spec.network.cni {
            Cni::Bridge => routes::apply(context, &known_networks(context)?),
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
    .context(POD_CIDR_GIVER)
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

/// As they were handed over, or as the API of this host has them.
fn known_networks(context: &Context<'_>) -> anyhow::Result<BTreeMap<String, PodNetwork>> {
    if context.leads() { given_networks(&context.host) } else { Ok(context.handed.pod_networks.clone()) }
}
