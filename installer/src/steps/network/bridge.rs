//! The bridge that a host's own pods are on: the standard plugins, with the addresses that the cluster gave the node.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::config::{Cidrs, Cni, IpFamily};
use crate::host::Host;
use crate::inputs::Inputs;
use crate::kubectl::Kubectl;
use crate::steps::{Check, Context, Step, needed};
use crate::template::render;
use crate::wait::{Look, until};

const PATH: &str = "/etc/cni/net.d/10-kinstall.conflist";
/// The controller manager assigns the addresses once it leads: 10 to 20 s after its start.
pub(super) const POD_CIDR_WITHIN: Duration = Duration::from_mins(2);
/// What to check if it assigns none; a part of the error.
pub(super) const POD_CIDR_GIVER: &str =
    "the controller manager gives them; `crictl ps -a` and `crictl logs` show its state";

/// Gives a host's pods a bridge. The step runs as soon as the host has joined, since its node becomes ready only some time after that.
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

fn own_network(host: &Host, name: &str) -> anyhow::Result<Option<Cidrs>> {
    given_to(&Kubectl::as_kubelet(host).get(&["node", name])?.unwrap_or_default())
}

/// The addresses that the cluster has assigned to the pods of a node: one network of each of its families.
pub(super) fn given_to(node: &Value) -> anyhow::Result<Option<Cidrs>> {
    let texts: Option<Vec<_>> =
        node["spec"]["podCIDRs"].as_array().map(|all| all.iter().filter_map(Value::as_str).collect());
    let text = texts.map(|texts| texts.join(",")).filter(|text| !text.is_empty());
    let text = text.or_else(|| node["spec"]["podCIDR"].as_str().map(str::to_owned));
    text.map(|text| text.parse().context("while reading spec.podCIDRs")).transpose()
}

/// The plugins' configuration. The routes' unit masquerades packets that leave the cluster; the plugin would also do it between pods of
/// different hosts.
fn configuration(own: &Cidrs) -> String {
    let template = include_str!("../../../../manifests/templates/bridge.conflist");
    let ranges: Vec<_> = own.iter().map(|cidr| format!("[{{\"subnet\": \"{cidr}\"}}]")).collect();
    let routes: Vec<_> = own.families().map(|family| format!("{{\"dst\": \"{}\"}}", everywhere(family))).collect();
    render(template, &[("ranges", &ranges.join(", ")), ("routes", &routes.join(", "))])
}

fn everywhere(family: IpFamily) -> &'static str {
    match family {
        IpFamily::Ipv4 => "0.0.0.0/0",
        IpFamily::Ipv6 => "::/0",
    }
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

    #[test]
    fn pods_get_an_address_of_each_family() {
        let node =
            serde_json::json!({"spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24", "fd00:244::/64"]}});
        let list: Value = serde_json::from_str(&configuration(&given_to(&node).unwrap().unwrap())).unwrap();
        let ipam = &list["plugins"][0]["ipam"];
        assert_eq!(ipam["ranges"].to_string(), r#"[[{"subnet":"10.244.0.0/24"}],[{"subnet":"fd00:244::/64"}]]"#);
        assert_eq!(ipam["routes"].to_string(), r#"[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]"#);
        assert!(given_to(&serde_json::json!({"spec": {}})).unwrap().is_none());
    }
}
