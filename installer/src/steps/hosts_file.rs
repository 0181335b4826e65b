//! The host's own name and the API's name in `/etc/hosts`, so that no name server is needed for them.

use std::net::IpAddr;

use kbundle_format::Role;

use super::{Check, Context, Step, load_balancer};
use crate::config::LoadBalancer;
use crate::facts::network::address_in_hosts;
use crate::failure::Advise;
use crate::host::{Command, Host, HostError, marked};
use crate::inputs::Inputs;
use crate::topology::Member;

const FILE: &str = "/etc/hosts";

/// Writes names into /etc/hosts.
pub struct HostsFile;

impl Step for HostsFile {
    fn id(&self) -> &'static str {
        "hosts-file"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        format!("name this host and {} in {FILE}", inputs.spec.api_name())
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let text = read(&context.host)?;
        if text == wanted(&text, context) {
            return Ok(Check::Done);
        }
        Ok(Check::Needed(format!("{FILE} does not name {} as it should", context.spec.api_name())))
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let api = context.spec.api_name();
        if is_left_to_dns(context)
            && let Err(error) = context.host.run(&Command::new("getent", ["ahosts", &api]))
        {
            let error = anyhow::Error::from(error)
                .context(format!("this host does not resolve {api}, the name of the load balancer"));
            return Err(error).hint(
                "let the site's DNS resolve `api.endpoint`, or write the load balancer's address as `api.address`",
            );
        }
        let text = read(&context.host)?;
        let wanted = wanted(&text, context);
        Ok(context.host.edit_file(FILE, &wanted)?)
    }
}

fn read(host: &Host) -> Result<String, HostError> {
    Ok(host.read_text(FILE)?.unwrap_or_default())
}

fn wanted(text: &str, inputs: &Inputs<'_>) -> String {
    let api = inputs.spec.api_name();
    let mut lines: Vec<_> = api_addresses(inputs).iter().map(|address| format!("{address} {api}")).collect();
    let others = marked::without_block(text);
    let unnamed = |member: &&Member| address_in_hosts(&others, &member.name).is_none();
    lines.extend(
        inputs.topology.members().iter().filter(unnamed).map(|member| format!("{} {}", member.address, member.name)),
    );
    marked::with_block(text, &lines)
}

/// Whether only the site's DNS knows the load balancer's address; an entry in this file would hide that address.
fn is_left_to_dns(inputs: &Inputs<'_>) -> bool {
    let api = &inputs.spec.api;
    api.load_balancer == LoadBalancer::External && api.address.is_none() && !inputs.has(Role::ControlPlane)
}

/// The addresses at which this host reaches the API, best first. Clients (Go's resolver) try one after another. So the host reaches the API
/// before its own API server or load balancer runs, and when that has stopped.
fn api_addresses(inputs: &Inputs<'_>) -> Vec<IpAddr> {
    if is_left_to_dns(inputs) {
        return Vec::new();
    }
    let nearest = match inputs.spec.api.load_balancer {
        LoadBalancer::External => inputs.spec.api.address,
        // A control plane has its own API server, so it does not need an address that another one may hold.
        LoadBalancer::Vip => inputs.spec.api.address.filter(|_| !inputs.has(Role::ControlPlane)),
        LoadBalancer::NodeLocal => load_balancer::is_wanted(inputs).then_some(IpAddr::from([127, 0, 0, 1])),
    };
    let control_planes = inputs.topology.nearest_control_planes();
    nearest.into_iter().chain(control_planes.iter().map(|member| member.address)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::execute;
    use crate::fixture;
    use crate::fixture::bench::Bench;

    #[test]
    fn names_are_added_where_they_are_missing_and_taken_away_again() {
        for (hosts, own_name) in [("127.0.0.1 localhost\n", true), ("127.0.1.1 Node-1\n", false)] {
            let bench = Bench::new();
            bench.file("etc/hosts", hosts);
            let run =
                || bench.work(&[&HostsFile], |plan, context, notes| execute(plan, context, notes).unwrap().len()).1;
            assert_eq!(run(), 1);
            let text = bench.read("etc/hosts");
            assert!(text.contains("\n10.0.0.5 api.kubernetes.internal\n") && text.ends_with(hosts), "{text}");
            assert_eq!(text.contains("10.0.0.5 node-1"), own_name, "{text}");
            assert_eq!(run(), 0);
            bench.undo();
            assert_eq!(bench.read("etc/hosts"), hosts);
        }
    }

    #[test]
    fn each_host_turns_to_what_is_nearest() {
        let mut cluster = fixture::Cluster::of_three_and_two();
        let found = |cluster: &fixture::Cluster, name: &str| {
            let topology = cluster.seen_from(name);
            let addresses = api_addresses(&cluster.inputs(&topology));
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found(&cluster, "c2"), "192.0.2.2 192.0.2.1 192.0.2.3");
        assert_eq!(found(&cluster, "w1"), "127.0.0.1 192.0.2.1 192.0.2.2 192.0.2.3");
        cluster.spec.api.address = Some("192.0.2.9".parse().unwrap());
        for (kind, control_plane) in [(LoadBalancer::External, "192.0.2.9 "), (LoadBalancer::Vip, "")] {
            cluster.spec.api.load_balancer = kind;
            assert_eq!(found(&cluster, "c2"), format!("{control_plane}192.0.2.2 192.0.2.1 192.0.2.3"));
            assert_eq!(found(&cluster, "w1"), "192.0.2.9 192.0.2.1 192.0.2.2 192.0.2.3");
        }
        cluster.spec.api.load_balancer = LoadBalancer::External;
        cluster.spec.api.address = None;
        assert_eq!(found(&cluster, "c2"), "192.0.2.2 192.0.2.1 192.0.2.3");
        assert_eq!(found(&cluster, "w1"), "", "the site's DNS knows the load balancer");
        cluster.spec.api.load_balancer = LoadBalancer::NodeLocal;
        let text = wanted("127.0.0.1 localhost\n", &cluster.inputs(&cluster.seen_from("w1")));
        assert!(text.contains("\n192.0.2.12 w2\n") && text.contains("\n192.0.2.2 api.kubernetes.internal\n"), "{text}");
    }

    #[test]
    fn a_host_without_the_file_has_none_again_afterwards() {
        let bench = Bench::new();
        bench.work(&[&HostsFile], |plan, context, notes| execute(plan, context, notes).unwrap().len());
        assert!(bench.read("etc/hosts").contains("10.0.0.5 node-1"));
        bench.undo();
        assert!(!bench.path("etc").exists());
    }
}
