//! Which API servers are reached through a load balancer of the site's own.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::kubectl::Kubectl;

/// A load balancer takes an API server when it has found it well, perhaps more than once.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
const MOST_TRIES: usize = 60;
/// Connections that are held after each answer of a server that was seen already. A load balancer that prefers whoever has the
/// fewest is led on to the others by them.
const HELD_A_TRY: usize = 8;
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// What was found behind a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Behind {
    /// The API servers that answered.
    pub seen: BTreeSet<SocketAddr>,
    /// How many times it was asked.
    pub tries: usize,
    /// What was said where nobody answered, the last time.
    pub said: Option<String>,
}

/// Asks through `balancer` until each of `wanted` has answered, for a while. Which one did is told by the address that every
/// API server gives as its own in `/api`.
pub fn behind(host: &Host, balancer: SocketAddr, name: &str, wanted: &BTreeSet<SocketAddr>) -> anyhow::Result<Behind> {
    let (api, started) = (Kubectl::on(host), Instant::now());
    let mut found = Behind::default();
    let mut held = Vec::new();
    while !wanted.is_subset(&found.seen) && found.tries < MOST_TRIES && started.elapsed() < SEEN_WITHIN {
        found.tries += 1;
        match api.server_behind(balancer, name)? {
            Ok(server) if found.seen.insert(server) => {}
            // One that refuses will not be led on.
            Ok(_) => {
                let more = || TcpStream::connect_timeout(&balancer, CONNECT_WITHIN).ok();
                held.extend(std::iter::repeat_with(more).take(HELD_A_TRY).flatten());
            }
            Err(said) => {
                found.said = Some(said);
                thread::sleep(Duration::from_secs(1));
            }
        }
    }
    Ok(found)
}
