//! Findings about what is in front of the API servers: the site's own load balancer, or a virtual address.

use std::net::{IpAddr, SocketAddr};

use super::between::HostFinding;
use super::{Answer, CheckId, finding};
use crate::config::DnsName;

/// The ids, which `--ignore` takes.
pub(super) fn ids() -> impl Iterator<Item = CheckId> {
    [LOAD_BALANCER, FREE_ADDRESS].into_iter().map(CheckId)
}

/// Whether the site's own load balancer accepts connections.
const LOAD_BALANCER: &str = "load-balancer";

/// The finding about a host that tried to connect to the load balancer at `address`; `failure` is the reason if it could not.
#[must_use]
pub fn load_balancer(host: &DnsName, address: SocketAddr, failure: Option<String>, ignored: &[CheckId]) -> HostFinding {
    let answer = match failure {
        None => Answer::pass(format!("{address} accepts connections")),
        Some(why) => Answer::warn(
            format!("{address} does not accept connections ({why})"),
            "start it before hosts join; some load balancers refuse connections until an API server answers, which is fine",
        ),
    };
    let wanted = "the load balancer of the site's own (api.address)";
    HostFinding { host: host.clone(), finding: finding(LOAD_BALANCER, wanted, answer, ignored) }
}

/// The check whether the virtual address is free.
const FREE_ADDRESS: &str = "free-address";

/// The finding about a control plane that probed `address`: the hardware address that answered, none, or the reason why the probe failed.
#[must_use]
pub fn free_address(
    host: &DnsName,
    address: IpAddr,
    found: Result<Option<String>, String>,
    ignored: &[CheckId],
) -> HostFinding {
    let answer = match found {
        Ok(None) => Answer::pass(format!("{address} is free")),
        Ok(Some(machine)) => Answer::reject(
            format!("{address} belongs to the machine {machine}"),
            "set `address` under `api` in cluster.yaml to a free address, or give that machine another one",
        ),
        Err(why) => Answer::unknown(why),
    };
    let wanted = "a free address for kube-vip (api.address)";
    HostFinding { host: host.clone(), finding: finding(FREE_ADDRESS, wanted, answer, ignored) }
}
