//! Opens the ports of this host's roles in its firewall, with the user's consent (`--prepare`).
//!
//! The same is opened in each firewall: the ports of [`ports`] that others connect to, for the addresses that connect, and packets from and
//! to pods. The method depends on what manages the packet filter: firewalld gets files of kinstall's own, and ufw gets rules with a
//! comment. Chains that nothing manages, or that a service loads from a file, get a jump to a chain of kinstall's own, which a unit sets
//! again at boot.

mod firewalld;
mod rules;
mod tables;
mod ufw;

use super::{Check, Context, Step};
use crate::config::{Cidr, Cidrs, Switch};
use crate::distributions::Firewall as Manager;
use crate::host::Host;
use crate::inputs::Inputs;
use crate::ports::{self, Port};
use crate::topology::Member;

/// Opens the ports of this host's roles.
pub struct Firewall;

/// What the firewall of a host has to let through.
struct Openings {
    /// Ports, each with a source; without a source, any address may connect.
    ports: Vec<(Port, Option<Cidr>)>,
    /// The networks of pods.
    pods: Cidrs,
    /// The networks of Services.
    services: Cidrs,
    /// The other nodes and members of etcd.
    peers: Vec<Cidr>,
    /// Whether the host runs pods.
    is_node: bool,
}

impl Openings {
    fn of(inputs: &Inputs<'_>) -> Self {
        let topology = inputs.topology;
        let pods = inputs.spec.network.pod_cidr;
        let mut found = Vec::new();
        for port in ports::of_host(inputs.spec, |role| inputs.has(role)) {
            match port.clients.addresses(topology) {
                None => found.push((port, None)),
                Some(addresses) => {
                    found.extend(addresses.into_iter().map(|address| (port, Some(Cidr::single(address)))));
                    if port.clients.include_pods() {
                        found.extend(pods.iter().map(|pods| (port, Some(pods))));
                    }
                }
            }
        }
        let others = topology.members().iter().filter(|member| *member != topology.this());
        Self {
            ports: found,
            pods,
            services: inputs.spec.network.service_cidr,
            peers: others.flat_map(Member::addresses).map(Cidr::single).collect(),
            is_node: topology.this().is_node(),
        }
    }
}

impl Openings {
    /// Each other host with the pod networks that it may send to: those of the same family.
    fn peers_to_pods(&self) -> impl Iterator<Item = (Cidr, Cidr)> {
        self.peers.iter().filter_map(|peer| Some((*peer, self.pods.of(peer.family())?)))
    }
}

impl Step for Firewall {
    fn id(&self) -> &'static str {
        "firewall"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let ports = ports::of_host(inputs.spec, |role| inputs.has(role));
        let names: Vec<_> = ports.iter().filter(|port| port.has_clients_in(inputs.topology)).map(Port::name).collect();
        let forward = if inputs.topology.this().is_node() { ", and let packets of pods through" } else { "" };
        let manager = Manager::of(inputs.facts).unit().unwrap_or("the packet filter");
        format!("open {} in {manager} where they are closed{forward}", names.join(", "))
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.spec.host_preparation == Switch::Enabled
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let openings = Openings::of(&context.inputs);
        match Manager::of(context.facts) {
            Manager::Firewalld => firewalld::check(&context.host, &openings),
            Manager::Ufw => ufw::check(&context.host, &openings),
            Manager::Nftables | Manager::Iptables | Manager::None => tables::check(context, &openings),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let openings = Openings::of(&context.inputs);
        match Manager::of(context.facts) {
            Manager::Firewalld => firewalld::apply(&mut context.host, &openings),
            Manager::Ufw => ufw::apply(&context.host, &openings),
            Manager::Nftables | Manager::Iptables | Manager::None => tables::apply(context, &openings),
        }
    }

    fn undo(&self, host: &mut Host) -> anyhow::Result<()> {
        // Another program may manage the packet filter by now, so each of them is undone.
        firewalld::undo(host)?;
        ufw::undo(host)?;
        tables::undo(host)
    }
}
