//! Findings about what is to stand in front of the API servers: a load balancer of the site's own, or an address that moves.

use std::net::{IpAddr, SocketAddr};

use super::between::HostFinding;
use super::{Answer, CheckId, finding};

/// The ids, which `--ignore` takes.
pub(super) fn ids() -> impl Iterator<Item = CheckId> {
    [LOAD_BALANCER, FREE_ADDRESS].into_iter().map(CheckId)
}

/// Whether the site's own load balancer takes connections.
const LOAD_BALANCER: &str = "load-balancer";

/// The finding about a host that tried to connect to the load balancer at `address`; `failure` is why it could not.
#[must_use]
pub fn load_balancer(host: &str, address: SocketAddr, failure: Option<String>, ignored: &[CheckId]) -> HostFinding {
    let answer = match failure {
        None => Answer::pass(format!("{address} takes connections")),
        Some(why) => Answer::warn(
            format!("{address} takes no connection ({why})"),
            "have it run before hosts join; some take none while no API server answers, and then this is as it should be",
        ),
    };
    let wanted = "the load balancer of the site's own (api.address)";
    HostFinding { host: host.to_owned(), finding: finding(LOAD_BALANCER, wanted, answer, ignored) }
}

/// Whether the address that is to move between the control planes is nobody's.
const FREE_ADDRESS: &str = "free-address";

/// The finding about a control plane that looked who has `address`: a machine's hardware address, or nobody; or why it could not
/// look.
#[must_use]
pub fn free_address(
    host: &str,
    address: IpAddr,
    found: Result<Option<String>, String>,
    ignored: &[CheckId],
) -> HostFinding {
    let answer = match found {
        Ok(None) => Answer::pass(format!("nobody has {address}")),
        Ok(Some(machine)) => Answer::reject(
            format!("{address} is that of {machine}"),
            "set `address` under `api` in cluster.yaml to a free one, or take it from that machine",
        ),
        Err(why) => Answer::unknown(why),
    };
    let wanted = "an address that no machine has, to move between the control planes (api.address)";
    HostFinding { host: host.to_owned(), finding: finding(FREE_ADDRESS, wanted, answer, ignored) }
}
