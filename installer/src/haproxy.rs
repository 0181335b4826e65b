//! Configurations of `HAProxy` in front of the API servers: the one on every worker, and the one that a site runs itself.

use std::net::SocketAddr;

use crate::config::{ClusterSpec, HostSpec, IpFamily};
use crate::template::render;
use kbundle_format::Role;

/// The parts in which the two configurations differ.
struct Frontend<'a> {
    about: &'a str,
    /// Further lines of the section `global`.
    rights: &'a str,
    /// The address to listen on.
    bind: &'a str,
}

/// The configuration for a worker, which uses it alone. It serves its health on `health_port`.
#[must_use]
pub fn node_local(spec: &ClusterSpec, health_port: u16) -> String {
    let about = "Spreads this host's requests to the API over the control planes that answer.";
    let common = common(spec, &Frontend { about, rights: "", bind: &format!("127.0.0.1:{}", spec.api.port) });
    let health = include_str!("../../manifests/templates/haproxy-health.cfg");
    common + &render(health, &[("health_port", &health_port.to_string())])
}

/// The configuration for a load balancer of the site's own, in front of the whole cluster.
#[must_use]
pub fn external(spec: &ClusterSpec) -> String {
    let about = format!("Spreads requests to the API of cluster {} over the control planes that answer.", spec.name);
    // Any address: that of the load balancer may move between several hosts that run it.
    let port = spec.api.port;
    let bind = if spec.network.has(IpFamily::Ipv6) { format!("[::]:{port} v4v6") } else { format!("*:{port}") };
    common(spec, &Frontend { about: &about, rights: "    user haproxy\n    group haproxy\n", bind: &bind })
}

fn common(spec: &ClusterSpec, frontend: &Frontend<'_>) -> String {
    let port = spec.api.port;
    let server = |host: &HostSpec| format!("    server {} {}", host.name, SocketAddr::new(host.address, port));
    let mut control_planes: Vec<_> =
        spec.hosts.iter().filter(|host| host.roles.contains(&Role::ControlPlane)).collect();
    // By address, so that another order in the file does not change the configuration.
    control_planes.sort_by_key(|host| host.address);
    let servers: Vec<_> = control_planes.into_iter().map(server).collect();
    render(
        include_str!("../../manifests/templates/haproxy.cfg"),
        &[
            ("about", frontend.about),
            ("rights", frontend.rights),
            ("bind", frontend.bind),
            ("servers", &servers.join("\n")),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Cluster;

    #[test]
    fn servers_of_ipv6_stand_in_brackets_and_the_front_listens_on_both_families() {
        let spec = Cluster::of_ipv6().spec;
        let (external, local) = (external(&spec), node_local(&spec, 6444));
        for text in [&external, &local] {
            assert!(text.contains("\n    server c2 [2001:db8::2]:6443\n"), "{text}");
        }
        assert!(external.contains("\n    bind [::]:6443 v4v6\n"), "{external}");
        assert!(local.contains("\n    bind 127.0.0.1:6443\n"), "{local}");
    }
}
