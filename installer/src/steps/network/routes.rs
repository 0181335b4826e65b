//! Routes to the pods of other hosts, and the way out of the cluster, in a separate unit so that they exist after a boot. For hosts in one
//! network, which is the case that the bridge is for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Context as _;

use super::{Check, Context, needed};
use crate::config::{Cidr, Cidrs, IpFamily};
use crate::host::{Command, Host};
use crate::inputs::Inputs;
use crate::join_material::PodNetwork;
use crate::template::render;

/// The unit.
pub const UNIT: &str = "kinstall-pod-network.service";
const UNIT_PATH: &str = "/etc/systemd/system/kinstall-pod-network.service";
/// The beginning of the unit's lines that set a route.
const SET_ROUTE: &str = "ExecStart=/bin/sh -c 'ip route replace ";
/// Marks kinstall's rule among others; `reset` finds it by this.
const COMMENT: &str = "kinstall: pods leave the cluster";

pub fn check(context: &Context<'_>, networks: &BTreeMap<String, PodNetwork>) -> anyhow::Result<Check> {
    if !networks.contains_key(&context.node_name()) {
        return needed("the node has no addresses for pods yet");
    }
    if !context.host.has_file(UNIT_PATH, unit(context, networks)?.as_bytes(), 0o644)? {
        return needed(format!("{UNIT_PATH} differs from what kinstall writes"));
    }
    if !context.host.unit_is_up(UNIT)? {
        return needed("the routes to other hosts' pods were not set");
    }
    let mut there = Vec::new();
    for family in context.spec.network.pod_cidr.families() {
        there.extend(routes_of(&context.host, family)?);
    }
    match others(context, networks).iter().find(|(pods, via)| !there.contains(&(pods.to_string(), via.to_string()))) {
        Some((pods, via)) => needed(format!("there is no route to {pods} via {via}")),
        None => Ok(Check::Done),
    }
}

pub fn apply(context: &mut Context<'_>, networks: &BTreeMap<String, PodNetwork>) -> anyhow::Result<()> {
    let unit = unit(context, networks)?;
    // Routes to hosts that left the cluster are removed with the old unit.
    context.host.stop_unit(UNIT)?;
    context.host.write_file(UNIT_PATH, unit.as_bytes(), 0o644)?;
    Ok(context.host.restart_unit(UNIT)?)
}

/// The networks to which the unit has routes, by the gateway's address: what this host was told last.
pub fn remembered(host: &Host) -> anyhow::Result<BTreeMap<String, PodNetwork>> {
    let unit = host.read_text(UNIT_PATH)?.unwrap_or_default();
    let routes =
        unit.lines().filter_map(|line| line.strip_prefix(SET_ROUTE)?.strip_suffix('\'')).filter_map(read_route);
    let network = |(pods, via): (String, String)| {
        Ok((via.clone(), PodNetwork { pods: pods.parse()?, node: via.parse()?, second_node: None }))
    };
    routes.map(network).collect()
}

/// The pod networks of the other hosts, each with its gateway, sorted by these addresses: names are not always known.
fn others(inputs: &Inputs<'_>, networks: &BTreeMap<String, PodNetwork>) -> Vec<Route> {
    let own = inputs.node_name();
    let others = networks.iter().filter(|(name, _)| **name != own);
    let mut routes: Vec<_> = others.flat_map(|(_, network)| network.routes()).collect();
    routes.sort_by_key(|(pods, via)| (*via, pods.to_string()));
    routes
}

/// A pod network and its gateway.
type Route = (Cidr, IpAddr);

fn unit(inputs: &Inputs<'_>, networks: &BTreeMap<String, PodNetwork>) -> anyhow::Result<String> {
    let own = networks.get(&inputs.node_name()).context("the network of this node's pods is not known")?.pods;
    Ok(commands(&own, &inputs.spec.network.pod_cidr, &others(inputs, networks)))
}

