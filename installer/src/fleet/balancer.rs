//! Checks of what is in front of the API servers. For a load balancer of the site's own: whether it accepts connections before anything is
//! installed, and whether it reaches every API server before hosts join through it. For a `vip`: whether the address is free.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use kbundle_format::Role;

use super::host::FleetHost;
use super::index::HostIndex;
use super::lead::Leader;
use super::pool;
use super::session::Session;
use super::text::few;
use crate::agent::questions::{Ask, BalancerProbe, FindNeighbour, ProbeBalancer, TryConnections};
use crate::config::LoadBalancer;
use crate::failure::FailureReport;
use crate::preflight::between::HostFinding;
use crate::preflight::front;
use crate::stage::Stage;

const PRINTED: &str = "`kinstall config load-balancer` prints a configuration for HAProxy that does";

fn is_control_plane(host: &FleetHost<'_>) -> bool {
    host.has(Role::ControlPlane)
}

impl Session<'_> {
    /// The load balancer, if the site has its own.
    pub fn balancer(&self) -> Option<SocketAddr> {
        let api = &self.spec.api;
        let address = api.address.filter(|_| api.load_balancer == LoadBalancer::External)?;
        Some(SocketAddr::new(address, api.port))
    }

    /// Whether the load balancer accepts connections from the control planes, before there is a cluster.
    pub fn check_balancer(&self) -> Vec<HostFinding> {
        let Some(balancer) = self.balancer().filter(|_| !self.completed.control_plane) else { return Vec::new() };
        let answers = self.ask_control_planes(|| TryConnections { targets: vec![balancer] });
        let finding = |(index, answer): (HostIndex, Result<Vec<(SocketAddr, String)>, FailureReport>)| {
            let failure = match answer {
                Ok(failures) => failures.into_iter().next().map(|(_, reason)| reason),
                Err(report) => Some(report.error),
            };
            front::load_balancer(self.fleet.host(index).name(), balancer, failure, self.ignored)
        };
        answers.into_iter().map(finding).collect()
    }

    /// Whether the future virtual IP of the control planes is free: before one of them has it, no machine may have it.
    pub fn check_virtual_address(&self) -> Vec<HostFinding> {
        let api = &self.spec.api;
        let moves = api.load_balancer == LoadBalancer::Vip && !self.completed.control_plane;
        let Some(address) = api.address.filter(|_| moves) else { return Vec::new() };
        let answers = self.ask_control_planes(|| FindNeighbour { address });
        let finding = |(index, found): (HostIndex, Result<Option<String>, FailureReport>)| {
            let found = found.map_err(|report| report.error);
            front::free_address(self.fleet.host(index).name(), address, found, self.ignored)
        };
        answers.into_iter().map(finding).collect()
    }

    fn ask_control_planes<Q: Ask<Answer: Send>>(
        &self,
        question: impl Fn() -> Q + Sync,
    ) -> Vec<(HostIndex, Result<Q::Answer, FailureReport>)> {
        let control_planes = self.fleet.alive(is_control_plane);
        let answers = pool::each(&control_planes, self.fleet.parallel, |&index| self.fleet.ask(index, question()));
        control_planes.into_iter().zip(answers).collect()
    }
}

impl Leader<'_> {
    /// Whether the load balancer reaches every API server. If it reaches none, all hosts stop; if it misses some, these are reported at the
    /// end, and the others continue.
    pub(super) fn probe_balancer(&mut self) {
        let Some(balancer) = self.session.balancer() else { return };
        let control_planes = self.alive(is_control_plane);
        let server = |index: HostIndex| SocketAddr::new(self.host(index).spec.address, balancer.port());
        let mut missing: BTreeMap<_, _> = control_planes.iter().map(|&index| (server(index), index)).collect();
        self.session.fleet.announce(missing.len());
        let (mut tries, mut error) = (0, String::new());
        // The first host asks. The others ask only if the load balancer keeps each client at one server, or does not reach all servers.
        for &index in &control_planes {
            let found = self.probe_from(index, balancer, missing.keys().copied().collect());
            missing.retain(|server, _| !found.seen.contains(server));
            (tries, error) = (tries + found.tries, found.error.unwrap_or(error));
            if missing.is_empty() {
                return;
            }
        }
        if missing.len() == control_planes.len() {
            return self.fail(self.session.first, Stage::LoadBalancer, none_reached(balancer, error));
        }
        let names: Vec<_> = missing.values().map(|&index| self.host(index).name()).collect();
        let line = format!("the load balancer {balancer} does not reach the API server of {}", few(&names));
        self.session.fleet.console.line(&line);
        self.unbalanced =
            missing.into_iter().map(|(server, index)| (index, not_reached(balancer, server, tries))).collect();
    }

    fn probe_from(&self, index: HostIndex, balancer: SocketAddr, servers: BTreeSet<SocketAddr>) -> BalancerProbe {
        let question = ProbeBalancer { balancer, api_name: self.request.spec.api_name(), servers };
        self.ask(index, question)
            .unwrap_or_else(|report| BalancerProbe { error: Some(report.error), ..BalancerProbe::default() })
    }
}

fn none_reached(balancer: SocketAddr, cause: String) -> FailureReport {
    let port = balancer.port();
    FailureReport {
        error: format!("no API server is reached through the load balancer {balancer}"),
        causes: vec![cause],
        hint: Some(format!("let it forward TCP connections to port {port} of every control plane; {PRINTED}")),
    }
}

fn not_reached(balancer: SocketAddr, server: SocketAddr, tries: usize) -> FailureReport {
    FailureReport {
        error: format!(
            "its API server {server} did not answer any of {tries} requests through the load balancer {balancer}"
        ),
        causes: vec![],
        hint: Some(format!(
            "add it to the load balancer; {PRINTED}. The cluster runs, but without this API server until the load balancer has it"
        )),
    }
}
