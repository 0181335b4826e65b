//! The addresses that the cluster assigned to the pods of each node: from the leader, or from the API, which a host asks with its own
//! credential. So a host learns about others that joined by hand.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Context as _;
use kbundle_format::Role;
use serde_json::Value;

use super::bridge::{POD_CIDR_GIVER, POD_CIDR_WITHIN, given_to};
use super::routes;
use crate::host::Host;
use crate::join_material::PodNetwork;
use crate::kubectl::Kubectl;
use crate::step_progress::StepProgress;
use crate::steps::Context;
use crate::version_rules::kubernetes::NODE_SELECTORS;
use crate::wait::{Look, until};

/// The networks of pods, by node.
pub type PodNetworks = BTreeMap<String, PodNetwork>;

/// The pod networks of every node, once these nodes have got theirs. For a control plane.
pub fn pod_networks(host: &Host, nodes: &[String], progress: &dyn StepProgress) -> anyhow::Result<PodNetworks> {
    until(progress, "every node's pod addresses (spec.podCIDR)", POD_CIDR_WITHIN, || {
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

/// The pod networks of every node that has got one. For a control plane.
pub fn present_networks(host: &Host) -> anyhow::Result<PodNetworks> {
    read_list(&Kubectl::on(host).nodes()?)
}

/// The networks that this host has to know; without its own if the cluster has not assigned it one yet.
pub fn known(context: &Context<'_>) -> anyhow::Result<PodNetworks> {
    let (own, handed) = (context.node_name(), &context.material.pod_networks);
    if !context.leads() && handed.contains_key(&own) {
        return Ok(handed.clone());
    }
    let api = Kubectl::of(&context.host, context.topology.this());
    if context.has(Role::ControlPlane) || !NODE_SELECTORS.holds(context.list.kubernetes_version) {
        return read_list(&api.nodes()?);
    }
    let others = if handed.is_empty() { routes::remembered(&context.host)? } else { handed.clone() };
    let own = api.get(&["node", &own])?.map(|node| read_node(&node)).transpose()?.flatten();
    Ok(others.into_iter().chain(own).collect())
}

/// Reads nodes. Those without addresses for pods are left out.
fn read_list(nodes: &[Value]) -> anyhow::Result<PodNetworks> {
    nodes.iter().filter_map(|node| read_node(node).transpose()).collect()
}

fn read_node(node: &Value) -> anyhow::Result<Option<(String, PodNetwork)>> {
    let addresses = internal_addresses(node)?;
    let found = (node["metadata"]["name"].as_str(), given_to(node)?, addresses.first());
    let (Some(name), Some(pods), Some(&address)) = found else { return Ok(None) };
    Ok(Some((name.to_owned(), PodNetwork { pods, node: address, second_node: addresses.get(1).copied() })))
}

/// A node's addresses, one of each family: the kubelet never reports more than one of a family.
fn internal_addresses(node: &Value) -> anyhow::Result<Vec<IpAddr>> {
    let addresses = node["status"]["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let internal = addresses.iter().filter(|address| address["type"] == "InternalIP");
    internal.filter_map(|address| address["address"].as_str()).map(|text| Ok(text.parse()?)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fixture::Cluster;
    use crate::fixture::bench::{Bench, FAILS};
    use crate::host::Command;
    use crate::join_material::JoinMaterial;

    const W1: &str = r#"{"metadata": {"name": "w1"}, "spec": {"podCIDR": "10.244.3.0/24"},
        "status": {"addresses": [{"type": "Hostname", "address": "w1"}, {"type": "InternalIP", "address": "192.0.2.11"}]}}"#;

    /// The API until Kubernetes 1.31: a kubelet may read every node.
    fn open_api(_: &Path, command: &Command) -> Option<String> {
        assert!(command.arguments.iter().any(|argument| argument.ends_with("kubelet.conf")), "{command}");
        command
            .program
            .ends_with("/kubectl")
            .then(|| format!(r#"{{"items": [{W1}, {{"metadata": {{"name": "new"}}}}]}}"#))
    }

    /// The API since Kubernetes 1.32: a kubelet can read only its own node.
    fn narrow_api(_: &Path, command: &Command) -> Option<String> {
        let own = command.arguments.windows(2).any(|pair| pair == ["node", "w1"]);
        let refusal =
            r#"Error from server (Forbidden): nodes is forbidden: User "system:node:w1" cannot list resource "nodes""#;
        let said = if own { W1.to_owned() } else { format!("{FAILS}{refusal}") };
        command.program.ends_with("/kubectl").then_some(said)
    }

    fn networks(all: &[(&str, u8)]) -> PodNetworks {
        let network = |&(name, number): &(&str, u8)| {
            let pods = format!("10.244.{number}.0/24").parse().unwrap();
            (name.to_owned(), PodNetwork { pods, node: [192, 0, 2, 8 + number].into(), second_node: None })
        };
        all.iter().map(network).collect()
    }

    fn known_to_w1(bench: &Bench, version: &str, handed: &PodNetworks) -> PodNetworks {
        let material = JoinMaterial { pod_networks: handed.clone(), ..JoinMaterial::default() };
        let mut cluster = Cluster::of_three_and_two();
        cluster.list.kubernetes_version = version.parse().unwrap();
        bench.look_as(&cluster, "w1", &material, |context| known(context).unwrap())
    }

    #[test]
    fn what_was_handed_over_counts_when_the_host_itself_is_in_it() {
        let bench = Bench::with_programs(open_api);
        let handed = networks(&[("w1", 3), ("w2", 4)]);
        assert_eq!(known_to_w1(&bench, "1.31.14", &handed), handed);
        assert!(bench.ran().is_empty());
        assert_eq!(
            known_to_w1(&bench, "1.31.14", &networks(&[("w2", 4)])),
            networks(&[("w1", 3)]),
            "the API knows better"
        );
        assert_eq!(known_to_w1(&bench, "1.31.14", &PodNetworks::new()), networks(&[("w1", 3)]));
    }

    #[test]
    fn a_kubelet_that_may_read_no_other_node_keeps_to_what_it_was_told() {
        let bench = Bench::with_programs(narrow_api);
        assert_eq!(known_to_w1(&bench, "1.32.0", &networks(&[("c1", 0)])), networks(&[("c1", 0), ("w1", 3)]));
        let unit = "ExecStart=/bin/sh -c 'ip route replace 10.244.1.0/24 via 192.0.2.9'\nExecStop=-/bin/sh -c 'x'\n";
        bench.file("etc/systemd/system/kinstall-pod-network.service", unit);
        assert_eq!(known_to_w1(&bench, "1.32.0", &PodNetworks::new()), networks(&[("192.0.2.9", 1), ("w1", 3)]));
    }
}
