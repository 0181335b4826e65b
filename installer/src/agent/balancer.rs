//! Which API servers answer through a load balancer of the site's own.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::questions::{BalancerProbe, ProbeBalancer};
use crate::host::Host;
use crate::kubectl::Kubectl;

/// A load balancer uses an API server once its health checks have passed, perhaps several of them.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
const MOST_TRIES: usize = 60;
/// Connections to hold open after each answer of a server that was seen before. They lead a load balancer that prefers the server with the
/// fewest connections to the other servers.
const HELD_A_TRY: usize = 8;
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Connects until each server has answered, or the time is over. `/api` tells which one answered: there every API server gives its own
/// address.
pub fn probe(asked: &ProbeBalancer) -> anyhow::Result<BalancerProbe> {
    let host = Host::local()?;
    let (api, started) = (Kubectl::on(&host), Instant::now());
    let mut found = BalancerProbe::default();
    let mut held = Vec::new();
    while !asked.servers.is_subset(&found.seen) && found.tries < MOST_TRIES && started.elapsed() < SEEN_WITHIN {
        found.tries += 1;
        match api.server_behind(asked.balancer, &asked.api_name)? {
            Ok(server) if found.seen.insert(server) => {}
            // The result does not matter: a load balancer that refuses more connections cannot be led on by them.
            Ok(_) => {
                let more = || TcpStream::connect_timeout(&asked.balancer, CONNECT_WITHIN).ok();
                held.extend(std::iter::repeat_with(more).take(HELD_A_TRY).flatten());
            }
            Err(error) => {
                found.error = Some(error);
                thread::sleep(Duration::from_secs(1));
            }
        }
    }
    Ok(found)
}
