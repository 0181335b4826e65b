//! What stands in front of the API servers. Whether a load balancer of the site's own does its part: that it is there before
//! anything is installed, and that it reaches every API server before hosts join through it. Whether a `vip` is free.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use kbundle_format::Role;

use super::gang;
use super::lead::Leader;
use super::text::few;
use super::visit::Visit;
use crate::agent::Behind;
use crate::agent::protocol::{Answer, Question, Reply, Request};
use crate::config::LoadBalancer;
use crate::failure::FailureReport;
use crate::preflight::between::HostFinding;
use crate::preflight::front;
use crate::stage::Stage;

const PRINTED: &str = "`kinstall config load-balancer` prints a configuration for HAProxy that does";

impl Visit<'_> {
    fn balancer(&self) -> Option<SocketAddr> {
        let api = &self.spec.api;
        let address = api.address.filter(|_| api.load_balancer == LoadBalancer::External)?;
        Some(SocketAddr::new(address, api.port))
    }

    /// Whether it takes connections at all, asked from the control planes before there is a cluster.
    pub(super) fn try_balancer(&self) -> Vec<HostFinding> {
        let Some(balancer) = self.balancer().filter(|_| !self.standing.control_plane) else { return Vec::new() };
        let control_planes = self.fleet.alive(|host| host.has(Role::ControlPlane));
        let request = Request::Connect { targets: vec![balancer] };
        let replies = gang::each(&control_planes, self.fleet.parallel, |&index| {
            self.fleet.request(index, Stage::Preflight, &request)
        });
        let finding = |(index, reply): (&usize, Result<Reply, FailureReport>)| {
            let failure = match reply {
                Ok(Reply::Unreached { failures }) => failures.into_iter().next().map(|(_, why)| why),
                Ok(other) => Some(super::unexpected(&other).error),
                Err(told) => Some(told.error),
            };
            front::load_balancer(self.fleet.hosts[*index].name(), balancer, failure, self.ignored)
        };
        control_planes.iter().zip(replies).map(finding).collect()
    }

    /// Whether nobody has the address that is to move between the control planes, before one of them has it.
    pub(super) fn try_virtual_address(&self) -> Vec<HostFinding> {
        let api = &self.spec.api;
        let wanted = api.address.filter(|_| api.load_balancer == LoadBalancer::Vip && !self.standing.control_plane);
        let Some(address) = wanted else { return Vec::new() };
        let control_planes = self.fleet.alive(|host| host.has(Role::ControlPlane));
        let found = gang::each(&control_planes, self.fleet.parallel, |&index| {
            match self.fleet.ask(index, Stage::Preflight, Question::Neighbour { address }) {
                Ok(Answer::Neighbour(found)) => Ok(found),
                Ok(_) => Err(super::astray().error),
                Err(told) => Err(told.error),
            }
        });
        let name = |index: usize| self.fleet.hosts[index].name();
        let finding = |(&index, found)| front::free_address(name(index), address, found, self.ignored);
        control_planes.iter().zip(found).map(finding).collect()
    }

    fn behind(&self, index: usize, balancer: SocketAddr, wanted: BTreeSet<SocketAddr>) -> Behind {
        let name = self.spec.api_name();
        match self.fleet.ask(index, Stage::LoadBalancer, Question::Behind { balancer, name, wanted }) {
            Ok(Answer::Behind(found)) => found,
            Ok(_) => Behind { said: Some(super::astray().error), ..Behind::default() },
            Err(told) => Behind { said: Some(told.error), ..Behind::default() },
        }
    }
}

impl Leader<'_> {
    /// Whether every API server is reached through it. Where none is, everybody stops; where some are not, they are told at the
    /// end, and the others go on.
    pub(super) fn ask_through_balancer(&mut self) {
        let Some(balancer) = self.visit.balancer() else { return };
        let control_planes = self.visit.fleet.alive(|host| host.has(Role::ControlPlane));
        let server = |index: usize| SocketAddr::new(self.visit.fleet.hosts[index].spec.address, balancer.port());
        let mut missing: BTreeMap<_, _> = control_planes.iter().map(|&index| (server(index), index)).collect();
        self.visit.fleet.console_stage(Stage::LoadBalancer, missing.len());
        let (mut tries, mut said) = (0, String::new());
        // The first one asks; others only then, when the load balancer keeps each client at one server, or does not reach all.
        for &index in &control_planes {
            let found = self.visit.behind(index, balancer, missing.keys().copied().collect());
            missing.retain(|server, _| !found.seen.contains(server));
            (tries, said) = (tries + found.tries, found.said.unwrap_or(said));
            if missing.is_empty() {
                return;
            }
        }
        if missing.len() == control_planes.len() {
            let error = format!("no API server is reached through the load balancer {balancer}");
            let hint = Some(format!(
                "let it pass TCP connections on to port {} of every control plane; {PRINTED}",
                balancer.port()
            ));
            return self.visit.fleet.fall(
                self.visit.first,
                Stage::LoadBalancer,
                FailureReport { error, causes: vec![said], hint },
            );
        }
        let names: Vec<_> = missing.values().map(|&index| self.visit.fleet.hosts[index].name()).collect();
        self.visit
            .fleet
            .console
            .line(&format!("the load balancer {balancer} does not reach the API server of {}", few(&names)));
        self.unbalanced =
            missing.into_iter().map(|(server, index)| (index, unreached(balancer, server, tries))).collect();
    }
}

fn unreached(balancer: SocketAddr, server: SocketAddr, tries: usize) -> FailureReport {
    let error = format!(
        "its API server {server} never answered through the load balancer {balancer}, which was asked {tries} times"
    );
    let hint = format!(
        "add it to the load balancer; {PRINTED}. The cluster runs, and does not use it as long as the load balancer does not"
    );
    FailureReport { error, causes: vec![], hint: Some(hint) }
}