fn commands(own: &Cidrs, all: &Cidrs, others: &[Route]) -> String {
    let mut lines = Vec::new();
    for (own, all) in own.iter().filter_map(|own| Some((own, all.of(own.family())?))) {
        // Traffic between pods keeps its addresses; the rest of the site has no route back to them.
        let rule = format!("POSTROUTING -s {own} ! -d {all} -m comment --comment \"{COMMENT}\" -j MASQUERADE");
        let program = own.family().iptables();
        lines.extend([
            format!(
                "ExecStart=/bin/sh -c '{program} -w -t nat -C {rule} 2>/dev/null || {program} -w -t nat -A {rule}'"
            ),
            format!("ExecStop=-/bin/sh -c '{program} -w -t nat -D {rule}'"),
        ]);
    }
    for (pods, via) in others {
        lines.push(format!("{SET_ROUTE}{pods} via {via}'"));
        lines.push(format!("ExecStop=-/bin/sh -c 'ip route delete {pods} via {via}'"));
    }
    render(
        include_str!("../../../../manifests/templates/kinstall-pod-network.service"),
        &[("commands", &lines.join("\n"))],
    )
}

/// The routes that the host has: network and gateway.
fn routes_of(host: &Host, family: IpFamily) -> anyhow::Result<Vec<(String, String)>> {
    let shown = host.run(&Command::new("ip", [family.option_of_ip(), "route", "show"]))?;
    Ok(shown.stdout.lines().filter_map(read_route).collect())
}

/// Reads a line such as `10.244.1.0/24 via 192.0.2.2 dev eth0`.
fn read_route(line: &str) -> Option<(String, String)> {
    let words: Vec<_> = line.split_whitespace().collect();
    match words[..] {
        [network, "via", gateway, ..] => Some((network.to_owned(), gateway.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_sets_and_removes_the_same() {
        let other = |number: u8| (format!("10.244.{number}.0/24").parse().unwrap(), [192, 0, 2, number].into());
        let text =
            commands(&"10.244.0.0/24".parse().unwrap(), &"10.244.0.0/16".parse().unwrap(), &[other(1), other(2)]);
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("Exec")).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        ExecStart=/bin/sh -c 'iptables -w -t nat -C POSTROUTING -s 10.244.0.0/24 ! -d 10.244.0.0/16 -m comment --comment "kinstall: pods leave the cluster" -j MASQUERADE 2>/dev/null || iptables -w -t nat -A POSTROUTING -s 10.244.0.0/24 ! -d 10.244.0.0/16 -m comment --comment "kinstall: pods leave the cluster" -j MASQUERADE'
        ExecStop=-/bin/sh -c 'iptables -w -t nat -D POSTROUTING -s 10.244.0.0/24 ! -d 10.244.0.0/16 -m comment --comment "kinstall: pods leave the cluster" -j MASQUERADE'
        ExecStart=/bin/sh -c 'ip route replace 10.244.1.0/24 via 192.0.2.1'
        ExecStop=-/bin/sh -c 'ip route delete 10.244.1.0/24 via 192.0.2.1'
        ExecStart=/bin/sh -c 'ip route replace 10.244.2.0/24 via 192.0.2.2'
        ExecStop=-/bin/sh -c 'ip route delete 10.244.2.0/24 via 192.0.2.2'
        "#);
    }

    #[test]
    fn each_family_has_its_own_rule_and_is_reached_through_its_own_addresses() {
        let other = PodNetwork {
            pods: "10.244.1.0/24,fd00:244:0:1::/64".parse().unwrap(),
            node: "192.0.2.1".parse().unwrap(),
            second_node: "2001:db8::1".parse().ok(),
        };
        let routes: Vec<_> = other.routes().collect();
        let own = "10.244.0.0/24,fd00:244::/64".parse().unwrap();
        let text = commands(&own, &"10.244.0.0/16,fd00:244::/56".parse().unwrap(), &routes);
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("ExecStop")).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        ExecStop=-/bin/sh -c 'iptables -w -t nat -D POSTROUTING -s 10.244.0.0/24 ! -d 10.244.0.0/16 -m comment --comment "kinstall: pods leave the cluster" -j MASQUERADE'
        ExecStop=-/bin/sh -c 'ip6tables -w -t nat -D POSTROUTING -s fd00:244::/64 ! -d fd00:244::/56 -m comment --comment "kinstall: pods leave the cluster" -j MASQUERADE'
        ExecStop=-/bin/sh -c 'ip route delete 10.244.1.0/24 via 192.0.2.1'
        ExecStop=-/bin/sh -c 'ip route delete fd00:244:0:1::/64 via 2001:db8::1'
        "#);
    }

    #[test]
    fn routes_without_a_gateway_are_not_ours() {
        assert_eq!(
            read_route("10.244.1.0/24 via 192.0.2.2 dev eth0 ").unwrap(),
            ("10.244.1.0/24".to_owned(), "192.0.2.2".to_owned())
        );
        assert_eq!(read_route("192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.1"), None);
    }
}
