//! Which addresses the cluster gave to the pods of each node: as they were handed over, or as the API tells a host by its own
//! credential, so that a host learns of others that joined by hand.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;

use super::bridge::{POD_CIDR_GIVER, POD_CIDR_WITHIN};
use super::routes;
use crate::handed::PodNetwork;
use crate::host::Host;
use crate::kubectl::Kubectl;
use crate::steps::Context;
use crate::wait::{Look, until};

/// What kubectl says of a request that the credential does not allow.
const FORBIDDEN: &str = "(Forbidden)";

/// The networks of pods, by node.
pub type PodNetworks = BTreeMap<String, PodNetwork>;

/// Where the pods of every node are, once these nodes have got addresses for theirs. For a control plane.
pub fn pod_networks(host: &Host, nodes: &[String]) -> anyhow::Result<PodNetworks> {
    until("every node's pod addresses (spec.podCIDR)", POD_CIDR_WITHIN, || {
        let given = present_networks(host)?;
        let missing: Vec<_> = nodes.iter().filter(|node| !given.contains_key(*node)).cloned().collect();
        Ok(if missing.is_empty() {
            Look::Ready(given)
        } else {
            Look::NotYet(format!("none given yet to {}", missing.join(", ")))
        })
    })
    .context(POD_CIDR_GIVER)
}

/// Where the pods of every node are that has got addresses for them. For a control plane.
pub fn present_networks(host: &Host) -> anyhow::Result<PodNetworks> {
    read_list(&Kubectl::on(host).get(&["nodes"])?.unwrap_or_default())
}

/// The networks that this host has to know; without its own where the cluster has given it none yet.
pub fn known(context: &Context<'_>) -> anyhow::Result<PodNetworks> {
    let (own, handed) = (context.node_name(), &context.handed.pod_networks);
    if !context.leads() && handed.contains_key(&own) {
        return Ok(handed.clone());
    }
    let api = Kubectl::of(&context.host, context.topology.this());
    match api.get(&["nodes"]) {
        Ok(nodes) => read_list(&nodes.unwrap_or_default()),
        Err(error) if format!("{error:#}").contains(FORBIDDEN) => {
            let others = if handed.is_empty() { routes::remembered(&context.host)? } else { handed.clone() };
            let own = api.get(&["node", &own])?.map(|node| read_node(&node)).transpose()?.flatten();
            Ok(others.into_iter().chain(own).collect())
        }
        Err(error) => Err(error),
    }
}

/// Reads a `v1.NodeList`; nodes without addresses for pods are passed over.
fn read_list(nodes: &Value) -> anyhow::Result<PodNetworks> {
    let nodes = nodes["items"].as_array().into_iter().flatten();
    nodes.filter_map(|node| read_node(node).transpose()).collect()
}

fn read_node(node: &Value) -> anyhow::Result<Option<(String, PodNetwork)>> {
    let texts = (node["metadata"]["name"].as_str(), node["spec"]["podCIDR"].as_str(), internal_address(node));
    let (Some(name), Some(pods), Some(address)) = texts else { return Ok(None) };
    Ok(Some((name.to_owned(), PodNetwork { pods: pods.parse()?, node: address.parse()? })))
}

fn internal_address(node: &Value) -> Option<&str> {
    let addresses = node["status"]["addresses"].as_array()?;
    addresses.iter().find(|address| address["type"] == "InternalIP")?["address"].as_str()
}
